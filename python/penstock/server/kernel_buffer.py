"""What the kernel holds of an answer that a client has not taken."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

__all__ = ["bound_kernel_buffer"]

# SO_SNDBUF, and how much of it may be bytes that have not left yet (tcp(7); Python 3.11 has no name for the option).
KERNEL_BUFFER = 256 << 10
KERNEL_UNSENT = 128 << 10
TCP_NOTSENT_LOWAT = 25


def bound_kernel_buffer(transport: asyncio.Transport) -> None:
    """Keep unsent output where it is counted: in the transport, not in the kernel (contract §2)."""
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None:
        return
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)
    if connection.family != socket.AF_UNIX:
        connection.setsockopt(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, KERNEL_UNSENT)
