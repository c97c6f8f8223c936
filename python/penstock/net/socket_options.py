"""What the kernel is told of a client's socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from penstock.net.keepalive import set_keepalive

if TYPE_CHECKING:
    import asyncio

__all__ = ["set_socket_options"]

# SO_SNDBUF, and how much of it may be bytes that have not left yet (tcp(7); Python 3.11 has no name for the option).
KERNEL_BUFFER = 256 << 10
KERNEL_UNSENT = 128 << 10
TCP_NOTSENT_LOWAT = 25


def set_socket_options(transport: asyncio.Transport) -> None:
    """Keep unsent output where it is counted: in the transport, not in the kernel. Notice a client that vanishes."""
    held: socket.socket | None = transport.get_extra_info("socket")
    if held is None:
        return
    # uvloop's own object makes a socket for each option; one for all costs 11 µs instead of 30.
    connection = socket.socket(held.family, held.type, held.proto, fileno=held.fileno())
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, KERNEL_UNSENT)
            set_keepalive(connection)
    finally:
        connection.detach()
