"""What is done with what the engines say of themselves.

Their KV memory becomes the limit where the configuration says ``kv_tokens: auto``, what shows that something goes wrong
is counted and logged, and the rest is for the status page. No request waits for any of it.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from penstock.upstream.gauges import Facts, Gauges
from penstock.upstream.scraper import Scraper

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock._core import Segment
    from penstock.config.settings import Backend

__all__ = ["Engines"]

# Tokens; above is nonsense, and no number of the core.
LARGEST = 1 << 62
# What is older than some rounds of the scraper is of another moment: the page has gone, or its server.
FRESH_SECONDS = 5.0


class Engines:
    """Watches the engines behind the backends. Start it, and it reads their gauges."""

    def __init__(self, segment: Segment, backends: list[Backend], log: FilteringBoundLogger) -> None:
        self._segment = segment
        self._names = [backend.name for backend in backends]
        self._log = log
        self._facts = [Facts()] * len(backends)
        self._gauges = [Gauges()] * len(backends)
        # When they were read, by `time.monotonic()`.
        self._noted = [-math.inf] * len(backends)
        self._scraper = Scraper(
            backends,
            log,
            own=segment.inflight,
            report=self._report,
            facts=self._learn,
            gauges=self._note,
        )

    def start(self) -> None:
        """Begin to read."""
        self._scraper.start()

    async def stop(self) -> None:
        """Stop reading."""
        await self._scraper.stop()

    def status(self, backend: int) -> dict[str, Any]:
        """Return what an engine has said, without what it does not tell."""
        facts, gauges = self._facts[backend], self._gauges[backend]
        said = {
            "engine": facts.engine and facts.engine.value,
            "version": facts.version,
            "slots": facts.slots,
            "context": facts.context,
            "kv_tokens": facts.kv_tokens,
            "running": gauges.running,
            "waiting": gauges.waiting,
            "kv_usage": gauges.kv_usage,
            "preemptions": gauges.preemptions,
        }
        return {name: value for name, value in said.items() if value is not None}

    def gauges(self, backend: int) -> Gauges:
        """Return what an engine says of itself now; nothing, if it has not said anything for some rounds."""
        is_fresh = time.monotonic() - self._noted[backend] < FRESH_SECONDS
        return self._gauges[backend] if is_fresh else Gauges()

    def _report(self, backend: int, signal: str) -> None:
        self._segment.drift(backend, signal)
        gauges = {
            name: value for name, value in asdict(self._gauges[backend]).items() if isinstance(value, int | float)
        }
        own = self._segment.inflight(backend)
        self._log.warning("backend_drift", backend=self._names[backend], signal=signal, own=own, **gauges)

    def _learn(self, backend: int, facts: Facts) -> None:
        self._facts[backend] = facts
        context = facts.context
        self._segment.set_context(backend, None if context is None else min(context, LARGEST))
        if facts.kv_tokens is not None:
            self._segment.set_kv_tokens(backend, min(facts.kv_tokens, LARGEST))

    def _note(self, backend: int, gauges: Gauges) -> None:
        self._gauges[backend] = gauges
        self._noted[backend] = time.monotonic()
