"""What the supervisor's children do with their lives."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import uvloop

from penstock.app.control import Control
from penstock.app.worker import Worker
from penstock.metrics.log import LogWriter
from penstock.process.orders import Orders, Way
from penstock.process.roster import Roster
from penstock.process.watchdog import Watchdog

if TYPE_CHECKING:
    from penstock.app.shared import Shared

__all__ = ["ControlRole", "Greet", "WorkerRole"]

Greet = Callable[[Control], Awaitable[None]]


class WorkerRole:
    """Serves on its own socket. Its rows in the segment belong to (index, generation)."""

    def __init__(self, shared: Shared, index: int) -> None:
        self.name = f"worker {index}"
        self._shared = shared
        self._index = index
        self._generation = 0

    def begin(self) -> None:
        """Take a new generation."""
        self._generation = self._shared.segment.begin(self._index)

    def ended(self) -> None:
        """Give back what the dead one held; by way of `closing`, as its backends may still be at work."""
        self._shared.segment.reclaim(self._index, self._generation)

    def run(self) -> int:
        """Serve until drained."""
        return uvloop.run(self._serve())

    async def _serve(self) -> int:
        shared = self._shared
        orders = Orders.of_supervisor(shared.supervisor)
        listener = shared.sockets.keep_data(self._index)
        shared.news.keep_sender()
        settings = shared.config.load()
        log_writer = LogWriter.standard_output(settings.log)
        worker = Worker(settings, shared.segment, listener, log_writer, index=self._index, generation=self._generation)
        await worker.start()
        settle()
        shared.news.tell("worker_ready", worker=self._index, pid=os.getpid())
        await orders.obey(worker)
        await worker.stop()
        log_writer.close()
        return 0


class ControlRole:
    """Looks after the others until the last of them is gone; greets when all serve for the first time."""

    def __init__(self, shared: Shared, greet: Greet) -> None:
        self.name = "control"
        self._shared = shared
        self._greet = greet
        self._lives = 0

    def begin(self) -> None:
        """Count its lives."""
        self._lives += 1

    def ended(self) -> None:
        """Nothing to clear up: all that counts is in the segment."""

    def run(self) -> int:
        """Control until no worker is left."""
        return uvloop.run(self._serve())

    async def _serve(self) -> int:
        shared = self._shared
        orders = Orders.of_supervisor(shared.supervisor)
        listener = shared.sockets.keep_admin()
        shared.news.keep_receiver()
        settings = shared.config.load()
        log_writer = LogWriter.standard_output(settings.log)
        control = Control(settings, shared.segment, listener, log_writer)
        watchdog = Watchdog(shared.segment, control.log)
        await control.start()
        watchdog.start()
        settle()
        roster = Roster(shared.news, settings.workers, control.log)
        greeting = asyncio.create_task(self._greet_all(control, roster))
        await orders.obey(_Vigil(control, roster))
        greeting.cancel()
        watchdog.stop()
        await control.stop()
        log_writer.close()
        if not shared.has_supervisor():
            shared.close()
        return 0

    async def _greet_all(self, control: Control, roster: Roster) -> None:
        await roster.all_ready.wait()
        if self._lives == 1:
            await self._greet(control)


class _Vigil:
    """Control's drain: it stays as long as any worker."""

    def __init__(self, control: Control, roster: Roster) -> None:
        self._control = control
        self._roster = roster

    async def drain(self, way: Way) -> None:
        self._control.draining = True
        await self._roster.all_gone.wait()


def settle() -> None:
    """Tell the collector that what exists now lives as long as the process."""
    gc.collect()
    gc.freeze()
