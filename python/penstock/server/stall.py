"""Detects clients that do not read what they are sent."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from asyncio import Transport

    from penstock.server.open_connection import OpenConnection

__all__ = ["STALL_SECONDS", "StallDetector"]

# How long a client may read nothing, although something waits for it, before it is cut off.
STALL_SECONDS = 30.0
# Where `struct tcp_info` of linux/tcp.h has tcpi_bytes_acked (u64, since Linux 4.1).
BYTES_ACKED = 120


class Progress(NamedTuple):
    """How much a client had read at the last check, and the time of the last check with progress."""

    read: int
    since: float


class StallDetector:
    """Remembers the progress of every client for which something waits."""

    def __init__(self) -> None:
        self._progress: dict[OpenConnection, Progress] = {}

    def is_stalled(self, connection: OpenConnection, unsent: int, now: float) -> bool:
        """Check a client, and tell whether it has read nothing for `STALL_SECONDS`.

        Args:
            connection: the client's.
            unsent: bytes that wait for it.
            now: seconds of `time.monotonic()`.
        """
        transport = connection.open_transport
        if unsent == 0 or transport is None:
            self.forget(connection)
            return False
        read = _read_by_peer(transport, unsent)
        before = self._progress.get(connection)
        since = now if before is None or read > before.read else before.since
        self._progress[connection] = Progress(read, since)
        return now - since > STALL_SECONDS

    def forget(self, connection: OpenConnection) -> None:
        """Forget a connection."""
        self._progress.pop(connection, None)


def _read_by_peer(transport: Transport, unsent: int) -> int:
    """Return a number that grows from one check to the next if the peer reads something.

    A slow client is not a stalled one. The size of the transport's buffer says little: the kernel accepts more only
    when a third of its own buffer is free, which takes a slow reader minutes, and a stream adds output meanwhile. For
    TCP the number is what the peer has acknowledged. Once its window was full it acknowledges whole segments, so a
    client that reads less than one within `STALL_SECONDS` (1.5 KB, over loopback 64 KiB) looks stalled. For a Unix
    socket it is computed from what the kernel still holds: that shrinks when the peer reads, unless a stream has added
    more, which back-pressure soon stops.
    """
    connection: socket.socket | None = transport.get_extra_info("socket")
    if connection is None:
        return -unsent
    if connection.family == socket.AF_UNIX:
        (held,) = struct.unpack("=i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))
        return -(unsent + int(held))
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8)
    return int(struct.unpack_from("=Q", info, BYTES_ACKED)[0])
