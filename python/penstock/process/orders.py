"""When a process has to end, and how: SIGTERM, SIGINT and SIGHUP."""

from __future__ import annotations

import asyncio
import enum
import signal
from typing import Protocol

__all__ = ["HANGUP_REASON", "Drainable", "Orders", "Way"]

# What the log says of a SIGHUP.
HANGUP_REASON = "SIGHUP is ignored: this version does not reload its configuration"


class Way(enum.Enum):
    """How a drain begins."""

    AFTER_DELAY = enum.auto()
    AT_ONCE = enum.auto()


class Drainable(Protocol):
    """What can be drained."""

    async def drain(self, way: Way) -> None:
        """Stop accepting, and return when what ran has ended."""


class Orders:
    """The orders that a process has got. They belong to its event loop."""

    def __init__(self) -> None:
        self.drain: asyncio.Future[Way] = asyncio.get_running_loop().create_future()
        self.quit = asyncio.Event()

    @classmethod
    def of_signals(cls) -> Orders:
        """Listen as a process that runs alone: the first signal drains, the second ends everything.

        SIGHUP, by which a daemon is told to read its configuration again, ends nothing (`HANGUP_REASON`).
        """
        orders = cls()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        loop = asyncio.get_running_loop()

        def on_signal(way: Way) -> None:
            if orders.drain.done():
                orders.quit.set()
            else:
                orders.drain.set_result(way)

        loop.add_signal_handler(signal.SIGTERM, on_signal, Way.AFTER_DELAY)
        loop.add_signal_handler(signal.SIGINT, on_signal, Way.AT_ONCE)
        return orders

    @classmethod
    def of_supervisor(cls, pidfd: int) -> Orders:
        """Listen as a child: SIGTERM and SIGINT drain, SIGQUIT ends, and so does, with a drain, the supervisor's end.

        A terminal and systemd send a signal to every process of theirs, beside the one that the supervisor passes on.
        So the same order may come twice, and which of them is the second one is the supervisor's to say. SIGHUP is for
        the supervisor alone.

        It forks with its signals blocked; from here on they come through, those included that came meanwhile.
        """
        orders = cls()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        loop = asyncio.get_running_loop()

        def on_drain(way: Way) -> None:
            if not orders.drain.done():
                orders.drain.set_result(way)

        def on_quit() -> None:
            on_drain(Way.AT_ONCE)
            orders.quit.set()

        def on_orphaned() -> None:
            loop.remove_reader(pidfd)
            on_drain(Way.AT_ONCE)

        loop.add_signal_handler(signal.SIGTERM, on_drain, Way.AFTER_DELAY)
        loop.add_signal_handler(signal.SIGINT, on_drain, Way.AT_ONCE)
        loop.add_signal_handler(signal.SIGQUIT, on_quit)
        loop.add_reader(pidfd, on_orphaned)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return orders

    async def obey(self, part: Drainable) -> bool:
        """Wait for the order to drain and drain, unless told to quit. Return whether the drain came to its end."""
        way = await self.drain
        loop = asyncio.get_running_loop()
        drain, quit_ = loop.create_task(part.drain(way)), loop.create_task(self.quit.wait())
        await asyncio.wait((drain, quit_), return_when=asyncio.FIRST_COMPLETED)
        drained = drain.done()
        for task in (drain, quit_):
            task.cancel()
        if drained:
            drain.result()
        return drained
