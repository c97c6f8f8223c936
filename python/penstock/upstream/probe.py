"""Probes backends: whether they can be used, and under which name they know their model.

A probe fails if there is no connection, no answer in time, a 502, 503 or 504, a 401 or 403 (requests carry the same
headers), or a list of models without the name that requests would ask for, if the server refuses unlisted names. Any
other answer counts as good, as some servers have no list. After three failures in a row a backend is down: it gets no
new requests, running ones go on, and the first good probe brings it back. A backend that has never been healthy is down
after the first answer that shows that it cannot be used. If requests cannot get through to a backend, it is `ejected`
before that: closed for a moment, and then tried with one request at a time; its next probe is sent at once.

A backend whose model's name is not known is down from the start, because no request can be written for it.

A server that answers although its engine hangs (`penstock.upstream.engine_hang`) fails the probe too.

A server whose GPU is fully loaded may serve its requests and have no time for a probe. So time-outs count as successive
only if no request has received anything from it in between: a first token, or a later one.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import aiohttp
import orjson

from penstock.upstream.backend_tasks import BackendTasks
from penstock.upstream.client import session_for, url_of, whole
from penstock.upstream.dialer import ConnectError
from penstock.upstream.gauges import Gauges
from penstock.upstream.liveness import Liveness

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from penstock._core import Segment
    from penstock.config.settings import Backend

__all__ = ["Probe", "Prober"]

# A healthy backend is probed rarely; another one often, so that it comes back soon.
HEALTHY_SECONDS = 5.0
DOWN_SECONDS = 1.0
TIMEOUT_SECONDS = 2.0
# The health by a backend's state in the segment, for a restarted control.
HEALTH: dict[str, Literal["healthy", "down"]] = {"healthy": "healthy", "slow_start": "healthy", "down": "down"}
# Failures in a row after which a healthy backend counts as down.
FAILURES_TO_DOWN = 3
# Statuses of a server that is loading its model, and of a proxy without a server behind it.
NOT_READY = {502, 503, 504}
# The `owned_by` in the lists of servers that answer 404 to unlisted names: vLLM, LMDeploy, Ollama. Others serve their
# one model under any name, or load what is asked for.
STRICT_OWNERS = {"vllm", "lmdeploy", "library"}
# The tag that Ollama adds to a name without one.
DEFAULT_TAG = ":latest"


class ProbeFailure(NamedTuple):
    """Why a backend cannot be used."""

    reason: str
    is_answer: bool
    """Whether an answer of the server shows it. A missing answer may be temporary."""


class ListedModel(NamedTuple):
    """A model on a server's list."""

    name: str
    owner: str
    """`owned_by`."""


class Probe:
    """What is known of one backend."""

    def __init__(self, index: int, backend: Backend, known: dict[str, Any]) -> None:
        """Begin with the backend's part of a snapshot, which an earlier control process may have filled."""
        self.index = index
        self.backend = backend
        self.serves: str | None = backend.serves or known["serves"]
        # Without a name its state is down from the start, which is not the result of a probe.
        self.health: Literal["unknown", "healthy", "down"] = (
            "unknown" if self.serves is None else HEALTH.get(known["state"], "unknown")
        )
        self.reason = None if self.health == "healthy" else "not probed yet"
        """Why it is not healthy."""
        self.failures = 0
        self.heard = 0.0
        """When a request had last received something from the backend, at the time of its last probe that timed out."""
        self.is_listed = True
        """Whether the configured name was on the last list of models."""

    @property
    def is_steady(self) -> bool:
        """Whether the backend is healthy and its last probe was good."""
        return self.health == "healthy" and not self.failures


