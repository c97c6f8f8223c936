"""A timer that goes off again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["TICK_SECONDS", "Ticker"]

# The core's timers are as coarse as this.
TICK_SECONDS = 0.01


class Ticker:
    """Calls back every `TICK_SECONDS`, and measures how late the loop is."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._lag = 0.0
        self._due = self._loop.time() + TICK_SECONDS
        self._timer = self._loop.call_at(self._due, self._tick)

    def take_lag(self) -> float:
        """Return the seconds of the worst lateness since the last call."""
        lag, self._lag = self._lag, 0.0
        return lag

    def stop(self) -> None:
        """Tick no more."""
        self._timer.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        self._lag = max(self._lag, now - self._due)
        self._due = now + TICK_SECONDS
        self._timer = self._loop.call_at(self._due, self._tick)
        self._callback()
