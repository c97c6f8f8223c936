"""Kills a process that holds the segment's lock and makes no progress."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock._core import Segment

__all__ = ["Watchdog"]


class Watchdog:
    """A thread that watches the holder of the lock, and logs which thread it has killed.

    The robust mutex detects a holder that has died, not one that was stopped or throttled; then everybody would wait.
    It is a thread because control's own event loop may be among those that wait.
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