class Prober:
    """Asks every backend for its models in turn. That is a plain GET; only a hung engine is asked for a token."""

    def __init__(
        self,
        segment: Segment,
        backends: list[Backend],
        log: FilteringBoundLogger,
        *,
        gauges: Callable[[int], Gauges] = lambda _: Gauges(),
    ) -> None:
        """Make it. `gauges` returns the gauges of a backend's engine; empty if they are not known."""
        known = segment.snapshot()["backends"]
        self.probes = [Probe(index, backend, known[index]) for index, backend in enumerate(backends)]
        self._segment = segment
        self._log = log
        self._gauges = gauges
        self._tasks = BackendTasks(log.bind(watch="probe"))

    def start(self) -> None:
        """Begin to probe."""
        self._tasks.start({probe.backend.name: partial(self._watch, probe) for probe in self.probes})

    async def stop(self) -> None:
        """Stop probing."""
        await self._tasks.stop()

    async def _watch(self, probe: Probe) -> None:
        liveness = Liveness(probe.index, probe.backend, self._segment, self._gauges)
        async with session_for(probe.backend, TIMEOUT_SECONDS) as session:
            while True:
                failure = await self._ask(session, probe)
                if failure is None and probe.serves is not None:
                    hang = await liveness.hang(session, probe.serves, is_down=probe.health == "down")
                    failure = ProbeFailure(hang, is_answer=True) if hang is not None else None
                self._settle(probe, failure)
                await self._rest(probe)

    async def _rest(self, probe: Probe) -> None:
        """Wait until the next probe is due. The wait ends early when requests find that the backend is gone."""
        end = asyncio.get_running_loop().time() + (HEALTHY_SECONDS if probe.is_steady else DOWN_SECONDS)
        was_out = self._is_out(probe)
        while (left := end - asyncio.get_running_loop().time()) > 0:
            await asyncio.sleep(min(left, DOWN_SECONDS))
            if self._is_out(probe) and not was_out:
                return

    def _is_out(self, probe: Probe) -> bool:
        return self._segment.states()[probe.index][1] == "ejected"

    async def _ask(self, session: aiohttp.ClientSession, probe: Probe) -> ProbeFailure | None:
        """Probe once. Return why the backend cannot be used; None if it can."""
        try:
            async with session.get(url_of(probe.backend, "/v1/models"), allow_redirects=False) as answer:
                body = await whole(answer)
        except TimeoutError:
            self._reset_if_heard(probe)
            return ProbeFailure(f"no answer within {TIMEOUT_SECONDS:g} s", is_answer=False)
        except ConnectError as error:
            if error.kind == "refused":
                self._segment.note_closed(probe.index)
            return ProbeFailure(f"cannot connect: {error}", is_answer=False)
        except (aiohttp.ClientError, OSError) as error:
            return ProbeFailure(str(error) or type(error).__name__, is_answer=False)
        reason = self._refusal(probe, answer.status, body)
        return None if reason is None else ProbeFailure(reason, is_answer=True)

    def _reset_if_heard(self, probe: Probe) -> None:
        """Reset the count of failures if a request has received something from the backend since the last time-out."""
        _, _, heard, _ = self._segment.liveness(probe.index)
        if heard != probe.heard:
            probe.heard, probe.failures = heard, 0

    def _refusal(self, probe: Probe, status: int, body: bytes) -> str | None:
        """Return why a server that answers like this cannot be used; None if it can."""
        if status in NOT_READY:
            return f"answers {status}: not ready"
        if status in (401, 403):
            what = "the configured key is refused" if probe.backend.request_headers else "it wants an `api_key`"
            return f"answers {status}: {what}"
        models = _models(body) if status == 200 else None
        if probe.backend.serves is None:
            return self._learn_name(probe, status, models)
        return None if models is None else self._unlisted(probe, probe.backend.serves, models)

    def _learn_name(self, probe: Probe, status: int, models: list[ListedModel] | None) -> str | None:
        """Take the name from the list, at each probe, as the server may have been restarted with another model.

        Returns:
            Why there is no name. A learned name is kept until there is a list without it.
        """
        if models is None and probe.serves is None:
            return f"GET /v1/models answers {status} without a list of models; give `serves`"
        names = [model.name for model in models or ()]
        if models is None or probe.serves in names:
            return None
        if len(names) != 1:
            return f"serves {len(names)} models ({', '.join(names[:5])}); give `serves`"
        if probe.serves is not None:
            self._log.warning("backend_serves", backend=probe.backend.name, before=probe.serves, now=names[0])
        probe.serves = names[0]
        return None

    def _unlisted(self, probe: Probe, serves: str, models: list[ListedModel]) -> str | None:
        """Compare the configured name with the list. Return why the server would refuse it; None if it would not."""
        names = [model.name for model in models]
        was_listed, probe.is_listed = probe.is_listed, serves in names or serves + DEFAULT_TAG in names
        if probe.is_listed:
            return None
        listed = ", ".join(names[:5]) or "no model"
        if models and {model.owner for model in models} <= STRICT_OWNERS:
            return f"serves {listed}, not {serves}"
        if was_listed:
            self._log.warning("backend_serves_unlisted", backend=probe.backend.name, serves=serves, listed=listed)
        return None

    def _settle(self, probe: Probe, failure: ProbeFailure | None) -> None:
        probe.failures = 0 if failure is None else probe.failures + 1
        before = probe.health
        if failure is None:
            probe.health, probe.reason = "healthy", None
        elif probe.serves is None or probe.failures >= FAILURES_TO_DOWN or (failure.is_answer and before == "unknown"):
            probe.health, probe.reason = "down", failure.reason
        elif before != "healthy":
            probe.reason = failure.reason
        if probe.health == "down" or failure is None:
            out = self._segment.set_backend(probe.index, probe.health, probe.serves)
            if out is not None:
                self._log.info("backend_reachable", backend=probe.backend.name, seconds=round(out, 3))
        if probe.health == before:
            return
        if probe.health == "healthy":
            self._log.info("backend_up", backend=probe.backend.name, serves=probe.serves)
        else:
            self._log.warning("backend_down", backend=probe.backend.name, reason=probe.reason)


def _models(body: bytes) -> list[ListedModel] | None:
    """Return the models of a list; None: the page is not a list of models."""
    try:
        return [ListedModel(str(model["id"]), str(model.get("owned_by"))) for model in orjson.loads(body)["data"]]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
