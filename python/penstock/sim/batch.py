"""The engine's scheduler: continuous batching with chunked prefill, in steps and without a clock.

A step first gives every decoding sequence its token, as vLLM's scheduler does, then fills the rest of its token
budget with prefill: of the running sequences first, then of those it takes from the waiting ones. Whoever drives the
batch lets the seconds of a step pass between :meth:`Batch.begin` and :meth:`Batch.end`; in real time that is a timer,
in virtual time an addition.

Decoding sequences are not touched one by one: what they have generated is the difference of two step counts. A step
costs O(1), and O(log waiting) for each sequence that joins.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection
from enum import StrEnum
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from penstock.sim.profiles import attended
from penstock.sim.sequence import Sequence, Stage

if TYPE_CHECKING:
    from penstock.sim.profiles import Profile

__all__ = ["Batch", "Ended", "Scheduling", "Step"]


class Scheduling(StrEnum):
    """In which order waiting sequences are admitted; vLLM's names."""

    FCFS = "fcfs"
    PRIORITY = "priority"
    """The lower number first, equal ones in order of arrival."""


S = TypeVar("S", bound=Sequence)


class Step(NamedTuple, Generic[S]):
    """A step that has begun."""

    seconds: float
    admitted: list[S]


class Ended(NamedTuple, Generic[S]):
    """The result of a step, apart from one token for every sequence that decoded."""

    first: list[S]
    """Sequences that have their first token."""
    finished: list[S]


