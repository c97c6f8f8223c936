"""The look at each connection once a second."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from structlog.typing import FilteringBoundLogger

    from penstock.server.registry import Connection
    from penstock.server.stall import Stalls

__all__ = ["Sweep"]

# How often each connection is looked after.
SWEEP_SECONDS = 1.0


class Sweep:
    """One round over the connections, in parts: all are done when it is over. Times are of `time.monotonic()`."""

    def __init__(
        self, connections: Sequence[Connection], stalls: Stalls, log: FilteringBoundLogger, began: float
    ) -> None:
        self.began = began
        self.left = list(connections)
        # Bytes that wait for all of them.
        self.unsent = 0
        self._stalls = stalls
        self._log = log
        self._size = len(self.left)

    def go_on(self, there: Set[Connection], now: float) -> None:
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

    def _look_after(self, connection: Connection, now: float) -> None:
        unsent = connection.unsent
        self.unsent += unsent
        if self._stalls.look(connection, unsent, now):
            connection.abort()
        else:
            connection.sweep(now)

    def is_past(self, now: float) -> bool:
        """Return whether it is time for the next round."""
        return not self.left and now - self.began >= SWEEP_SECONDS
