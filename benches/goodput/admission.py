"""Penstock's own admission, the compiled core, as a policy of the virtual world."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from penstock._core import Admission
from penstock.config import load_text
from penstock.config.routing import routing_json

if TYPE_CHECKING:
    from benches.goodput.virtual import World
    from benches.goodput.workload import Job, Mix

__all__ = ["Penstock"]

SECOND = 1_000_000_000
"""In the core's nanoseconds."""
TICK = 0.010
"""Seconds between two ticks of a worker."""
START = 1.0
"""Seconds on the core's clock when the simulation begins; there, 0 means never."""


class Penstock:
    """The queue of a gateway with one tier and one worker, configured as an operator would: slots, and the SLO.

    The memory of the KV caches is told as it would be read from the engines; the rate of prefill is learned.
    mix: what it is configured for. queue: settings of the tier's queue other than the defaults.
    """

    def __init__(self, mix: Mix, queue: dict[str, Any] | None = None) -> None:
        self._mix = mix
        self._queue = queue or {}

    def start(self, world: World) -> None:
        """Make the limiter, and let it tick."""
        self._world = world
        self._waiting: dict[int, Job] = {}
        self.admission = Admission(self._config(len(world.engines)))
        for backend in range(len(world.engines)):
            self.admission.set_health(backend, "healthy", self._now())
            self.admission.set_kv_tokens(backend, world.profile.kv_tokens, self._now())
        world.at(TICK, self._tick)

    def arrive(self, job: Job) -> None:
        """Offer."""
        word, number, backend = self.admission.offer(
            self._now(),
            tier=0,
            prompt_tokens=job.prompt,
            max_tokens=job.part.max_tokens,
            tenant=job.part.tenant,
            weight=job.part.weight,
        )
        job.ticket = number
        if word == "queued":
            self._waiting[number] = job
        else:
            self._decide(job, word, backend)
        self._take()

    def first_token(self, job: Job) -> None:
        """Give the prefill units back."""
        self.admission.first_token(job.ticket, self._now())
        self._take()

    def finish(self, job: Job) -> None:
        """Settle by what was used, and give the permit back."""
        self.admission.settle(job.ticket, job.prompt, job.output)
        self.admission.release(job.ticket, self._now())
        self._take()

    def charged(self, tenant: str) -> int:
        """Return the cost units that a tenant was charged, by estimate for what is in flight."""
        return self.admission.charged(tenant)

    def _tick(self, _: object) -> None:
        self.admission.tick(self._now())
        self._take()
        self._world.at(self._world.now + TICK, self._tick)

    def _take(self) -> None:
        for ticket, word, backend in self.admission.take():
            self._decide(self._waiting.pop(ticket), word, backend)

    def _decide(self, job: Job, word: str, backend: int) -> None:
        if word == "granted":
            self._world.dispatch(job, backend)
        else:
            self._world.refuse(job)

    def _now(self) -> int:
        return round((START + self._world.now) * SECOND)

    def _config(self, backends: int) -> str:
        engine = {"serves": "sim", "concurrency": self._mix.slots, "prefill_tokens": "auto", "kv_tokens": "auto"}
        engines = {f"b{at}": {"url": f"http://127.0.0.1:{at + 1}", **engine} for at in range(backends)}
        slo = self._mix.parts[0].slo
        tier = {
            "profile": self._mix.tier,
            "models": ["sim"],
            "backends": list(engines),
            "slo": {"first_token": _aim(slo.first_token), "inter_token": _aim(slo.per_token)},
            "queue": self._queue,
        }
        # JSON is YAML.
        return routing_json(load_text(json.dumps({"backends": engines, "tiers": {"sim": tier}}), "simulation"))


def _aim(seconds: float) -> str | None:
    return None if math.isinf(seconds) else f"{round(seconds * 1000)}ms"