class Batch(Generic[S]):
    """All sequences of one engine.

    jitter: standard deviation of the logarithm of a step's time; 0 for none. seed: of the jitter.
    """

    def __init__(
        self, profile: Profile, *, scheduling: Scheduling = Scheduling.FCFS, jitter: float = 0.0, seed: int = 0
    ) -> None:
        self.profile = profile
        self.kv_used = 0
        """Tokens in the KV cache; a sequence in prefill already holds the room for all of its prompt."""
        self.preemptions = 0
        self.steps = 0
        """Steps that have ended."""
        self.generated_tokens = 0
        self.prefilled_tokens = 0
        """Counts what was computed, so a preempted prompt counts twice."""
        self._by_priority = scheduling is Scheduling.PRIORITY
        self._jitter = jitter
        self._random = random.Random(seed)
        self._arrivals = 0
        self._waiting: list[tuple[int, int, S]] = []
        """A heap. Aborted sequences stay in it until they come to its top."""
        self._waiting_count = 0
        self._running: dict[S, None] = {}
        """In order of admission."""
        self._prefilling: dict[S, None] = {}
        self._decoding: dict[S, None] = {}
        self._decode_context = 0
        self._ends: defaultdict[int, list[S]] = defaultdict(list)
        """Which sequences generate their last token in which step; some may have been preempted or aborted since."""
        self._begun = 0
        """Steps that have begun: one more than have ended while a step goes on."""
        self._decodes = 0
        """Sequences that decode in the current step."""
        self._prefilled: list[S] = []
        """The sequences whose prefill the current step completes."""

    @property
    def running(self) -> int:
        """Sequences in the batch."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Sequences that wait for a place, for KV room or for the token budget."""
        return self._waiting_count

    @property
    def decoding(self) -> Collection[S]:
        """The sequences that decode now."""
        return self._decoding.keys()

    def generated(self, sequence: S) -> int:
        """Return how many tokens of the sequence are ready."""
        return sequence.tokens + (self.steps - sequence.base if sequence.stage is Stage.DECODE else 0)

    def submit(self, sequence: S) -> None:
        """Let the sequence wait. Raises ValueError if the KV cache could never hold it."""
        if sequence.prompt + sequence.output > self.profile.kv_tokens:
            size = sequence.prompt + sequence.output
            raise ValueError(f"the KV cache holds {self.profile.kv_tokens} tokens, and the request has {size}")
        self._arrivals += 1
        sequence.arrival = self._arrivals
        self._wait(sequence)

    def abort(self, sequence: S) -> bool:
        """Free all that the sequence holds; False if it was over already."""
        stage, sequence.stage = sequence.stage, Stage.OVER
        if stage is Stage.WAITING:
            self._waiting_count -= 1
        elif stage not in (Stage.NEW, Stage.OVER):
            self._leave(sequence, stage)
        return stage is not Stage.OVER

    # A step

    def begin(self) -> Step[S] | None:
        """Begin a step; None: there is nothing that could be computed. Sequences may come and go until its end."""
        preempted = self._make_room()
        decodes = len(self._decoding)
        self.kv_used += decodes
        self._decode_context += decodes
        budget = self.profile.chunk - decodes
        pairs = 0.0
        for sequence in self._prefilling:
            if budget == 0:
                break
            tokens, more = self._prefill(sequence, budget)
            budget -= tokens
            pairs += more
        admitted: list[S] = []
        # After a preemption the room in the next steps belongs to the preempted sequences.
        while budget > 0 and not preempted and (first := self._admissible()) is not None:
            self._admit(first)
            admitted.append(first)
            tokens, more = self._prefill(first, budget)
            budget -= tokens
            pairs += more
        prefill = self.profile.chunk - decodes - budget
        if decodes == prefill == 0:
            return None
        self._begun += 1
        self._decodes = decodes
        self.prefilled_tokens += prefill
        seconds = self.profile.step_seconds(decodes, self._decode_context, prefill, pairs)
        if self._jitter:
            seconds *= self._random.lognormvariate(0.0, self._jitter)
        return Step(seconds, admitted)

    def end(self) -> Ended[S]:
        """End the step: its tokens are ready."""
        self.steps += 1
        self.generated_tokens += self._decodes
        ended: Ended[S] = Ended([], [])
        for sequence in self._ends.pop(self.steps, ()):
            if sequence.stage is Stage.DECODE and sequence.last == self.steps:
                self._finish(sequence, ended)
        for sequence in self._prefilled:
            if sequence.stage is Stage.PREFILL:
                self._decode(sequence, ended)
        self._prefilled.clear()
        return ended

    # Parts of a step

    def _make_room(self) -> bool:
        """Preempt until every decoding sequence can have its token; returns whether that took any."""
        before = self.preemptions
        while self.kv_used + len(self._decoding) > self.profile.kv_tokens:
            movable = (sequence for sequence in reversed(self._running) if sequence.stage is not Stage.STUCK)
            self._preempt(max(movable, key=self._rank))
        return self.preemptions > before

    def _rank(self, sequence: S) -> int:
        return sequence.priority if self._by_priority else 0

    def _preempt(self, sequence: S) -> None:
        """Preempt a sequence, which is computed again later: the last admitted of those with the lowest priority."""
        self.preemptions += 1
        sequence.tokens = self.generated(sequence)
        self._leave(sequence, sequence.stage)
        self._wait(sequence)

    def _wait(self, sequence: S) -> None:
        """Queue by priority and arrival. A preempted sequence arrived before all that wait, so it comes first."""
        sequence.stage = Stage.WAITING
        heappush(self._waiting, (self._rank(sequence), sequence.arrival, sequence))
        self._waiting_count += 1

    def _admissible(self) -> S | None:
        """Return the first that waits, if there are a place and the room for its whole prompt."""
        while self._waiting and self._waiting[0][2].stage is Stage.OVER:
            heappop(self._waiting)
        if not self._waiting or len(self._running) >= self.profile.max_num_seqs:
            return None
        sequence = self._waiting[0][2]
        fits = self.kv_used + sequence.prompt + sequence.tokens <= self.profile.kv_tokens
        return sequence if fits else None

    def _admit(self, sequence: S) -> None:
        heappop(self._waiting)
        self._waiting_count -= 1
        sequence.stage = Stage.PREFILL
        sequence.target = sequence.prompt + sequence.tokens
        sequence.base = 0
        self.kv_used += sequence.target
        self._running[sequence] = self._prefilling[sequence] = None

    def _prefill(self, sequence: S, budget: int) -> tuple[int, float]:
        """Take the next chunk of a prompt; returns its tokens and how many pairs of tokens it attends to."""
        tokens = min(sequence.target - sequence.base, budget)
        pairs = attended(tokens, sequence.base)
        sequence.base += tokens
        if sequence.base == sequence.target:
            self._prefilled.append(sequence)
        return tokens, pairs

    def _decode(self, sequence: S, ended: Ended[S]) -> None:
        """Go from prefill to decode, with the token that the last chunk gives."""
        if sequence.tokens == 0:
            ended.first.append(sequence)
        sequence.tokens += 1
        self.generated_tokens += 1
        del self._prefilling[sequence]
        self._decoding[sequence] = None
        self._decode_context += sequence.target
        sequence.stage = Stage.DECODE
        sequence.base = self.steps
        sequence.last = self.steps + sequence.output - sequence.tokens
        if sequence.last == self.steps:
            self._finish(sequence, ended)
        else:
            self._ends[sequence.last].append(sequence)

    def _finish(self, sequence: S, ended: Ended[S]) -> None:
        context = self._leave(sequence, sequence.stage)
        sequence.tokens = sequence.output
        sequence.stage = Stage.OVER
        if sequence.sticks:
            sequence.stage = Stage.STUCK
            sequence.target = context
            self.kv_used += context
            self._running[sequence] = None
        ended.finished.append(sequence)

    def _leave(self, sequence: S, stage: Stage) -> int:
        """Take a sequence out of the batch, where it was in `stage`; returns how many tokens of KV that frees."""
        del self._running[sequence]
        context = sequence.target
        if stage is Stage.PREFILL:
            del self._prefilling[sequence]
        elif stage is Stage.DECODE:
            del self._decoding[sequence]
            context += self._begun - sequence.base
            self._decode_context -= context
        self.kv_used -= context
        return context
