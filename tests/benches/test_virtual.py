"""The virtual world: times of a request, in order, and the same again for the same seed."""

from __future__ import annotations

import pytest
from benches.goodput.measure import measure
from benches.goodput.policies import RoundRobin, SlotCap
from benches.goodput.virtual import World
from benches.goodput.workload import MIXES, NO_SLO, Job, Mix, Part, Uniform, arrivals

from penstock.sim.profiles import PROFILES, attended

PROFILE = PROFILES["8b-h100"]
PART = Part(1.0, Uniform(1000, 1000), Uniform(3, 3), NO_SLO, 16)


def jobs(*times: float) -> list[Job]:
    return [Job(1000, 3, time, PART) for time in times]


def test_a_request_alone_takes_its_api_time_its_prefill_and_its_decode_steps() -> None:
    world = World(jobs(0.5), SlotCap(1), PROFILE)
    world.run(10.0)
    (job,) = world.jobs
    prefill = PROFILE.step_seconds(0, 0, 1000, attended(1000, 0))
    assert job.dispatched == 0.5
    assert job.first == pytest.approx(0.5 + PROFILE.api_seconds(1000) + prefill)
    decode = PROFILE.step_seconds(1, 1001) + PROFILE.step_seconds(1, 1002)
    assert job.ended == pytest.approx(job.first + decode)
    assert world.now == 10.0


def test_a_slot_is_given_to_the_next_when_its_request_ends() -> None:
    world = World(jobs(0.0, 0.0, 0.0), SlotCap(2), PROFILE)
    world.run(10.0)
    first, second, third = world.jobs
    assert first.dispatched == second.dispatched == 0.0
    assert third.dispatched == min(first.ended or 0.0, second.ended or 0.0) > 0.0


def test_in_turn_means_whatever_there_is_to_do() -> None:
    world = World(jobs(0.0, 0.0, 0.0, 0.0), RoundRobin(1), PROFILE, backends=3)
    world.run(10.0)
    assert [job.backend for job in world.jobs] == [0, 1, 2, 0]
    assert world.jobs[3].dispatched == world.jobs[0].ended


def test_good_is_within_the_service_level() -> None:
    late, fine, never = jobs(0.0, 0.0, 0.0)
    mix = MIXES["chat"]
    for job, first in ((late, 1.01), (fine, 0.99)):
        job.part, job.first, job.ended = mix.parts[0], first, first + 2 * 0.060
    never.part = mix.parts[0]
    assert [job.is_good() for job in (late, fine, never)] == [False, True, False]
    fine.ended = 0.99 + 2 * 0.061
    assert not fine.is_good(), "its tokens came too slowly"


def test_arrivals_are_as_many_as_asked_for_and_the_same_for_a_seed() -> None:
    def take(seed: int) -> list[tuple[float, int, int]]:
        source = arrivals(MIXES["mixed"], 20.0, seed)
        return [(job.arrived, job.prompt, job.output) for job, _ in zip(source, range(4000), strict=False)]

    first = take(3)
    assert first == take(3) != take(4)
    assert first == sorted(first)
    assert 4000 / first[-1][0] == pytest.approx(20.0, rel=0.05)
    long = sum(prompt >= 6000 for _, prompt, _ in first) / 4000
    assert long == pytest.approx(0.1, abs=0.02)
    assert max(output for _, _, output in first) <= MIXES["mixed"].parts[0].max_tokens


def test_the_end_of_a_run_is_no_relief() -> None:
    # One slot, and each request alone takes about 0.1 s: of ten times as many hardly any is in time.
    mix = Mix("flood", "more than fits", "8b-h100", 1, (MIXES["chat"].parts[0],))
    point = measure(SlotCap(1), mix, 100.0, seconds=20.0)
    assert point.good < 0.01 * point.offered
    assert point.rejected == 0.0
