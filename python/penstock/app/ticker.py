"""A timer that goes off again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["IDLE_SECONDS", "TICK_SECONDS", "Ticker"]

# The core's timers are as coarse as this while there are requests.
TICK_SECONDS = 0.01
# While there are none, or so much happens that the core looks at them by the way. A tick through Python costs more
# than 0.1 ms: an idle gateway should cost next to nothing, and a busy one has better things to do.
IDLE_SECONDS = 0.05


class Ticker:
    """Calls back every `pace()` seconds, and measures how late the loop is."""

    def __init__(self, callback: Callable[[], None], pace: Callable[[], float]) -> None:
        self._callback = callback
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self._lag = 0.0
        self._due = self._loop.time() + pace()
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
        self._due = now + self._pace()
        self._timer = self._loop.call_at(self._due, self._tick)
        self._callback()
