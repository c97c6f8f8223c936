"""The signals that tell a process to end: SIGTERM, SIGINT and SIGQUIT; SIGHUP changes nothing."""

from __future__ import annotations

import asyncio
import enum
import signal
from typing import Protocol

__all__ = ["HANGUP_REASON", "DrainMode", "Drainable", "ShutdownSignals"]

# What the log says about a SIGHUP.
HANGUP_REASON = "SIGHUP is ignored: this version does not reload its configuration"


class DrainMode(enum.Enum):
    """When a drain stops accepting connections: after `drain.delay`, or at once."""

    AFTER_DELAY = enum.auto()
    AT_ONCE = enum.auto()


class Drainable(Protocol):
    """What can be drained."""

    async def drain(self, mode: DrainMode) -> None:
        """Stop accepting, and return when the requests in progress have ended."""


class ShutdownSignals:
    """The signals that this process has received. It belongs to the running event loop."""

    def __init__(self) -> None:
        self.drain: asyncio.Future[DrainMode] = asyncio.get_running_loop().create_future()
        self.quit = asyncio.Event()

    @classmethod
    def of_lone_process(cls) -> ShutdownSignals:
        """Listen as a process without a supervisor: the first SIGTERM or SIGINT drains, the second ends everything.

        SIGHUP, which tells daemons to read their configuration again, is ignored (`HANGUP_REASON`).
        """
        signals = cls()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        loop = asyncio.get_running_loop()

        def on_signal(mode: DrainMode) -> None:
            if signals.drain.done():
                signals.quit.set()
            else:
                signals.drain.set_result(mode)

        loop.add_signal_handler(signal.SIGTERM, on_signal, DrainMode.AFTER_DELAY)
        loop.add_signal_handler(signal.SIGINT, on_signal, DrainMode.AT_ONCE)
        return signals

    @classmethod
    def of_child(cls, supervisor: int) -> ShutdownSignals:
        """Listen as a child: SIGTERM, SIGINT and the end of the supervisor drain; SIGQUIT ends everything.

        `supervisor` is its pidfd. A terminal and systemd send a signal to every process of the group, and the
        supervisor passes it on too. So the same signal may arrive twice without meaning "end at once"; only the
        supervisor decides that, and says so by SIGQUIT. SIGHUP is for the supervisor alone.

        The supervisor forks with its signals blocked. They are unblocked here, and those that came meanwhile arrive.
        """
        signals = cls()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        loop = asyncio.get_running_loop()

        def on_drain(mode: DrainMode) -> None:
            if not signals.drain.done():
                signals.drain.set_result(mode)

        def on_quit() -> None:
            on_drain(DrainMode.AT_ONCE)
            signals.quit.set()

        def on_orphaned() -> None:
            loop.remove_reader(supervisor)
            on_drain(DrainMode.AT_ONCE)

        loop.add_signal_handler(signal.SIGTERM, on_drain, DrainMode.AFTER_DELAY)
        loop.add_signal_handler(signal.SIGINT, on_drain, DrainMode.AT_ONCE)
        loop.add_signal_handler(signal.SIGQUIT, on_quit)
        loop.add_reader(supervisor, on_orphaned)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return signals

    async def wait_and_drain(self, part: Drainable) -> bool:
        """Wait for a signal, then drain `part` until that is done or the process is told to quit.

        Returns:
            Whether the drain was completed.
        """
        mode = await self.drain
        loop = asyncio.get_running_loop()
        drain, quit_ = loop.create_task(part.drain(mode)), loop.create_task(self.quit.wait())
        await asyncio.wait((drain, quit_), return_when=asyncio.FIRST_COMPLETED)
        is_drained = drain.done()
        for task in (drain, quit_):
            task.cancel()
        if is_drained:
            drain.result()
        return is_drained
