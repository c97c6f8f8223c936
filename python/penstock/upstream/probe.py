"""Whether a backend is there, and under which name it knows its model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import orjson

from penstock.upstream.client import session_for, url_of, whole
from penstock.upstream.watches import Watches

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock._core import Segment
    from penstock.config.settings import Backend

__all__ = ["Probe", "Prober"]

# A backend that is there is asked rarely; one that is not, often, so that it comes back soon.
HEALTHY_SECONDS = 5.0
DOWN_SECONDS = 1.0
TIMEOUT_SECONDS = 2.0
# Failures in a row after which a backend that was there counts as down.
FAILURES_TO_DOWN = 3


class Probe:
    """What is known of one backend, and why."""

    def __init__(self, index: int, backend: Backend) -> None:
        self.index = index
        self.backend = backend
        self.serves = backend.serves
        self.reason: str | None = "not probed yet"
        self.failures = 0

    @property
    def usable(self) -> bool:
        """Whether the backend answers and its model is known."""
        return self.reason is None


class Prober:
    """Asks every backend for its models, again and again. A plain GET: it never costs a token."""

    def __init__(self, segment: Segment, backends: list[Backend], log: FilteringBoundLogger) -> None:
        self.probes = [Probe(index, backend) for index, backend in enumerate(backends)]
        self._segment = segment
        self._log = log
        self._watches = Watches()

    def start(self) -> None:
        """Begin to probe."""
        self._watches.start(map(self._watch, self.probes))

    async def stop(self) -> None:
        """Stop probing."""
        await self._watches.stop()

    async def _watch(self, probe: Probe) -> None:
        async with session_for(probe.backend, TIMEOUT_SECONDS) as session:
            while True:
                self._settle(probe, await self._ask(session, probe))
                await asyncio.sleep(HEALTHY_SECONDS if probe.usable and not probe.failures else DOWN_SECONDS)

    async def _ask(self, session: aiohttp.ClientSession, probe: Probe) -> str | None:
        """Return why the backend cannot be used; None if it can."""
        try:
            async with session.get(url_of(probe.backend, "/v1/models"), allow_redirects=False) as answer:
                body = await whole(answer)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return _sentence(error)
        if answer.status == 503:
            return "answers 503: not ready"
        if probe.serves is None:
            if answer.status != 200:
                return f"GET /v1/models answers {answer.status}; give `serves`"
            return self._learn_name(probe, body)
        return None

    @staticmethod
    def _learn_name(probe: Probe, body: bytes) -> str | None:
        try:
            names = [str(model["id"]) for model in orjson.loads(body)["data"]]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return "GET /v1/models is no list of models; give `serves`"
        if len(names) != 1:
            return f"serves {len(names)} models ({', '.join(names[:5])}); give `serves`"
        probe.serves = names[0]
        return None

    def _settle(self, probe: Probe, reason: str | None) -> None:
        before = probe.reason
        if reason is None:
            probe.failures, probe.reason = 0, None
            self._segment.set_backend(probe.index, "healthy", probe.serves)
        else:
            probe.failures += 1
            if before is None and probe.failures < FAILURES_TO_DOWN:
                return
            probe.reason = reason
            if probe.serves is None or probe.failures >= FAILURES_TO_DOWN:
                self._segment.set_backend(probe.index, "down", probe.serves)
        if probe.reason != before:
            if probe.reason is None:
                self._log.info("backend_up", backend=probe.backend.name, serves=probe.serves)
            else:
                self._log.warning("backend_down", backend=probe.backend.name, reason=probe.reason)


def _sentence(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:.0f} s"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect: {error.os_error.strerror or error.os_error}"
    return str(error) or type(error).__name__
