"""Reads the gauges of all backends in rounds."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from penstock.upstream.backend_tasks import BackendTasks
from penstock.upstream.client import page_of, session_for
from penstock.upstream.drift import DriftDetector
from penstock.upstream.gauges import Facts, Gauges, Reading
from penstock.upstream.page_schedule import Cadence, PageSchedule

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    from structlog.typing import FilteringBoundLogger

    from penstock.config.settings import Backend
    from penstock.upstream.page_schedule import ScheduledPage

__all__ = ["Scraper"]

# Everything that is learned from gauges uses windows of a second. Asking a busy server more often would cost its event
# loop some milliseconds each time and gain no accuracy: requests are limited by our own counts.
ROUND_SECONDS = 1.0
TIMEOUT_SECONDS = 1.0


class Scraper:
    """Asks every backend for its gauges, in a task of its own, and passes them on. It sends plain GETs: no tokens."""

    def __init__(
        self,
        backends: list[Backend],
        log: FilteringBoundLogger,
        *,
        own: Callable[[int], int],
        report: Callable[[int, str], object],
        facts: Callable[[int, Facts], object],
        gauges: Callable[[int, Gauges], object],
        round_seconds: float = ROUND_SECONDS,
    ) -> None:
        """Make it ready; every callable gets the backend's index first.

        Args:
            backends: in the order of their indices.
            log: told of rounds that fail unexpectedly.
            own: returns the slots that requests of all workers use there, those in `closing` included.
            report: called with a `DriftSignal`, at most once a minute for each.
            facts: called when the facts have changed.
            gauges: called after each round in which the server reported some.
            round_seconds: from the beginning of a round to the beginning of the next.
        """
        self._backends = backends
        self._own = own
        self._report = report
        self._facts = facts
        self._gauges = gauges
        self._round_seconds = round_seconds
        self._tasks = BackendTasks(log.bind(watch="gauges"))

    def start(self) -> None:
        """Begin to ask."""
        self._tasks.start(
            {backend.name: partial(self._keep_reading, index) for index, backend in enumerate(self._backends)}
        )

    async def stop(self) -> None:
        """Stop asking."""
        await self._tasks.stop()

    async def _keep_reading(self, index: int) -> None:
        backend = self._backends[index]
        reader = _BackendReader(backend)
        loop = asyncio.get_running_loop()
        # Spread the backends over the round: reading 256 pages at once would block the loop.
        due = loop.time() + self._round_seconds * index / len(self._backends)
        async with session_for(backend, TIMEOUT_SECONDS) as session:
            while True:
                await asyncio.sleep(due - loop.time())
                await self._round(index, reader, session)
                due = max(due + self._round_seconds, loop.time())

    async def _round(self, index: int, reader: _BackendReader, session: aiohttp.ClientSession) -> None:
        now = asyncio.get_running_loop().time()
        own = self._own(index)
        known = reader.facts
        gauges = await reader.ask(session, own, now)
        own = max(own, self._own(index))
        if reader.facts != known:
            self._facts(index, reader.facts)
        if gauges is None:
            reader.drift.skip()
            return
        if gauges != Gauges():
            self._gauges(index, gauges)
        for signal in reader.drift.observe(gauges, own, now):
            self._report(index, signal)


class _BackendReader:
    """Reads the pages of one backend, and keeps what it has learned."""

    def __init__(self, backend: Backend) -> None:
        self.drift = DriftDetector()
        self.facts = Facts()
        self._backend = backend
        self._schedule = PageSchedule()

    async def ask(self, session: aiohttp.ClientSession, own: int, now: float) -> Gauges | None:
        """Ask for the pages that are due, and keep the facts. None: no page with gauges was due, or no answer came."""
        total, has_gauges = Reading(), False
        for item in self._schedule.due(now, own):
            reading = await self._read(session, item, now)
            if reading is None:
                has_gauges = False
                break
            total |= reading
            has_gauges |= item.page.cadence is not Cadence.RARELY
        if total.facts.engine not in (None, self.facts.engine):
            self.facts, self.drift = Facts(), DriftDetector()
        self.facts = total.facts | self.facts
        return total.gauges if has_gauges else None

    async def _read(self, session: aiohttp.ClientSession, item: ScheduledPage, now: float) -> Reading | None:
        for at, path, read in item.paths():
            body = await page_of(session, self._backend, path)
            if body is None:
                return None
            reading = read(body)
            if reading is not None:
                self._schedule.understood(item, at, reading, now)
                return reading
        self._schedule.missed(item, now)
        return Reading()
