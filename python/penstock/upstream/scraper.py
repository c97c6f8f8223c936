"""Reading the gauges of all backends, again and again."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from penstock.upstream.agenda import Agenda, Cadence
from penstock.upstream.client import page_of, session_for
from penstock.upstream.drift import Drift
from penstock.upstream.gauges import Facts, Gauges, Reading
from penstock.upstream.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp
    from structlog.typing import FilteringBoundLogger

    from penstock.config.settings import Backend
    from penstock.upstream.agenda import Item

__all__ = ["Scraper"]

# A second is the window of everything that is learned from the gauges. To ask a busy server more often
# would cost its event loop some milliseconds a time, and make nothing exact: our own counts are the gate.
ROUND_SECONDS = 1.0
TIMEOUT_SECONDS = 1.0


class Scraper:
    """Asks every backend for its gauges, in a task of its own, and hands on what they say. Plain GETs: no tokens."""

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
            own: returns the slots of ours in use there, by all workers, those included that are closing.
            report: called with a `Signal`, at most once a minute for each.
            facts: called when the facts have changed.
            gauges: called after each round in which the server showed some.
            round_seconds: from the beginning of a round to the beginning of the next.
        """
        self._backends = backends
        self._own = own
        self._report = report
        self._facts = facts
        self._gauges = gauges
        self._round_seconds = round_seconds
        self._watches = Watches(log.bind(watch="gauges"))

    def start(self) -> None:
        """Begin to ask."""
        self._watches.start({backend.name: partial(self._watch, index) for index, backend in enumerate(self._backends)})

    async def stop(self) -> None:
        """Stop asking."""
        await self._watches.stop()

    async def _watch(self, index: int) -> None:
        backend = self._backends[index]
        watch = _Watch(backend)
        loop = asyncio.get_running_loop()
        # Not all at once: to read 256 pages takes a while.
        due = loop.time() + self._round_seconds * index / len(self._backends)
        async with session_for(backend, TIMEOUT_SECONDS) as session:
            while True:
                await asyncio.sleep(due - loop.time())
                await self._round(index, watch, session)
                due = max(due + self._round_seconds, loop.time())

    async def _round(self, index: int, watch: _Watch, session: aiohttp.ClientSession) -> None:
        now = asyncio.get_running_loop().time()
        own = self._own(index)
        known = watch.facts
        gauges = await watch.ask(session, own, now)
        own = max(own, self._own(index))
        if watch.facts != known:
            self._facts(index, watch.facts)
        if gauges is None:
            watch.drift.skip()
            return
        if gauges != Gauges():
            self._gauges(index, gauges)
        for signal in watch.drift.observe(gauges, own, now):
            self._report(index, signal)


class _Watch:
    """What is known of one backend."""

    def __init__(self, backend: Backend) -> None:
        self.drift = Drift()
        self.facts = Facts()
        self._backend = backend
        self._agenda = Agenda()

    async def ask(self, session: aiohttp.ClientSession, own: int, now: float) -> Gauges | None:
        """Ask for the pages that are due, and keep the facts; None: no gauges were asked for, or no answer came."""
        total, has_gauges = Reading(), False
        for item in self._agenda.due(now, own):
            reading = await self._read(session, item, now)
            if reading is None:
                has_gauges = False
                break
            total |= reading
            has_gauges |= item.page.cadence is not Cadence.RARELY
        if total.facts.engine not in (None, self.facts.engine):
            self.facts, self.drift = Facts(), Drift()
        self.facts = total.facts | self.facts
        return total.gauges if has_gauges else None

    async def _read(self, session: aiohttp.ClientSession, item: Item, now: float) -> Reading | None:
        for way, path, read in item.ways():
            body = await page_of(session, self._backend, path)
            if body is None:
                return None
            reading = read(body)
            if reading is not None:
                self._agenda.understood(item, way, reading, now)
                return reading
        self._agenda.missed(item, now)
        return Reading()
