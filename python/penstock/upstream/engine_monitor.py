"""What the engines report about themselves, and what it is used for.

Their KV memory becomes the limit where the configuration says ``kv_tokens: auto``, signs of drift are counted and
logged, and the rest is shown on the status page. No request waits for any of it.
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

__all__ = ["EngineMonitor"]

# Tokens; larger numbers are not plausible, and do not fit into the core's type.
MAX_TOKENS = 1 << 62
# Gauges older than some rounds of the scraper are not shown: the page is gone, or its server.
FRESH_SECONDS = 5.0


class EngineMonitor:
    """Reads the gauges of the engines behind all backends, once it is started."""

    def __init__(self, segment: Segment, backends: list[Backend], log: FilteringBoundLogger) -> None:
        self._segment = segment
        self._names = [backend.name for backend in backends]
        self._log = log
        self._facts = [Facts()] * len(backends)
        self._gauges = [Gauges()] * len(backends)
        # When the gauges were read, by `time.monotonic()`.
        self._read_at = [-math.inf] * len(backends)
        self._scraper = Scraper(
            backends,
            log,
            own=segment.inflight,
            report=self._report_drift,
            facts=self._store_facts,
            gauges=self._store_gauges,
        )

    def start(self) -> None:
        """Begin to read."""
        self._scraper.start()

    async def stop(self) -> None:
        """Stop reading."""
        await self._scraper.stop()

    def status(self, backend: int) -> dict[str, Any]:
        """Return the known facts and gauges of an engine; what it does not report is left out."""
        facts, gauges = self._facts[backend], self._gauges[backend]
        known = {
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
        return {name: value for name, value in known.items() if value is not None}

    def gauges(self, backend: int) -> Gauges:
        """Return an engine's gauges; empty if they are older than `FRESH_SECONDS`."""
        is_fresh = time.monotonic() - self._read_at[backend] < FRESH_SECONDS
        return self._gauges[backend] if is_fresh else Gauges()

    def _report_drift(self, backend: int, signal: str) -> None:
        self._segment.drift(backend, signal)
        gauges = {
            name: value for name, value in asdict(self._gauges[backend]).items() if isinstance(value, int | float)
        }
        own = self._segment.inflight(backend)
        self._log.warning("backend_drift", backend=self._names[backend], signal=signal, own=own, **gauges)

    def _store_facts(self, backend: int, facts: Facts) -> None:
        self._facts[backend] = facts
        context = facts.context
        self._segment.set_context(backend, None if context is None else min(context, MAX_TOKENS))
        if facts.kv_tokens is not None:
            self._segment.set_kv_tokens(backend, min(facts.kv_tokens, MAX_TOKENS))

    def _store_gauges(self, backend: int, gauges: Gauges) -> None:
        self._gauges[backend] = gauges
        self._read_at[backend] = time.monotonic()
