"""The check of every connection once a second."""

from __future__ import annotations

import math
import socket
from typing import TYPE_CHECKING

from penstock.net.keepalive import has_vanished

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from structlog.typing import FilteringBoundLogger

    from penstock.server.open_connection import OpenConnection
    from penstock.server.stall import StallDetector

__all__ = ["Sweep"]

# How often each connection is checked.
SWEEP_SECONDS = 1.0
# Every so many rounds is thorough: asking the kernel about ten thousand streams takes 50 ms.
THOROUGH_ROUND = 10


class Sweep:
    """One round over the connections, spread over `SWEEP_SECONDS`. Times are of `time.monotonic()`.

    A `thorough` round also detects clients that have vanished while they are sent an answer (`has_vanished`).
    """

    def __init__(
        self,
        connections: Sequence[OpenConnection],
        stalls: StallDetector,
        log: FilteringBoundLogger,
        began: float,
        *,
        thorough: bool = False,
    ) -> None:
        self.began = began
        self.left = list(connections)
        # The unsent bytes of all connections that were checked.
        self.unsent = 0
        self._stalls = stalls
        self._log = log
        self._size = len(self.left)
        self._thorough = thorough

    def go_on(self, there: Set[OpenConnection], now: float) -> None:
        """Check those whose turn has come, if they are still open (`there`), and add up their unsent bytes."""
        later = max(0, math.floor(self._size * (1 - (now - self.began) / SWEEP_SECONDS)))
        while len(self.left) > later:
            connection = self.left.pop()
            if connection not in there:
                continue
            try:
                self._check(connection, now)
            except Exception:
                # An error with one connection must not stop the checks of the others.
                self._log.exception("sweep_failed")
                connection.abort()

    def _check(self, connection: OpenConnection, now: float) -> None:
        unsent = connection.unsent_bytes
        self.unsent += unsent
        if self._stalls.is_stalled(connection, unsent, now) or (self._thorough and _is_gone(connection)):
            connection.abort()
        else:
            connection.sweep(now)

    def is_past(self, now: float) -> bool:
        """Tell whether it is time for the next round."""
        return not self.left and now - self.began >= SWEEP_SECONDS


def _is_gone(connection: OpenConnection) -> bool:
    """Tell whether a client has vanished while a request of its was being served."""
    transport = connection.open_transport
    peer: socket.socket | None = transport.get_extra_info("socket") if transport is not None else None
    if peer is None or peer.family == socket.AF_UNIX or connection.is_idle:
        return False
    return has_vanished(peer)
