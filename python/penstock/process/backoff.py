"""How long to wait before a child that died is started again."""

from __future__ import annotations

__all__ = ["Backoff"]

FIRST_SECONDS = 0.1
MOST_SECONDS = 5.0
# A child that lived this long has died of something else than its start.
STEADY_SECONDS = 10.0


class Backoff:
    """No pause after a steady life; else 100 ms, doubling up to 5 s. It never gives up."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def pause(self, lived: float) -> float:
        """Return the seconds to wait after a life of `lived` seconds."""
        if lived >= STEADY_SECONDS:
            self._next = FIRST_SECONDS
            return 0.0
        pause = self._next
        self._next = min(2 * pause, MOST_SECONDS)
        return pause
