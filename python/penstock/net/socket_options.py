"""The options of a client's socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from penstock.net.keepalive import set_keepalive

if TYPE_CHECKING:
    import asyncio

__all__ = ["set_socket_options"]

# SO_SNDBUF, and how much of it may hold bytes that were not sent yet (tcp(7); Python 3.11 has no name for the option).
KERNEL_BUFFER = 256 << 10
KERNEL_UNSENT = 128 << 10
TCP_NOTSENT_LOWAT = 25


def set_socket_options(transport: asyncio.Transport) -> None:
    """Limit unsent output in the kernel, so that it waits in the transport where it is counted; set keep-alive."""
    held: socket.socket | None = transport.get_extra_info("socket")
    if held is None:
        return
    # uvloop's pseudo-socket makes a real one for each call; making one for all calls takes 11 µs instead of 30.
    connection = socket.socket(held.family, held.type, held.proto, fileno=held.fileno())
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, KERNEL_UNSENT)
            set_keepalive(connection)
    finally:
        connection.detach()
