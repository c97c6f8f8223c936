"""Clients that do not read what they are sent."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncio import Transport

    from penstock.server.open_connection import OpenConnection

__all__ = ["STALL_SECONDS", "Stalls"]

# How long a client may take nothing of what waits for it before it is cut.
STALL_SECONDS = 30.0
# Where `struct tcp_info` of linux/tcp.h has tcpi_bytes_acked (u64, since Linux 4.1).
BYTES_ACKED = 120


class Mark(NamedTuple):
    """How much a client had taken at the last look, and the look at which it had taken something last."""

    taken: int
    since: float


class Stalls:
    """The clients for which something waits, and when each took something last."""

    def __init__(self) -> None:
        self._marks: dict[OpenConnection, Mark] = {}

    def look(self, connection: OpenConnection, unsent: int, now: float) -> bool:
        """Return whether a client is stalled.

        Args:
            connection: the client's.
            unsent: bytes that wait for it.
            now: seconds of `time.monotonic()`.
        """
        wire = connection.wire
        if unsent == 0 or wire is None:
            self.forget(connection)
            return False
        taken = _taken(wire, unsent)
        mark = self._marks.get(connection)
        since = now if mark is None or taken > mark.taken else mark.since
        self._marks[connection] = Mark(taken, since)
        return now - since > STALL_SECONDS

    def forget(self, connection: OpenConnection) -> None:
        """Forget a connection."""
        self._marks.pop(connection, None)


def _taken(wire: Transport, unsent: int) -> int:
    """Return a number that grows from one look to the next if the peer takes something.

    Slow is not stalled. What is unsent says little about that: the kernel asks for more only when a third of its
    buffer is free, which takes a slow reader minutes, and a stream adds to it meanwhile. TCP knows what the peer has
    acknowledged; it does so by segments once its window was full, so who takes less than one in all that time (1.5 KB,
    over loopback 64 KiB) cannot be told from who takes nothing. Of a Unix socket the kernel says what it holds: that
    shrinks when the peer reads, unless a stream has added more since, which back-pressure soon ends.
    """
    connection: socket.socket | None = wire.get_extra_info("socket")
    if connection is None:
        return -unsent
    if connection.family == socket.AF_UNIX:
        (held,) = struct.unpack("=i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
        return -(unsent + int(held))
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8)
    return int(struct.unpack_from("=Q", info, BYTES_ACKED)[0])
