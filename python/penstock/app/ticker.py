"""A repeating timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["IDLE_SECONDS", "TICK_SECONDS", "Ticker"]

# The resolution of the core's timers while requests wait for one of them.
TICK_SECONDS = 0.01
# The interval while there are no requests, or so many that the core checks its timers with each of them. A tick through
# Python costs more than 0.1 ms, which an idle gateway should not spend and a busy one cannot spare.
IDLE_SECONDS = 0.05


class Ticker:
    """Calls `callback` every `pace()` seconds, and measures how late the loop is."""

    def __init__(self, callback: Callable[[], None], pace: Callable[[], float]) -> None:
        self._callback = callback
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._lag = 0.0
        self._due = self._loop.time() + pace()
        self._timer = self._loop.call_at(self._due, self._tick)

    def take_lag(self) -> float:
        """Return the worst lateness since the last call, in seconds."""
        lag, self._lag = self._lag, 0.0
        return lag

    def stop(self) -> None:
        """Stop it."""
        self._timer.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        self._lag = max(self._lag, now - self._due)
        self._due = now + self._pace()
        self._timer = self._loop.call_at(self._due, self._tick)
        self._callback()
