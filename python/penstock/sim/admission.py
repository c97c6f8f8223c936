"""Penstock's own admission, the compiled core, as a policy of the virtual world."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock._core import Admission
from penstock.config import load_text
from penstock.server.routing import routing_json

if TYPE_CHECKING:
    from penstock.sim.virtual import World
    from penstock.sim.workload import Job, Slo

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
    """

    def __init__(self, slots: int, slo: Slo, profile: str = "instant") -> None:
        self._slots = slots
        self._slo = slo
        self._profile = profile

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
            self._now(), tier=0, prompt_tokens=job.prompt, max_tokens=job.max_tokens, tenant=job.tenant
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
        names = [f"b{index}" for index in range(backends)]
        engine = f"serves: sim, concurrency: {self._slots}, prefill_tokens: auto, kv_tokens: auto"
        lines = ["backends:"]
        lines += [f"  {name}: {{url: 'http://127.0.0.1:{at}', {engine}}}" for at, name in enumerate(names, 1)]
        slo = f"{{first_token: {_ms(self._slo.first_token)}, inter_token: {_ms(self._slo.per_token)}}}"
        tier = f"profile: {self._profile}, models: [sim], backends: [{', '.join(names)}], slo: {slo}"
        lines += ["tiers:", f"  sim: {{{tier}}}"]
        return routing_json(load_text("\n".join(lines), "simulation"))


def _ms(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
