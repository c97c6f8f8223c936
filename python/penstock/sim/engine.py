"""The engine in real time: it runs the steps of a batch with timers, and wakes the requests that have new tokens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.sim.batch import Batch, Scheduling
from penstock.sim.histogram import Histogram
from penstock.sim.sequence import Sequence, Stage

if TYPE_CHECKING:
    from collections import abc
    from collections.abc import Callable

    from penstock.sim.profiles import Profile
    from penstock.sim.stats import Stats

__all__ = ["Engine", "Generation"]


class Choice(Sequence):
    """One of a request's sequences."""

    __slots__ = ("generation",)

    def __init__(self, generation: Generation, prompt: int, output: int, *, priority: int, sticks: bool) -> None:
        super().__init__(prompt, output, priority=priority, sticks=sticks)
        self.generation = generation


class Generation:
    """One request in the engine, from its arrival until :meth:`finish` or :meth:`abandon`."""

    def __init__(self, engine: Engine, prompt: int, outputs: abc.Sequence[int], *, priority: int, sticks: bool) -> None:
        self.prompt_tokens = prompt
        self.choices = [Choice(self, prompt, output, priority=priority, sticks=sticks) for output in outputs]
        self.arrived = asyncio.get_running_loop().time()
        self.first: float | None = None
        """When the first token came, on the event loop's clock."""
        self._engine = engine
        self._over = False
        self._goal: Callable[[], bool] | None = None
        self._reached: asyncio.Future[None] | None = None

    @property
    def stage(self) -> str:
        """Return ``waiting`` (also while the request is tokenized), ``prefill``, or ``decode`` after a first token."""
        if self.first is not None:
            return "decode"
        outside = (Stage.NEW, Stage.WAITING)
        return "waiting" if all(choice.stage in outside for choice in self.choices) else "prefill"

    async def admitted(self) -> None:
        """Wait until the request is in the batch."""
        await self._until(lambda: self.stage != "waiting")

    async def tokens(self, count: int) -> None:
        """Wait until each of the request's sequences has `count` tokens, or all it will have."""
        batch = self._engine.batch
        await self._until(lambda: all(batch.generated(choice) >= min(count, choice.output) for choice in self.choices))

    async def _until(self, goal: Callable[[], bool]) -> None:
        if not goal():
            self._goal, self._reached = goal, asyncio.get_running_loop().create_future()
            await self._reached

    def look(self) -> None:
        """Wake the waiting answer if its goal is reached; the engine calls this after a step."""
        if self._goal is not None and self._goal():
            self._goal = None
            if self._reached is not None and not self._reached.done():
                self._reached.set_result(None)

    def finish(self) -> None:
        """End well. Call it before the last byte of the answer is sent."""
        if not self._over:
            self._over = True
            self._engine.stats.finished += 1
            self._engine.drop(self)

    def abandon(self) -> str | None:
        """End at once without counting how; returns the stage it was in, or None if it was over already."""
        if self._over:
            return None
        self._over = True
        stage = self.stage
        self._engine.drop(self)
        return stage


class Engine:
    """Drives one batch. speed: how many times faster than real; infinite for steps that take no time."""

    def __init__(
        self,
        profile: Profile,
        stats: Stats,
        *,
        speed: float = 1.0,
        scheduling: Scheduling = Scheduling.FCFS,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.profile = profile
        self.stats = stats
        self.batch: Batch[Choice] = Batch(profile, scheduling=scheduling, jitter=jitter, seed=seed)
        self.queue_seconds = Histogram()
        self.first_token_seconds = Histogram()
        self.inter_token_seconds = Histogram()
        self._speed = speed
        self._due = 0.0
        self.stepping = False
        """Whether a step is going on."""

    def submit(self, prompt: int, outputs: abc.Sequence[int], *, priority: int = 0, sticks: bool = False) -> Generation:
        """Take a request whose choices will have `outputs` tokens, each at least 1.

        It reaches the batch after the profile's API time. sticks: its sequences keep their places until it is
        abandoned.
        """
        generation = Generation(self, prompt, outputs, priority=priority, sticks=sticks)
        self.stats.started += 1
        self.stats.prompt_tokens += prompt
        self._hold(len(outputs))
        delay = self.profile.api_seconds(prompt) / self._speed
        asyncio.get_running_loop().call_later(delay, self._join, generation)
        return generation

    def drop(self, generation: Generation) -> None:
        """Free what the request still holds."""
        self._hold(-sum([self.batch.abort(choice) for choice in generation.choices]))
        self._go()

    def _hold(self, sequences: int) -> None:
        """Change the number of sequences in hand by so many."""
        self.stats.hold(self.stats.running + self.stats.waiting + sequences, self.profile.max_num_seqs)

    def _join(self, generation: Generation) -> None:
        for choice in generation.choices:
            if choice.stage is Stage.NEW:
                self.batch.submit(choice)
        self._go()

    # Steps

    def _go(self) -> None:
        """Begin to step, unless a step is running."""
        if not self.stepping:
            self._due = asyncio.get_running_loop().time()
            self._begin()

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        step = self.batch.begin()
        self.stepping = step is not None
        if step is None:
            return
        for choice in step.admitted:
            self.queue_seconds.observe(loop.time() - choice.generation.arrived)
            choice.generation.look()
        # Counted from when the last step was due, so that late timers do not add up.
        seconds = step.seconds / self._speed
        self._due += seconds
        loop.call_at(self._due, self._end, seconds, len(self.batch.decoding))

    def _end(self, seconds: float, decodes: int) -> None:
        now = asyncio.get_running_loop().time()
        ended = self.batch.end()
        self.inter_token_seconds.observe(seconds, decodes)
        for choice in ended.first:
            if choice.generation.first is None:
                choice.generation.first = now
                self.first_token_seconds.observe(now - choice.generation.arrived)
        self._hold(-sum(not choice.sticks for choice in ended.finished))
        for choice in (*ended.finished, *self.batch.decoding):
            choice.generation.look()
        self._begin()
