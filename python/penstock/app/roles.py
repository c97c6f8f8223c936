"""What the supervisor's children are: workers and control."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import uvloop

from penstock.app.control import Control
from penstock.app.worker import Worker
from penstock.app.worker_tracker import WorkerTracker
from penstock.metrics.log import LogWriter
from penstock.process.freeze_gc import freeze_gc
from penstock.process.shutdown_signals import DrainMode, ShutdownSignals
from penstock.process.watchdog import Watchdog

if TYPE_CHECKING:
    from penstock.app.shared import Shared

__all__ = ["ControlRole", "OnReady", "WorkerRole"]

OnReady = Callable[[Control], Awaitable[None]]
"""Awaited once when everything accepts connections; it prints the banner."""


class WorkerRole:
    """Serves clients on a socket of its own. What it holds in the segment belongs to (index, generation)."""

    def __init__(self, shared: Shared, index: int) -> None:
        self.name = f"worker {index}"
        self._shared = shared
        self._index = index
        self._generation = 0

    def begin(self) -> None:
        """Take a new generation."""
        self._generation = self._shared.segment.begin(self._index)

    def ended(self) -> None:
        """Reclaim the permits of the dead process; they stay `closing` for the abort grace."""
        self._shared.segment.reclaim(self._index, self._generation)

    def run(self) -> int:
        """Serve until drained."""
        return uvloop.run(self._serve())

    async def _serve(self) -> int:
        shared = self._shared
        signals = ShutdownSignals.of_child(shared.supervisor)
        listener = shared.sockets.keep_data(self._index)
        shared.channel.close_receiver()
        settings = shared.config.load()
        log_writer = LogWriter.standard_output(settings.log)
        worker = Worker(settings, shared.segment, listener, log_writer, index=self._index, generation=self._generation)
        await worker.start()
        freeze_gc()
        shared.channel.send("worker_ready", worker=self._index, pid=os.getpid())
        await signals.wait_and_drain(worker)
        await worker.stop()
        log_writer.close()
        return 0


class ControlRole:
    """Probes backends, answers the admin listener and watches the workers, until the last of them is gone.

    `on_ready` is awaited when all workers are ready for the first time, in the first process of this role only.
    """

    def __init__(self, shared: Shared, on_ready: OnReady) -> None:
        self.name = "control"
        self._shared = shared
        self._on_ready = on_ready
        self._starts = 0

    def begin(self) -> None:
        """Count the start."""
        self._starts += 1

    def ended(self) -> None:
        """Do nothing: control holds nothing in the segment."""

    def run(self) -> int:
        """Control until no worker is left."""
        return uvloop.run(self._serve())

    async def _serve(self) -> int:
        shared = self._shared
        signals = ShutdownSignals.of_child(shared.supervisor)
        listener = shared.sockets.keep_admin()
        shared.channel.close_sender()
        settings = shared.config.load()
        log_writer = LogWriter.standard_output(settings.log)
        control = Control(settings, shared.segment, listener, log_writer)
        watchdog = Watchdog(shared.segment, control.log)
        await control.start()
        watchdog.start()
        freeze_gc()
        workers = WorkerTracker(shared.channel, settings.workers, control.log)
        announcement = asyncio.create_task(self._announce(control, workers))
        await signals.wait_and_drain(_UntilWorkersEnd(control, workers))
        announcement.cancel()
        watchdog.stop()
        await control.stop()
        log_writer.close()
        if not shared.has_supervisor():
            shared.close()
        return 0

    async def _announce(self, control: Control, workers: WorkerTracker) -> None:
        await workers.all_ready.wait()
        if self._starts == 1:
            await self._on_ready(control)


class _UntilWorkersEnd:
    """Control's drain: it lasts as long as any worker does."""

    def __init__(self, control: Control, workers: WorkerTracker) -> None:
        self._control = control
        self._workers = workers

    async def drain(self, mode: DrainMode) -> None:
        self._control.draining = True
        await self._workers.all_gone.wait()
