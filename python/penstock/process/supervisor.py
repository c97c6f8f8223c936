"""The parent of all processes: it forks them, forks them anew when they die, and passes on signals.

It has no threads and no event loop, so there is little that can go wrong in it.
"""

from __future__ import annotations

import enum
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from penstock.process.backoff import Backoff
from penstock.process.child import Child, Role
from penstock.process.orders import HANGUP_REASON

if TYPE_CHECKING:
    from resource import struct_rusage

    from penstock.process.news import News

__all__ = ["Supervisor"]

EXIT_OK = 0
# A worker has died while it drained, and with it what it still served.
EXIT_LOST = 1
EXIT_INTERRUPTED = 130
# After the order to quit, children tell their clients and write their log; then they are killed.
QUIT_SECONDS = 3.0
# Blocked, and taken one by one where it suits: so none comes between a decision and what follows from it.
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stage(enum.Enum):
    """What the supervisor wants."""

    SERVING = enum.auto()
    DRAINING = enum.auto()
    QUITTING = enum.auto()


class Supervisor:
    """Runs control and the workers until all of them have ended on its order."""

    def __init__(
        self, control: Role, workers: Sequence[Role], *, news: News, stop_accepting: Callable[[], None]
    ) -> None:
        """Take the roles.

        Args:
            control: it lives as long as any worker does.
            workers: what serves.
            news: where to tell of deaths.
            stop_accepting: called once, when the drain begins: closes what this process holds for later lives.
        """
        self._control = control
        self._workers = workers
        self._news = news
        self._stop_accepting = stop_accepting
        self._stage = Stage.SERVING
        self._lost = False
        # The signal that began the drain, and all that the children were sent.
        self._order: int | None = None
        self._sent: set[int] = set()
        self._children: dict[int, Child] = {}
        self._pauses = {role: Backoff() for role in (control, *workers)}
        # Roles that wait for another life, and until when.
        self._waiting: dict[Role, float] = {}
        self._kill_at: float | None = None

    def run(self) -> int:
        """Fork all, and stay until the last has ended.

        Return the exit code: 0, 1 if a worker has died while it drained, 130 if cut short.

        SIGTERM and SIGINT go to the children, which drain; a second one of either kind ends them at once. SIGHUP is
        told of and changes nothing.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        # Where SIGCHLD is ignored, and that is inherited, the kernel buries children itself and says nothing. SIGHUP is
        # ignored under nohup.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        for role in (self._control, *self._workers):
            self._start(role)
        while self._stage is Stage.SERVING or self._children:
            number = self._next_signal()
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self._news.tell("reload_ignored", reason=HANGUP_REASON)
            elif number is not None:
                self._end(number)
            self._on_time(time.monotonic())
        if self._stage is Stage.QUITTING:
            return EXIT_INTERRUPTED
        return EXIT_LOST if self._lost else EXIT_OK

    def _next_signal(self) -> int | None:
        """Wait for a signal, or for the moment at which something is due."""
        moments = [*self._waiting.values(), *(() if self._kill_at is None else (self._kill_at,))]
        if not moments:
            return signal.sigwaitinfo(WATCHED).si_signo
        found = signal.sigtimedwait(WATCHED, max(0.0, min(moments) - time.monotonic()))
        return None if found is None else found.si_signo

    def _on_time(self, now: float) -> None:
        for role in [role for role, due in self._waiting.items() if due <= now]:
            del self._waiting[role]
            if self._is_wanted(role):
                self._start(role)
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_at = None
            self._signal_all(signal.SIGKILL)

    def _start(self, role: Role) -> None:
        try:
            child = Child.fork(role)
        except OSError as error:
            self._news.tell("fork_failed", process=role.name, reason=error.strerror)
            self._restart_later(role, 0.0)
        else:
            self._children[child.pid] = child
            if self._order is not None:
                os.kill(child.pid, self._order)

    def _restart_later(self, role: Role, lived: float) -> None:
        self._waiting[role] = time.monotonic() + self._pauses[role].pause(lived)

    def _reap(self) -> None:
        """Bury every child that has ended: one SIGCHLD may stand for many."""
        while self._children:
            # As the first process of a container it also gets children that it never had.
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                child.role.ended()
                self._bury(child, status, usage)

    def _bury(self, child: Child, status: int, usage: struct_rusage) -> None:
        lived = time.monotonic() - child.born
        failed = status != 0 and not self._is_our_doing(status)
        if failed or self._stage is Stage.SERVING:
            self._news.tell(
                "process_ended",
                process=child.role.name,
                pid=child.pid,
                cause=_cause(status),
                lived_seconds=round(lived, 3),
                cpu_seconds=round(usage.ru_utime + usage.ru_stime, 3),
                peak_mib=usage.ru_maxrss >> 10,
            )
        if self._is_wanted(child.role):
            self._restart_later(child.role, lived)
        elif failed and child.role is not self._control:
            self._lost = True
        if self._stage is not Stage.SERVING and not self._has_workers():
            # Control ends when there can be no more news.
            self._news.keep_receiver()

    def _is_our_doing(self, status: int) -> bool:
        """Whether a signal of ours has killed the child: an order does, if it comes after the child's loop is closed.

        A terminal and systemd send it to all, so whoever had nothing to do is already leaving when it comes from here.
        """
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) in self._sent

    def _is_wanted(self, role: Role) -> bool:
        """Whether the role is to live again. Workers that drain still need control, as what times out is its task."""
        if self._stage is Stage.DRAINING:
            return role is self._control and self._has_workers()
        return self._stage is Stage.SERVING

    def _has_workers(self) -> bool:
        return any(child.role is not self._control for child in self._children.values())

    def _end(self, number: int) -> None:
        """Pass on a first signal; take a second one as the wish to end at once."""
        match self._stage:
            case Stage.SERVING:
                self._stage, self._order = Stage.DRAINING, number
                self._stop_accepting()
                self._signal_all(number)
            case Stage.DRAINING:
                self._stage = Stage.QUITTING
                self._kill_at = time.monotonic() + QUIT_SECONDS
                self._signal_all(signal.SIGQUIT)
            case Stage.QUITTING:
                return
        # Whoever has died just now is brought back only if it is still needed.
        self._waiting = {role: due for role, due in self._waiting.items() if self._is_wanted(role)}
        if not self._has_workers():
            self._news.keep_receiver()

    def _signal_all(self, number: int) -> None:
        self._sent.add(number)
        # None of them is reaped yet, so their ids are still theirs.
        for pid in self._children:
            os.kill(pid, number)


def _cause(status: int) -> str:
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
