"""A gateway and its backends in virtual time: a heap of events, without sockets or waiting.

The engines are those of the simulated server (:class:`penstock.sim.batch.Batch`); what decides is a :class:`Policy`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from typing import Any, Protocol

from benches.goodput.workload import Job

from penstock.sim.batch import Batch
from penstock.sim.profiles import Profile

__all__ = ["Policy", "World"]


class Policy(Protocol):
    """Decides when and where requests run, by calls to the world that it is started in."""

    def start(self, world: World) -> None:
        """Begin: once, before anything arrives."""

    def arrive(self, job: Job) -> None:
        """Take a request: now, or at any later time, :meth:`World.dispatch` it or :meth:`World.refuse` it."""

    def first_token(self, job: Job) -> None:
        """Learn that a request has its first token."""

    def finish(self, job: Job) -> None:
        """Learn that a request has its last token."""


class SimulatedBackend:
    """One backend: its batch, and whether a step is going on."""

    __slots__ = ("batch", "stepping")

    def __init__(self, profile: Profile, jitter: float, seed: int) -> None:
        self.batch: Batch[Job] = Batch(profile, jitter=jitter, seed=seed)
        self.stepping = False


class World:
    """All that happens, in order. Times are seconds since the start.

    arrivals: requests in order of their arrival. backends: how many engines of `profile` there are.
    """

    def __init__(
        self,
        arrivals: Iterable[Job],
        policy: Policy,
        profile: Profile,
        *,
        backends: int = 1,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.now = 0.0
        self.profile = profile
        self.engines = [SimulatedBackend(profile, jitter, seed + index) for index in range(backends)]
        self.jobs: list[Job] = []
        """All that have arrived."""
        self._arrivals = iter(arrivals)
        self._policy = policy
        self._events: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._order = 0
        policy.start(self)
        self._next_arrival()

    def at(self, time: float, what: Callable[[Any], None], argument: Any = None) -> None:
        """Let something happen at a time; what is planned for the same time happens in the order of planning."""
        self._order += 1
        heappush(self._events, (time, self._order, what, argument))

    def run(self, until: float) -> None:
        """Let time pass."""
        while self._events and self._events[0][0] <= until:
            self.now, _, what, argument = heappop(self._events)
            what(argument)
        self.now = until

    # For the policy

    def dispatch(self, job: Job, backend: int) -> None:
        """Send a request to a backend; its engine sees it after the API time."""
        job.dispatched, job.backend = self.now, backend
        self.at(self.now + self.profile.api_seconds(job.prompt), self._join, job)

    def refuse(self, job: Job) -> None:
        """Turn a request away."""
        job.refused = self.now

    # Events

    def _next_arrival(self) -> None:
        job = next(self._arrivals, None)
        if job is not None:
            self.at(job.arrived, self._arrive, job)

    def _arrive(self, job: Job) -> None:
        self._next_arrival()
        self.jobs.append(job)
        self._policy.arrive(job)

    def _join(self, job: Job) -> None:
        engine = self.engines[job.backend]
        engine.batch.submit(job)
        if not engine.stepping:
            self._begin(engine)

    def _begin(self, engine: SimulatedBackend) -> None:
        step = engine.batch.begin()
        engine.stepping = step is not None
        if step is not None:
            self.at(self.now + step.seconds, self._end, engine)

    def _end(self, engine: SimulatedBackend) -> None:
        ended = engine.batch.end()
        for job in ended.first:
            job.first = self.now
            self._policy.first_token(job)
        for job in ended.finished:
            job.ended = self.now
            self._policy.finish(job)
        self._begin(engine)
