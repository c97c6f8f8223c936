"""Under overload the useful work stays at its peak, and is shared evenly.

Penstock's own admission before simulated engines in virtual time. The bounds are those below which something has been
broken; what is reached is in benches/results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from benches.goodput import fairness
from benches.goodput.admission import Penstock
from benches.goodput.measure import Point, capacity, measure
from benches.goodput.policies import PassThrough, RoundRobin, SlotCap
from benches.goodput.virtual import Policy
from benches.goodput.workload import MIXES, Mix, backlog

SEED = 1
SECONDS = {"instant": 150.0, "thinking": 600.0}
PEAK_LOADS = (0.7, 1.0, 1.1)
LEAST_OF_PEAK = 0.90
MOST_REJECTED = 0.001
COLLAPSED = 0.05
"""Of the peak: less is left of a policy that lets its queue grow."""
BACKLOG_RATE = 40.0
"""Requests a second of both tenants: each asks for more than it can get."""


@cache
def capacity_of(mix: str) -> float:
    return capacity(MIXES[mix], seconds=SECONDS[MIXES[mix].tier])


@cache
def run(make: Callable[[Mix], Policy], mix: str, load: float, backends: int = 1) -> Point:
    # Over four backends half the time sees twice the requests.
    rate, seconds = load * capacity_of(mix), SECONDS[MIXES[mix].tier] / (1 if backends == 1 else 2)
    return measure(make(MIXES[mix]), MIXES[mix], rate, seconds=seconds, backends=backends, seed=SEED)


def pass_through(_: Mix) -> Policy:
    return PassThrough()


def slot_cap(mix: Mix) -> Policy:
    return SlotCap(mix.slots)


def round_robin(mix: Mix) -> Policy:
    return RoundRobin(mix.slots)


@pytest.mark.parametrize("overload", [1.33, 3.0])
@pytest.mark.parametrize("mix", MIXES)
def test_overload_keeps_the_goodput_at_its_peak(mix: str, overload: float) -> None:
    points = [run(Penstock, mix, load) for load in PEAK_LOADS]
    over = run(Penstock, mix, overload)
    assert over.good >= LEAST_OF_PEAK * max(point.good for point in points), f"seed {SEED}: {over}"
    # Not only by choosing short requests: what they are worth does not fall either.
    assert over.good_work >= LEAST_OF_PEAK * max(point.good_work for point in points), f"seed {SEED}: {over}"


@pytest.mark.parametrize("mix", ["chat", "reasoning"])
def test_below_capacity_hardly_anyone_is_refused(mix: str) -> None:
    point = run(Penstock, mix, 0.7)
    assert point.rejected < MOST_REJECTED, f"seed {SEED}: {point}"
    assert point.good >= 0.99 * point.offered, f"seed {SEED}: {point}"


@pytest.mark.parametrize("policy", [pass_through, slot_cap])
def test_a_policy_whose_queue_grows_collapses(policy: Callable[[Mix], Policy]) -> None:
    peak = max(run(policy, "chat", load).good for load in PEAK_LOADS)
    over = run(policy, "chat", 1.33)
    assert over.good < COLLAPSED * peak, f"seed {SEED}: {over}"


def test_four_backends_are_as_good_as_one_each_and_better_than_in_turn() -> None:
    points = [run(Penstock, "chat", load, 4) for load in (0.7, 1.0, 1.33)]
    assert points[0].rejected < MOST_REJECTED, f"seed {SEED}: {points[0]}"
    assert points[2].good >= LEAST_OF_PEAK * points[1].good, f"seed {SEED}: {points}"
    assert points[1].good > run(round_robin, "chat", 1.0, 4).good


def test_no_length_of_prompt_is_shut_out_by_a_bad_start() -> None:
    """All slots are filled at once at first, so all first tokens are late; that must be forgotten again.

    With an estimate for each length, this seed refused 99 % of the shortest prompts for ever.
    """
    rate = 3.0 * capacity_of("chat")
    point = measure(Penstock(MIXES["chat"]), MIXES["chat"], rate, seconds=SECONDS["instant"], backends=4, seed=2)
    assert point.rejected_by_prompt["to 512"] < 0.5, point


def test_engines_are_not_made_to_preempt() -> None:
    assert run(Penstock, "reasoning", 1.33).preemptions == 0
    assert run(pass_through, "reasoning", 1.33).preemptions > 0


@pytest.mark.parametrize("weight", [1, 3])
def test_two_backlogged_tenants_are_served_by_their_weights(weight: int) -> None:
    mix = backlog(weight)
    seen = fairness.measure(Penstock(mix, fairness.QUEUE), mix, BACKLOG_RATE, seconds=120.0, seed=SEED)
    assert seen.backlogged > 100.0
    assert seen.gap <= seen.bound, f"seed {SEED}: {seen}"
    assert seen.shares["small"] == pytest.approx(weight / (weight + 1), abs=0.03), f"seed {SEED}: {seen}"


def test_first_in_first_out_gives_the_long_prompts_nearly_all() -> None:
    mix = backlog(1)
    seen = fairness.measure(SlotCap(mix.slots), mix, BACKLOG_RATE, seconds=120.0, seed=SEED)
    assert seen.gap > 10 * seen.bound
    assert seen.shares["small"] < 0.2


def test_fairness_needs_a_backlog() -> None:
    mix = backlog(1)
    with pytest.raises(ValueError, match="no backlog"):
        fairness.measure(SlotCap(mix.slots), mix, 0.1, seconds=60.0, seed=SEED)
