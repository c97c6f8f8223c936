"""How long to wait before a child that died is started again."""

from __future__ import annotations

__all__ = ["Backoff"]

FIRST_SECONDS = 0.1
MAX_SECONDS = 5.0
# A process that ran this long did not fail in its start, so the pauses begin at zero again.
LONG_RUN_SECONDS = 10.0


class Backoff:
    """No pause after a long run; otherwise 100 ms, doubling up to 5 s. It never gives up."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def pause(self, lived: float) -> float:
        """Return the seconds to wait after a process that ran for `lived` seconds."""
        if lived >= LONG_RUN_SECONDS:
            self._next = FIRST_SECONDS
            return 0.0
        pause = self._next
        self._next = min(2 * pause, MAX_SECONDS)
        return pause
