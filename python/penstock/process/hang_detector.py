"""Kills a worker whose event loop has stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock._core import Segment

__all__ = ["CHECKS_TO_KILL", "HangDetector"]

# Checks in a row, one a second, without progress after which a worker is killed. Many, because its death cuts off all
# that it serves; not more, because the kernel goes on giving it connections, and those hang.
CHECKS_TO_KILL = 10


@dataclasses.dataclass
class _WatchedProcess:
    pid: int
    # A pid alone could belong to another process by the time of the kill.
    pidfd: int
    last_tick: int = 0
    checks_without_tick: int = 0


class HangDetector:
    """Checks whether every worker still runs its timers, and kills one that does not; the supervisor restarts it.

    It counts its own checks and not seconds, so that nobody is killed after the whole machine was suspended. The pids
    come from the segment, so that a restarted control watches the same workers.
    """

    def __init__(self, segment: Segment, log: FilteringBoundLogger) -> None:
        self._segment = segment
        self._log = log
        self._watched: dict[int, _WatchedProcess] = {}

    def check(self) -> None:
        """Check all workers. To be called once a second."""
        for worker, (pid, tick) in enumerate(self._segment.worker_heartbeats()):
            process = self._process_of(worker, pid)
            if process is None:
                continue
            process.checks_without_tick = process.checks_without_tick + 1 if tick == process.last_tick else 0
            process.last_tick = tick
            if process.checks_without_tick >= CHECKS_TO_KILL:
                self._kill(worker, process.pidfd)

    def stop(self) -> None:
        """Watch nobody any more."""
        for worker in list(self._watched):
            self._forget(worker)

    def _process_of(self, worker: int, pid: int) -> _WatchedProcess | None:
        process = self._watched.get(worker)
        if process is not None and process.pid != pid:
            self._forget(worker)
            process = None
        # A worker in this very process cannot hang while this runs.
        if process is None and pid not in (0, os.getpid()):
            # It may just have died, or there may be no free descriptor: the next check tries again.
            with contextlib.suppress(OSError):
                process = self._watched[worker] = _WatchedProcess(pid, os.pidfd_open(pid))
        return process

    def _kill(self, worker: int, pidfd: int) -> None:
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except ProcessLookupError:
            # It has died by itself, and the supervisor has not reaped it yet.
            return
        finally:
            self._forget(worker)
        self._log.error("worker_killed", worker=worker, reason=f"its loop stood still for {CHECKS_TO_KILL} s")

    def _forget(self, worker: int) -> None:
        process = self._watched.pop(worker, None)
        if process is not None:
            os.close(process.pidfd)
