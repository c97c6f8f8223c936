"""The policies of gateways without a batching-aware queue, for comparison."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benches.goodput.virtual import World
    from benches.goodput.workload import Job

__all__ = ["PassThrough", "RoundRobin", "SlotCap"]


class PassThrough:
    """Send everything at once, to the backend with the fewest requests; the engine queues it."""

    def start(self, world: World) -> None:
        """Begin with nothing running."""
        self._world = world
        self._running = [0] * len(world.engines)

    def arrive(self, job: Job) -> None:
        """Dispatch."""
        backend = min(range(len(self._running)), key=self._running.__getitem__)
        self._running[backend] += 1
        self._world.dispatch(job, backend)

    def first_token(self, job: Job) -> None:
        """Do nothing."""

    def finish(self, job: Job) -> None:
        """Count."""
        self._running[job.backend] -= 1


class SlotCap:
    """At most `slots` requests run on each backend; the rest wait in one queue, first in, first out."""

    def __init__(self, slots: int) -> None:
        self._slots = slots

    def start(self, world: World) -> None:
        """Begin with nothing running."""
        self._world = world
        self._free = [self._slots] * len(world.engines)
        self._queue: deque[Job] = deque()

    def arrive(self, job: Job) -> None:
        """Queue, and dispatch if there is a slot."""
        self._queue.append(job)
        self._fill()

    def first_token(self, job: Job) -> None:
        """Do nothing."""

    def finish(self, job: Job) -> None:
        """Give the slot to the next."""
        self._free[job.backend] += 1
        self._fill()

    def _fill(self) -> None:
        while self._queue and max(self._free) > 0:
            backend = max(range(len(self._free)), key=self._free.__getitem__)
            self._free[backend] -= 1
            self._world.dispatch(self._queue.popleft(), backend)


class RoundRobin:
    """Each backend in turn, whatever it has to do; behind each a queue of its own with a slot cap."""

    def __init__(self, slots: int) -> None:
        self._slots = slots

    def start(self, world: World) -> None:
        """Begin with the first backend."""
        self._world = world
        self._free = [self._slots] * len(world.engines)
        self._queues: list[deque[Job]] = [deque() for _ in world.engines]
        self._turn = 0

    def arrive(self, job: Job) -> None:
        """Queue at the backend whose turn it is."""
        self._queues[self._turn].append(job)
        self._fill(self._turn)
        self._turn = (self._turn + 1) % len(self._queues)

    def first_token(self, job: Job) -> None:
        """Do nothing."""

    def finish(self, job: Job) -> None:
        """Give the slot to the next of the same backend."""
        self._free[job.backend] += 1
        self._fill(job.backend)

    def _fill(self, backend: int) -> None:
        while self._queues[backend] and self._free[backend] > 0:
            self._free[backend] -= 1
            self._world.dispatch(self._queues[backend].popleft(), backend)
