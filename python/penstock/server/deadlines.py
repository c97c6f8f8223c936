"""By when the parts of a request must have come. All times are of `time.monotonic()`."""

from __future__ import annotations

import time

__all__ = ["BODY_SECONDS", "HEAD_SECONDS", "Deadlines"]

# Within this time a whole head must come, and a whole body: a slower client would hold a connection for nothing.
HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0


class Deadlines:
    """When the head of the latest request began and when it was complete."""

    def __init__(self) -> None:
        # When a head that is not complete yet began.
        self._head_began = 0.0
        self.head_came = 0.0
        """When the last head was complete."""
        self._heads = 0
        # Whether another protocol has read the beginning of the first request, so that its time is running already.
        self._is_taken_over = False

    def begin_head(self) -> None:
        """Take note that the first bytes of a head have come."""
        self._head_began = time.monotonic()

    def end_head(self) -> None:
        """Take note that a head is complete."""
        self._heads += 1
        self.head_came = time.monotonic()

    def take_over(self, since: float, *, is_in_head: bool) -> None:
        """Count from `since` on: another protocol has received the first bytes then, and they are parsed by now."""
        self._is_taken_over = True
        if is_in_head:
            self._head_began = since
        else:
            self.head_came = since

    def is_head_late(self, now: float) -> bool:
        """Tell whether a head that has begun and is not complete has taken too long."""
        return now - self._head_began > HEAD_SECONDS

    @property
    def body_due(self) -> float:
        """By when a body that is read from now on must be complete."""
        is_running = self._is_taken_over and self._heads == 1
        return (self.head_came if is_running else time.monotonic()) + BODY_SECONDS
