"""Ends a process that holds the segment's lock and stands still."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock._core import Segment

__all__ = ["Watchdog"]


class Watchdog:
    """Has the segment watch the lock's holder, and tells whom it has killed.

    The robust lock notices that a holder has died, not that it was stopped or throttled, and then everybody waits.
    It is a thread because control's loop may be among those who wait.
    """

    def __init__(self, segment: Segment, log: FilteringBoundLogger) -> None:
        self._segment = segment
        self._log = log
        self._thread = threading.Thread(target=self._run, name="penstock-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._segment.end_watch()
        self._thread.join()

    def _run(self) -> None:
        while (thread := self._segment.watch_lock()) is not None:
            self._log.error("lock_holder_killed", thread=thread)
