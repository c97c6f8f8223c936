"""How evenly two tenants are served while both have something waiting.

Service is counted in cost units and divided by the tenant's weight. A request is served when it is dispatched. Every
figure is simulated.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from benches.goodput.admission import Penstock
from benches.goodput.measure import JITTER
from benches.goodput.virtual import Policy, World
from benches.goodput.workload import Job, Mix, arrivals

from penstock.sim.profiles import PROFILES

__all__ = ["QUEUE", "Fairness", "measure"]

QUEUE: dict[str, object] = {
    "requests": 100_000,
    "tokens": 2_000_000_000,
    "wait": "1h",
    "per_tenant": {"requests": 100_000},
}
"""A queue in which nothing is refused and nothing expires while fairness is measured."""


@dataclass(frozen=True, slots=True)
class Fairness:
    """What two tenants got while both were backlogged. Gap and bound are cost units, over the weight."""

    gap: float
    """The most that one was served beyond the other, over all intervals in which both were backlogged."""
    largest: float
    """The largest request."""
    estimate_error: float
    """How far the difference of the two accounts was off, for answers in flight whose length was only expected."""
    shares: dict[str, float]
    """Parts of the cost units, 0 to 1."""
    backlogged: float
    """Seconds in which both were."""

    @property
    def bound(self) -> float:
        """Return what the gap may be at most."""
        return 2 * self.largest + self.estimate_error


@dataclass(frozen=True, slots=True)
class Record:
    """What each tenant had got at a time, over its weight, and what the policy had charged it for that."""

    time: float
    served: dict[str, float]
    charged: dict[str, float]

    @staticmethod
    def lead(of: dict[str, float]) -> float:
        """Return by how much the first tenant is ahead of the second."""
        one, other = sorted(of)
        return of[one] - of[other]


class RecordedWorld(World):
    """A world that records after each dispatch what was served."""

    def __init__(self, mix: Mix, policy: Policy, rate: float, seed: int) -> None:
        self.weights = {part.tenant: part.weight for part in mix.parts if part.tenant is not None}
        self.records: list[Record] = []
        self._served = dict.fromkeys(self.weights, 0)
        self._charged = _accounts(policy, self._served)
        super().__init__(arrivals(mix, rate, seed), policy, PROFILES[mix.profile], jitter=JITTER, seed=seed)

    def dispatch(self, job: Job, backend: int) -> None:
        """Record it, once everything that is dispatched at the same time has been."""
        super().dispatch(job, backend)
        assert job.part.tenant is not None
        self._served[job.part.tenant] += job.cost
        self.at(self.now, self._note)

    def _note(self, _: object) -> None:
        served = {tenant: self._served[tenant] / weight for tenant, weight in self.weights.items()}
        charged = {tenant: self._charged(tenant) / weight for tenant, weight in self.weights.items()}
        self.records.append(Record(self.now, served, charged))


def measure(policy: Policy, mix: Mix, rate: float, *, seconds: float, seed: int = 0) -> Fairness:
    """Return how two tenants fare on one backend with `rate` requests a second together.

    Raises ValueError if they were never backlogged both.
    """
    world = RecordedWorld(mix, policy, rate, seed)
    world.run(seconds)
    gap = error = backlogged = 0.0
    got: dict[str, float] = defaultdict(float)
    for begin, end in _common(world.jobs, world.weights, seconds):
        backlogged += end - begin
        records = [record for record in world.records if begin <= record.time <= end]
        for before, after in pairwise(records):
            for tenant, weight in world.weights.items():
                got[tenant] += (after.served[tenant] - before.served[tenant]) * weight
        leads = [(Record.lead(record.served), Record.lead(record.charged)) for record in records]
        gap = max(gap, _range(served for served, _ in leads))
        error = max(error, _range(served - charged for served, charged in leads))
    if not backlogged:
        raise ValueError(f"{rate} requests a second leave no backlog")
    costs = (job.cost / job.part.weight for job in world.jobs if job.dispatched is not None)
    total = sum(got.values())
    return Fairness(gap, max(costs), error, {tenant: each / total for tenant, each in got.items()}, backlogged)


def _accounts(policy: Policy, served: dict[str, int]) -> Callable[[str], int]:
    """Return the function for the cost units that a policy has charged a tenant; without accounts, the exact ones."""
    return policy.charged if isinstance(policy, Penstock) else served.__getitem__


def _common(jobs: Iterable[Job], tenants: Iterable[str], until: float) -> Iterator[tuple[float, float]]:
    """Yield the periods in which all tenants had requests waiting."""
    changes: list[tuple[float, int, str]] = []
    for job in jobs:
        left = until if job.dispatched is None else job.dispatched
        if left > job.arrived and job.part.tenant is not None:
            changes += [(job.arrived, 1, job.part.tenant), (left, -1, job.part.tenant)]
    waiting = dict.fromkeys(tenants, 0)
    since: float | None = None
    for time, change, tenant in sorted(changes):
        waiting[tenant] += change
        is_common = all(waiting.values())
        if is_common and since is None:
            since = time
        elif not is_common and since is not None:
            yield since, time
            since = None


def _range(values: Iterable[float]) -> float:
    """Return the difference of the largest and the smallest value; 0 if there is none."""
    every = list(values)
    return max(every) - min(every) if every else 0.0
