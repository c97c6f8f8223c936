"""The look at each connection once a second."""

from __future__ import annotations

import math
import socket
from typing import TYPE_CHECKING

from penstock.net.keepalive import has_vanished

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from structlog.typing import FilteringBoundLogger

    from penstock.server.open_connection import OpenConnection
    from penstock.server.stall import Stalls

__all__ = ["Sweep"]

# How often each connection is looked after.
SWEEP_SECONDS = 1.0
# Of so many rounds one is thorough: to ask the kernel about ten thousand streams takes 50 ms.
THOROUGH_ROUND = 10


class Sweep:
    """One round over the connections, in parts: all are done when it is over. Times are of `time.monotonic()`.

    A `thorough` one also looks for clients that have vanished while an answer is under way to them.
    """

    def __init__(
        self,
        connections: Sequence[OpenConnection],
        stalls: Stalls,
        log: FilteringBoundLogger,
        began: float,
        *,
        thorough: bool = False,
    ) -> None:
        self.began = began
        self.left = list(connections)
        # Bytes that wait for all of them.
        self.unsent = 0
        self._stalls = stalls
        self._log = log
        self._size = len(self.left)
        self._thorough = thorough

    def go_on(self, there: Set[OpenConnection], now: float) -> None:
        """Look after those whose turn has come, as far as they are still there, and add up what is unsent."""
        later = max(0, math.floor(self._size * (1 - (now - self.began) / SWEEP_SECONDS)))
        while len(self.left) > later:
            connection = self.left.pop()
            if connection not in there:
                continue
            try:
                self._look_after(connection, now)
            except Exception:
                # Whatever is wrong with one, the others are looked after.
                self._log.exception("sweep_failed")
                connection.abort()

    def _look_after(self, connection: OpenConnection, now: float) -> None:
        unsent = connection.unsent
        self.unsent += unsent
        if self._stalls.look(connection, unsent, now) or (self._thorough and _is_gone(connection)):
            connection.abort()
        else:
            connection.sweep(now)

    def is_past(self, now: float) -> bool:
        """Return whether it is time for the next round."""
        return not self.left and now - self.began >= SWEEP_SECONDS


def _is_gone(connection: OpenConnection) -> bool:
    """Tell whether a request is being served to a client that has vanished."""
    peer: socket.socket | None = connection.wire.get_extra_info("socket") if connection.wire is not None else None
    if peer is None or peer.family == socket.AF_UNIX or connection.is_idle:
        return False
    return has_vanished(peer)
