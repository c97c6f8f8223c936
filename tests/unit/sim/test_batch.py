"""The batching engine without a clock: hand-computed steps, preemption, order, and sums that hold."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.sim import PROFILES, Profile
from penstock.sim.batch import Batch, Scheduling
from penstock.sim.sequence import Sequence, Stage

H100 = PROFILES["8b-h100"]
SMALL = replace(H100, kv_tokens=100, chunk=16, max_num_seqs=4)
"""Room for a few short sequences only."""


def batch_of(profile: Profile = H100, **more: Any) -> Batch[Sequence]:
    return Batch(profile, **more)


def submit(batch: Batch[Sequence], prompt: int, output: int, **more: Any) -> Sequence:
    sequence = Sequence(prompt, output, **more)
    batch.submit(sequence)
    return sequence


def run(batch: Batch[Sequence]) -> list[Sequence]:
    """Step until there is nothing left to compute; returns who finished, in order."""
    finished: list[Sequence] = []
    while batch.begin() is not None:
        finished += batch.end().finished
    return finished


def seconds_of(batch: Batch[Sequence]) -> float:
    step = batch.begin()
    assert step is not None
    batch.end()
    return step.seconds


def test_one_sequence_by_hand() -> None:
    batch = batch_of()
    sequence = submit(batch, 1000, 3)
    # 6.5 ms + 1,000 x 30 us + 1,000 x 500 x 1.1 ns, and the first token is there.
    assert seconds_of(batch) == pytest.approx(6.5e-3 + 30e-3 + 0.55e-3)
    assert (batch.generated(sequence), sequence.stage, batch.kv_used) == (1, Stage.DECODE, 1000)
    # 6.5 ms + 15 us + 1,001 x 76 ns, then one context token more.
    assert seconds_of(batch) == pytest.approx(6.5e-3 + 15e-6 + 1001 * 76e-9)
    assert seconds_of(batch) == pytest.approx(6.5e-3 + 15e-6 + 1002 * 76e-9)
    assert (batch.generated(sequence), sequence.stage, batch.kv_used) == (3, Stage.OVER, 0)
    assert batch.begin() is None


def test_many_sequences_by_hand() -> None:
    batch = batch_of()
    for _ in range(64):
        submit(batch, 32, 2)
    # All 2,048 prompt tokens fit one chunk; each of the 64 attends to its own 32 tokens.
    assert seconds_of(batch) == pytest.approx(6.5e-3 + 2048 * 30e-6 + 64 * 512 * 1.1e-9)
    assert seconds_of(batch) == pytest.approx(6.5e-3 + 64 * 15e-6 + 64 * 33 * 76e-9)


def test_a_long_prompt_goes_in_chunks_beside_the_decodes() -> None:
    batch = batch_of()
    submit(batch, 10, 100)
    batch.begin()
    batch.end()
    long = submit(batch, 5000, 1)
    # The decode takes one token of each budget of 2,048: chunks of 2,047, 2,047 and 906.
    pairs = [2047 * 2047 / 2, 2047 * (2047 + 2047 / 2), 906 * (4094 + 906 / 2)]
    for tokens, attends, context in zip((2047, 2047, 906), pairs, (11, 12, 13), strict=True):
        assert long.stage is not Stage.OVER
        expected = 6.5e-3 + 15e-6 + context * 76e-9 + tokens * 30e-6 + attends * 1.1e-9
        assert seconds_of(batch) == pytest.approx(expected)
    assert long.stage is Stage.OVER and sum(pairs) == 5000 * 5000 / 2


def test_prefills_share_a_step_in_order_of_admission() -> None:
    batch = batch_of()
    first, second, third = (submit(batch, prompt, 5) for prompt in (1500, 1000, 10))
    step = batch.begin()
    # The budget is spent before the third: it still waits.
    assert step is not None and step.admitted == [first, second] and batch.waiting == 1
    assert batch.end().first == [first]
    step = batch.begin()
    assert step is not None and step.admitted == [third]
    assert batch.end().first == [second, third]


def test_no_more_sequences_than_places() -> None:
    batch = batch_of(replace(H100, max_num_seqs=3))
    sequences = [submit(batch, 10, 5) for _ in range(8)]
    batch.begin()
    assert (batch.running, batch.waiting) == (3, 5)
    batch.end()
    assert run(batch) == sequences


def test_preemption_takes_the_latest_and_computes_it_again() -> None:
    batch = batch_of(SMALL)
    old, new = submit(batch, 16, 70), submit(batch, 16, 60)
    events = [old.output, new.output]
    while batch.preemptions == 0:
        batch.begin()
        batch.end()
    assert (old.stage, new.stage) == (Stage.DECODE, Stage.WAITING)
    assert batch.kv_used <= SMALL.kv_tokens and batch.running == batch.waiting == 1
    kept = new.tokens
    assert 0 < kept < new.output
    assert run(batch) == [old, new]
    assert [old.tokens, new.tokens] == events and batch.generated_tokens == sum(events)
    assert batch.prefilled_tokens == 16 + 16 + (16 + kept) and batch.preemptions == 1


def test_the_preempted_comes_before_those_who_never_ran() -> None:
    batch = batch_of(SMALL)
    old, new = submit(batch, 16, 70), submit(batch, 16, 60)
    late = submit(batch, 40, 10)
    assert run(batch) == [old, new, late] and batch.preemptions > 0


def test_first_tokens_are_told_once() -> None:
    batch = batch_of(SMALL)
    sequences = [submit(batch, 16, 70), submit(batch, 16, 60)]
    first = []
    while batch.begin() is not None:
        first += batch.end().first
    assert batch.preemptions > 0 and first == sequences


@pytest.mark.parametrize(("scheduling", "order"), [("fcfs", [0, 1, 2, 3]), ("priority", [0, 3, 1, 2])])
def test_priority(scheduling: str, order: list[int]) -> None:
    batch = batch_of(replace(H100, max_num_seqs=1), scheduling=Scheduling(scheduling))
    sequences = [submit(batch, 10, 5, priority=5)]
    batch.begin()  # whatever comes now has to wait
    sequences += [submit(batch, 10, 5, priority=priority) for priority in (1, 2, 0)]
    batch.end()
    assert [sequences.index(sequence) for sequence in run(batch)] == order


def test_priority_decides_who_is_preempted() -> None:
    batch = batch_of(SMALL, scheduling=Scheduling.PRIORITY)
    humble, important = submit(batch, 16, 60, priority=1), submit(batch, 16, 60, priority=0)
    assert run(batch) == [important, humble] and batch.preemptions > 0


@pytest.mark.parametrize("at", [Stage.NEW, Stage.WAITING, Stage.PREFILL, Stage.DECODE, Stage.STUCK, Stage.OVER])
@pytest.mark.parametrize("within", [False, True], ids=["between steps", "within a step"])
def test_abort_frees_all(at: Stage, within: bool) -> None:
    batch = batch_of(replace(H100, max_num_seqs=1))
    sequence = Sequence(5000, 3, sticks=at is Stage.STUCK)
    if at is Stage.WAITING:
        submit(batch, 10_000, 100)
        batch.begin()
        batch.end()
    if at is not Stage.NEW:
        batch.submit(sequence)
    while sequence.stage is not at:
        batch.begin()
        batch.end()
    if within:
        batch.begin()
    assert batch.abort(sequence) == (at is not Stage.OVER)
    assert not batch.abort(sequence)
    if within:
        batch.end()
    assert sequence.stage is Stage.OVER
    assert sequence not in run(batch)
    assert (batch.kv_used, batch.running, batch.waiting, len(batch.decoding)) == (0, 0, 0, 0)
    assert submit(batch, 5000, 3) in run(batch)


def test_a_stuck_sequence_keeps_its_place() -> None:
    batch = batch_of(replace(H100, max_num_seqs=1))
    stuck, other = submit(batch, 10, 3, sticks=True), submit(batch, 10, 3)
    assert run(batch) == [stuck] and (batch.running, batch.waiting, batch.kv_used) == (1, 1, 12)
    batch.abort(stuck)
    assert run(batch) == [other]


def test_what_can_never_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="holds 100 tokens, and the request has 101"):
        submit(batch_of(SMALL), 50, 51)
    assert run(batch := batch_of(SMALL)) == [] and submit(batch, 50, 50) in run(batch)


def test_jitter_is_seeded_and_small() -> None:
    def times(**more: Any) -> list[float]:
        batch = batch_of(**more)
        submit(batch, 10, 400)
        return [seconds_of(batch) for _ in range(400)]

    plain, one, again, other = times(), times(jitter=0.07, seed=1), times(jitter=0.07, seed=1), times(jitter=0.07)
    assert one == again != other
    ratios = [noisy / exact for noisy, exact in zip(one, plain, strict=True)]
    assert 0.98 < sum(ratios) / len(ratios) < 1.02 and 0.7 < min(ratios) < 0.95 and 1.05 < max(ratios) < 1.4


def test_profiles_are_checked() -> None:
    with pytest.raises(ValueError, match="chunk is 255, less than max_num_seqs 256"):
        replace(H100, chunk=255)
    with pytest.raises(ValueError, match="at least 1"):
        replace(H100, kv_tokens=0)


def test_api_time() -> None:
    assert H100.api_seconds(1000) == pytest.approx(15e-3 + 50e-3)


class Checked(Batch[Sequence]):
    """A batch that is compared, after every step, with counts made the slow way."""

    def check(self, sequences: list[Sequence]) -> None:
        by_stage = {stage: [sequence for sequence in sequences if sequence.stage is stage] for stage in Stage}
        assert self.waiting == len(by_stage[Stage.WAITING])
        assert self.running == len(sequences) - len(by_stage[Stage.WAITING]) - len(by_stage[Stage.OVER])
        assert self.running <= self.profile.max_num_seqs and self.kv_used <= self.profile.kv_tokens
        held = sum(sequence.target for sequence in by_stage[Stage.PREFILL])
        held += sum(sequence.prompt + self.generated(sequence) - 1 for sequence in by_stage[Stage.DECODE])
        assert self.kv_used == held
        assert all(0 < self.generated(sequence) < sequence.output for sequence in by_stage[Stage.DECODE])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(list(Scheduling)))
def test_sums_hold_over_any_history(seed: int, scheduling: Scheduling) -> None:
    dice = random.Random(seed)
    batch = Checked(SMALL, scheduling=scheduling)
    sequences: list[Sequence] = []
    finished: list[Sequence] = []
    aborted = 0
    for _ in range(150):
        if dice.random() < 0.3:
            size = dice.randint(2, SMALL.kv_tokens)
            prompt = dice.randint(1, size - 1)
            sequences.append(submit(batch, prompt, size - prompt, priority=dice.randint(0, 2)))
        if sequences and dice.random() < 0.05:
            aborted += batch.abort(dice.choice(sequences))
        if batch.begin() is not None:
            if sequences and dice.random() < 0.05:
                aborted += batch.abort(dice.choice(sequences))
            finished += batch.end().finished
        batch.check(sequences)
    finished += run(batch)
    assert len(finished) + aborted == len(sequences) and len(set(finished)) == len(finished)
    assert all(sequence.tokens == sequence.output for sequence in finished)
    assert batch.kv_used == batch.running == batch.waiting == 0
    assert batch.generated_tokens >= sum(sequence.output for sequence in finished)
