"""The engine's clockwork: slots, its own FIFO queue, and the pace of tokens in real time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from penstock.sim.cost import Batch, first_token_seconds, inter_token_seconds

if TYPE_CHECKING:
    from penstock.sim.profiles import Profile
    from penstock.sim.stats import Stats

__all__ = ["Engine", "Generation"]


class Generation:
    """One request in the engine: ``waiting``, then ``prefill``, then ``decode``, then ``over``."""

    def __init__(self, engine: Engine, prompt_tokens: int, slots: int) -> None:
        self.stage = "waiting"
        self.slots = slots
        self.context_tokens = prompt_tokens
        self._engine = engine
        self._admitted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._due = 0.0

    def admit(self) -> None:
        """Start to run; the engine calls this when the slots are free."""
        self.stage = "prefill"
        if not self._admitted.done():
            self._admitted.set_result(None)

    async def admitted(self) -> None:
        """Wait until the request runs."""
        await self._admitted

    async def first_token(self) -> None:
        """Wait for the prefill, in the batch as it is now."""
        engine = self._engine
        seconds = first_token_seconds(engine.profile, self.context_tokens, engine.batch())
        self._due = asyncio.get_running_loop().time() + seconds / engine.speed
        await self._until_due()
        self.stage = "decode"
        engine.decoding(self.slots, self.context_tokens)

    async def next_token(self) -> None:
        """Wait for the next token of each of the request's sequences."""
        engine = self._engine
        self.context_tokens += self.slots
        engine.decoding(0, self.slots)
        # Counted from when the last token was due, not from when it was seen: a late timer does not slow the pace.
        self._due += inter_token_seconds(engine.profile, engine.batch()) / engine.speed
        await self._until_due()

    async def _until_due(self) -> None:
        await asyncio.sleep(max(0.0, self._due - asyncio.get_running_loop().time()))

    def finish(self) -> None:
        """End well. Call it before the last byte of the answer is sent."""
        if self._engine.remove(self):
            self._engine.stats.finished += 1

    def abandon(self) -> str | None:
        """End at once without counting how; returns the stage it was in, or None if it was over already."""
        stage = self.stage
        return stage if self._engine.remove(self) else None


class Engine:
    """Runs at most `slots` sequences at once; the rest wait in order of arrival."""

    def __init__(self, profile: Profile, slots: int | None, speed: float, stats: Stats) -> None:
        self.profile = profile
        self.slots = slots
        self.speed = speed
        self.stats = stats
        self._batch = Batch()
        self._running: set[Generation] = set()
        self._waiting: deque[Generation] = deque()

    def submit(self, prompt_tokens: int, slots: int) -> Generation:
        """Take a request that needs `slots` slots, at most as many as there are."""
        generation = Generation(self, prompt_tokens, slots)
        self.stats.started += 1
        self.stats.prompt_tokens += prompt_tokens
        self._waiting.append(generation)
        self.stats.waiting += 1
        self._admit()
        return generation

    def remove(self, generation: Generation) -> bool:
        """Free what the request holds; False if it was over already."""
        if generation.stage == "over":
            return False
        if generation in self._running:
            self._running.remove(generation)
            self.stats.use(-generation.slots)
            if generation.stage == "decode":
                self.decoding(-generation.slots, -generation.context_tokens)
        else:
            self._waiting.remove(generation)
            self.stats.waiting -= 1
        generation.stage = "over"
        self._admit()
        return True

    def decoding(self, sequences: int, context_tokens: int) -> None:
        """Let the batch that decodes grow (or, if negative, shrink)."""
        batch = self._batch
        self._batch = Batch(batch.sequences + sequences, batch.context_tokens + context_tokens)

    def batch(self) -> Batch:
        """Return the sequences that decode now."""
        return self._batch

    def kv_usage(self) -> float:
        """Return the used fraction of the KV cache, 0 to 1."""
        used = sum(generation.context_tokens for generation in self._running)
        return min(1.0, used / self.profile.kv_tokens)

    def _admit(self) -> None:
        while self._waiting and (self.slots is None or self.stats.running + self._waiting[0].slots <= self.slots):
            generation = self._waiting.popleft()
            self.stats.waiting -= 1
            self._running.add(generation)
            self.stats.use(generation.slots)
            generation.admit()
