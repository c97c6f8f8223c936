"""Goodput (as DistServe defines it): how many requests a policy finishes within their service level.

Every figure is simulated.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from benches.goodput.policies import SlotCap
from benches.goodput.virtual import World
from benches.goodput.workload import arrivals

from penstock.sim.profiles import PROFILES

if TYPE_CHECKING:
    from benches.goodput.virtual import Policy
    from benches.goodput.workload import Job, Mix

__all__ = ["Point", "capacity", "measure"]

JITTER = 0.07
WARM_UP = 0.2
"""The first part of a run, which is not counted."""
LENGTHS = {"to 512": 512, "to 2048": 2048, "longer": math.inf}
"""Classes of prompts and their maximum tokens: a policy may be good on average and bad for one of them."""
PILE = 50_000
"""Requests that wait from the start when capacity is measured: more than any run finishes."""


@dataclass(frozen=True, slots=True)
class Point:
    """One policy under one load. Rates are a second and a backend."""

    offered: float
    good: float
    """Requests that finished within their SLO, by their time of arrival."""
    rejected: float
    """Part of the requests, 0 to 1."""
    first_p50: float
    first_p99: float
    """Seconds from arrival to first token, of those that got one."""
    good_work: float
    """Cost units of the good requests: it does not grow when short requests are served in place of long ones."""
    wait_p99: float
    """Seconds from arrival to dispatch, of those dispatched."""
    output_tokens: float
    preemptions: int
    good_by_prompt: dict[str, float]
    rejected_by_prompt: dict[str, float]
    """Parts of the requests whose prompts are so long, by the classes of LENGTHS."""
    good_by_tenant: dict[str, float]
    """Good requests, as a part of the tenant's own."""
    service_by_tenant: dict[str, float]
    """Cost units dispatched, as a part of all."""


def capacity(mix: Mix, *, seconds: float, seed: int = 0) -> float:
    """Return what one backend can do: requests finished a second while all of the mix's slots are always taken."""
    pile = islice(arrivals(mix, 1e9, seed), PILE)
    world = World(pile, SlotCap(mix.slots), PROFILES[mix.profile], jitter=JITTER, seed=seed)
    world.run(seconds)
    since = WARM_UP * seconds
    finished = sum(job.ended is not None and job.ended > since for job in world.jobs)
    return finished / (seconds - since)


def measure(policy: Policy, mix: Mix, rate: float, *, seconds: float, backends: int = 1, seed: int = 0) -> Point:
    """Return how the policy fares with `rate` requests a second and backend.

    Counted are the requests that arrive in the last four fifths of `seconds`. Then requests go on arriving until it is
    known of each of those whether it was good: the end of a run is no relief.
    """
    source = arrivals(mix, rate * backends, seed)
    world = World(source, policy, PROFILES[mix.profile], backends=backends, jitter=JITTER, seed=seed)
    since = WARM_UP * seconds
    world.run(since)
    before = _generated(world)
    world.run(seconds)
    tokens = _generated(world) - before
    counted = [job for job in world.jobs if job.arrived > since]
    open_jobs = counted
    while open_jobs := [job for job in open_jobs if not _is_decided(job, world.now)]:
        world.run(world.now + 1.0)
    scale = (seconds - since) * backends
    good: dict[str, list[bool]] = defaultdict(list)
    for job in counted:
        good[job.part.tenant or ""].append(job.is_good())
    by_prompt: dict[str, list[Job]] = {name: [] for name in LENGTHS}
    for job in counted:
        by_prompt[next(name for name, most in LENGTHS.items() if job.prompt <= most)].append(job)
    first = [job.first - job.arrived for job in counted if job.first is not None]
    waits = [job.dispatched - job.arrived for job in counted if job.dispatched is not None]
    return Point(
        offered=len(counted) / scale,
        good=sum(map(sum, good.values())) / scale,
        rejected=_part(job.refused is not None for job in counted),
        first_p50=_quantile(first, 0.50),
        first_p99=_quantile(first, 0.99),
        good_work=sum(job.cost for job in counted if job.is_good()) / scale,
        wait_p99=_quantile(waits, 0.99),
        output_tokens=tokens / scale,
        preemptions=sum(engine.batch.preemptions for engine in world.engines),
        good_by_prompt={name: _part(job.is_good() for job in jobs) for name, jobs in by_prompt.items()},
        rejected_by_prompt={name: _part(job.refused is not None for job in jobs) for name, jobs in by_prompt.items()},
        good_by_tenant={tenant: _part(each) for tenant, each in sorted(good.items()) if tenant},
        service_by_tenant=_service(world.jobs, since, seconds),
    )


def _is_decided(job: Job, now: float) -> bool:
    """Whether it is known if the request is a good one."""
    if job.refused is not None or job.ended is not None:
        return True
    seen = now if job.first is None else job.first
    return seen - job.arrived > job.part.slo.first_token


def _part(are: Iterable[bool]) -> float:
    """Return which part is true, 0 to 1; 0 of none."""
    every = list(are)
    return sum(every) / max(1, len(every))


def _generated(world: World) -> int:
    return sum(engine.batch.generated_tokens for engine in world.engines)


def _service(jobs: Iterable[Job], since: float, until: float) -> dict[str, float]:
    """Return the part of the cost units that each tenant got between two times."""
    units: dict[str, int] = defaultdict(int)
    for job in jobs:
        if job.part.tenant is not None and job.dispatched is not None and since < job.dispatched <= until:
            units[job.part.tenant] += job.cost
    total = sum(units.values())
    return {tenant: each / total for tenant, each in sorted(units.items())}


def _quantile(values: list[float], part: float) -> float:
    """Return the value that `part` of all do not exceed; 0 if there is none."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0
