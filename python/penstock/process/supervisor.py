"""The parent of all processes: it forks them, restarts those that die, and passes signals on.

It has no threads and no event loop, so that little can go wrong in it.
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
from penstock.process.shutdown_signals import HANGUP_REASON

if TYPE_CHECKING:
    from resource import struct_rusage

    from penstock.process.control_channel import ControlChannel

__all__ = ["Supervisor"]

EXIT_OK = 0
# A worker has died while it drained, and the requests that it still served were cut off.
EXIT_LOST = 1
EXIT_INTERRUPTED = 130
# How long children may take after SIGQUIT to end their answers and to write their log; then they are killed.
QUIT_SECONDS = 3.0
# They stay blocked and are read one at a time by the main loop, so that none interrupts the code in between.
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Phase(enum.Enum):
    """What the supervisor is doing."""

    SERVING = enum.auto()
    DRAINING = enum.auto()
    QUITTING = enum.auto()


class Supervisor:
    """Runs control and the workers until a signal has ended all of them."""

    def __init__(
        self, control: Role, workers: Sequence[Role], *, channel: ControlChannel, stop_accepting: Callable[[], None]
    ) -> None:
        """Take the roles.

        Args:
            control: it is kept alive as long as any worker is.
            workers: what serves clients.
            channel: where the deaths of processes are reported.
            stop_accepting: called once, when the drain begins: closes what this process keeps for restarted workers.
        """
        self._control = control
        self._workers = workers
        self._channel = channel
        self._stop_accepting = stop_accepting
        self._phase = Phase.SERVING
        self._has_lost_requests = False
        # The signal that began the drain, and all signals that were sent to the children.
        self._drain_signal: int | None = None
        self._sent: set[int] = set()
        self._children: dict[int, Child] = {}
        self._backoffs = {role: Backoff() for role in (control, *workers)}
        # When roles without a process are to be started again.
        self._restarts: dict[Role, float] = {}
        self._kill_at: float | None = None

    def run(self) -> int:
        """Fork all, and return when the last has ended.

        Returns:
            The exit code: 0, 1 if a worker has died while it drained, 130 if the drain was cut short.

        SIGTERM and SIGINT are passed on to the children, which drain; a second one of either kind ends them at once.
        SIGHUP is logged and changes nothing.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        # Ignored signals are inherited. With SIGCHLD ignored the kernel reaps children without sending a signal; nohup
        # ignores SIGHUP.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        for role in (self._control, *self._workers):
            self._start(role)
        while self._phase is Phase.SERVING or self._children:
            number = self._next_signal()
            if number == signal.SIGCHLD:
                self._reap()
            elif number == signal.SIGHUP:
                self._channel.send("reload_ignored", reason=HANGUP_REASON)
            elif number is not None:
                self._end(number)
            self._on_time(time.monotonic())
        if self._phase is Phase.QUITTING:
            return EXIT_INTERRUPTED
        return EXIT_LOST if self._has_lost_requests else EXIT_OK

    def _next_signal(self) -> int | None:
        """Wait for a signal, or until a restart or the kill is due; return its number, or None."""
        moments = [*self._restarts.values(), *(() if self._kill_at is None else (self._kill_at,))]
        if not moments:
            return signal.sigwaitinfo(WATCHED).si_signo
        found = signal.sigtimedwait(WATCHED, max(0.0, min(moments) - time.monotonic()))
        return None if found is None else found.si_signo

    def _on_time(self, now: float) -> None:
        for role in [role for role, due in self._restarts.items() if due <= now]:
            del self._restarts[role]
            if self._is_wanted(role):
                self._start(role)
        if self._kill_at is not None and self._kill_at <= now:
            self._kill_at = None
            self._signal_all(signal.SIGKILL)

    def _start(self, role: Role) -> None:
        try:
            child = Child.fork(role)
        except OSError as error:
            self._channel.send("fork_failed", process=role.name, reason=error.strerror)
            self._restart_later(role, 0.0)
        else:
            self._children[child.pid] = child
            if self._drain_signal is not None:
                os.kill(child.pid, self._drain_signal)

    def _restart_later(self, role: Role, lived: float) -> None:
        self._restarts[role] = time.monotonic() + self._backoffs[role].pause(lived)

    def _reap(self) -> None:
        """Reap every child that has ended: one SIGCHLD may stand for several."""
        while self._children:
            # As the first process of a container it also inherits orphans that it has not forked.
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                child.role.ended()
                self._handle_exit(child, status, usage)

    def _handle_exit(self, child: Child, status: int, usage: struct_rusage) -> None:
        lived = time.monotonic() - child.born
        failed = status != 0 and not self._is_our_doing(status)
        if failed or self._phase is Phase.SERVING:
            self._channel.send(
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
            self._has_lost_requests = True
        if self._phase is not Phase.SERVING and not self._has_workers():
            # Nothing more can be reported, and the end-of-file is what control ends at.
            self._channel.close_sender()

    def _is_our_doing(self, status: int) -> bool:
        """Tell whether the child has died of a signal that we sent, which is a normal end.

        A terminal and systemd signal all processes, so a child without requests may already have closed its loop, and
        with it its signal handlers, when the same signal comes from here.
        """
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) in self._sent

    def _is_wanted(self, role: Role) -> bool:
        """Tell whether the role is to be restarted. Draining workers need control too: it expires queued requests."""
        if self._phase is Phase.DRAINING:
            return role is self._control and self._has_workers()
        return self._phase is Phase.SERVING

    def _has_workers(self) -> bool:
        return any(child.role is not self._control for child in self._children.values())

    def _end(self, number: int) -> None:
        """Drain at the first signal; end at once at the second."""
        match self._phase:
            case Phase.SERVING:
                self._phase, self._drain_signal = Phase.DRAINING, number
                self._stop_accepting()
                self._signal_all(number)
            case Phase.DRAINING:
                self._phase = Phase.QUITTING
                self._kill_at = time.monotonic() + QUIT_SECONDS
                self._signal_all(signal.SIGQUIT)
            case Phase.QUITTING:
                return
        # A process that died just now is restarted only if its role is still needed.
        self._restarts = {role: due for role, due in self._restarts.items() if self._is_wanted(role)}
        if not self._has_workers():
            self._channel.close_sender()

    def _signal_all(self, number: int) -> None:
        self._sent.add(number)
        # None of them has been reaped yet, so no other process can have their pids.
        for pid in self._children:
            os.kill(pid, number)


def _cause(status: int) -> str:
    return f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit {os.WEXITSTATUS(status)}"
