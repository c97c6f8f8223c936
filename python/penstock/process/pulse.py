"""Ends a worker whose event loop has stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock._core import Segment

__all__ = ["LOOKS", "Pulse"]

# Looks, one a second, in which a worker may stand still. Long, because its death cuts off all that it serves; not
# longer, because connections go on being given to it, and hang.
LOOKS = 10


@dataclasses.dataclass
class _Life:
    pid: int
    # Not the number: that could be another's when it comes to killing.
    pidfd: int
    beat: int = 0
    still: int = 0


class Pulse:
    """Sees whether every worker still runs its timers, and kills one that does not: the supervisor starts it anew.

    It counts its own looks and not the time, so that a pause of the whole machine kills nobody. Who is there it learns
    from the segment, so that another life of control watches the same workers.
    """

    def __init__(self, segment: Segment, log: FilteringBoundLogger) -> None:
        self._segment = segment
        self._log = log
        self._lives: dict[int, _Life] = {}

    def look(self) -> None:
        """Look at all. To be called once a second."""
        for worker, (pid, beat) in enumerate(self._segment.pulses()):
            life = self._life(worker, pid)
            if life is None:
                continue
            life.still = life.still + 1 if beat == life.beat else 0
            life.beat = beat
            if life.still >= LOOKS:
                self._kill(worker, life.pidfd)

    def stop(self) -> None:
        """Look at nobody any more."""
        for worker in list(self._lives):
            self._forget(worker)

    def _life(self, worker: int, pid: int) -> _Life | None:
        life = self._lives.get(worker)
        if life is not None and life.pid != pid:
            self._forget(worker)
            life = None
        # A worker in this process stands still when this does.
        if life is None and pid not in (0, os.getpid()):
            # It may have died a moment ago, or files are short: the next look tries again.
            with contextlib.suppress(OSError):
                life = self._lives[worker] = _Life(pid, os.pidfd_open(pid))
        return life

    def _kill(self, worker: int, pidfd: int) -> None:
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            # It has died by itself, and the supervisor does not know yet.
            return
        finally:
            self._forget(worker)
        self._log.error("worker_killed", worker=worker, reason=f"its loop stood still for {LOOKS} s")

    def _forget(self, worker: int) -> None:
        life = self._lives.pop(worker, None)
        if life is not None:
            os.close(life.pidfd)
