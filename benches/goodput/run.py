"""How many answers are still worth something as the load grows: goodput, by policy. Every figure is simulated.

Requests arrive at random (Poisson) at engines with continuous batching, in virtual time; what decides when and where
they run is Penstock's own admission (the compiled core), or one of the simple policies that it is compared with:

  penstock          one backend
  pass-through      everything is sent at once, and the engine queues it
  slot cap          first in, first out, behind the same number of slots that Penstock has
  penstock x4       four backends
  round robin x4    four backends in turn, each behind its own first-in-first-out slot cap

A request is good if it finishes with its first token, and its mean time between tokens, within the service level
(chat: 1 s and 60 ms; prompts of several thousand tokens: 3 s; reasoning: 30 s and 100 ms). Goodput is good requests a
second and backend. Capacity, load 1.0, is what one backend finishes in a second while all its slots are always taken.
Peak is a policy's best goodput at the loads 0.7 to 1.1. Each figure is the median of several seeds.

Beside it two tenants that always have something waiting, short chat and prompts of 8,000 tokens: who is served how
much, and the largest gap, for equal weights and for 3:1.

Examples:
  python -m benches.goodput.run --quick                 a look in some seconds: four loads, one backend, one seed
  python -m benches.goodput.run --mix chat --seeds 5    one mix of requests
  python -m benches.goodput.run --out benches/results   the dated table, data and plots that the README shows
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benches.goodput import fairness
from benches.goodput import measure as goodput
from benches.goodput.admission import Penstock
from benches.goodput.plot import draw
from benches.goodput.policies import PassThrough, RoundRobin, SlotCap
from benches.goodput.table import table
from benches.goodput.virtual import Policy
from benches.goodput.workload import MIXES, Mix, backlog
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from penstock import __version__

LOADS = (0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.33, 1.6, 2.0, 2.5, 3.0)
QUICK_LOADS = (0.7, 1.0, 1.33, 3.0)
SECONDS = {"instant": 300.0, "thinking": 1200.0}
"""Of virtual time, by the tier's profile: many times what an answer takes."""
WEIGHTS = (1, 3)
BACKLOG_RATE = 40.0
"""Requests a second of both tenants: each asks for more than it can get."""
BACKLOG_SECONDS = 120.0


@dataclass(frozen=True)
class Contender:
    """A policy, and over how many backends it is measured."""

    make: Callable[[Mix], Policy]
    backends: int


CONTENDERS = {
    "penstock": Contender(Penstock, 1),
    "pass-through": Contender(lambda _: PassThrough(), 1),
    "slot cap": Contender(lambda mix: SlotCap(mix.slots), 1),
    "penstock x4": Contender(Penstock, 4),
    "round robin x4": Contender(lambda mix: RoundRobin(mix.slots), 4),
}
BACKLOGGED: dict[str, Callable[[Mix], Policy]] = {
    "penstock": lambda mix: Penstock(mix, fairness.QUEUE),
    "slot cap": lambda mix: SlotCap(mix.slots),
}

# What the processes of the pool do


def find_capacity(mix: str, seconds: float, seed: int) -> float:
    return goodput.capacity(MIXES[mix], seconds=seconds, seed=seed)


def run_one(mix: str, policy: str, rate: float, seconds: float, seed: int) -> goodput.Point:
    contender = CONTENDERS[policy]
    made = contender.make(MIXES[mix])
    return goodput.measure(made, MIXES[mix], rate, seconds=seconds, backends=contender.backends, seed=seed)


def run_backlog(weight: int, policy: str, seconds: float, seed: int) -> fairness.Fairness:
    mix = backlog(weight)
    return fairness.measure(BACKLOGGED[policy](mix), mix, BACKLOG_RATE, seconds=seconds, seed=seed)


# What is made of it


def point(mix: str, policy: str, load: float, points: list[goodput.Point]) -> dict[str, Any]:
    """Return medians over the seeds, and the spread of the goodput."""
    rows = [asdict(each) for each in points]
    value: dict[str, Any] = {"mix": mix, "policy": policy, "backends": CONTENDERS[policy].backends, "load": load}
    for name, first in rows[0].items():
        if isinstance(first, dict):
            value[name] = {key: _median(row[name].get(key, 0.0) for row in rows) for key in first}
        else:
            value[name] = _median(row[name] for row in rows)
    goods = [each.good for each in points]
    return {**value, "good_least": round(min(goods), 4), "good_most": round(max(goods), 4)}


def fair(weight: int, policy: str, runs: list[fairness.Fairness]) -> dict[str, Any]:
    """Return the run whose gap is largest, and median shares."""
    worst = max(runs, key=lambda run: run.gap)
    value = {name: round(getattr(worst, name), 1) for name in ("gap", "bound", "largest", "estimate_error")}
    shares = {tenant: _median(run.shares[tenant] for run in runs) for tenant in worst.shares}
    return {
        "policy": policy,
        "weight_small": weight,
        "weight_large": 1,
        **value,
        "within_bound": all(run.gap <= run.bound for run in runs),
        "shares": shares,
        "backlogged_seconds": round(worst.backlogged, 1),
    }


def _median(values: Iterable[float]) -> float:
    return round(statistics.median(values), 4)


def measure(options: argparse.Namespace, pool: ProcessPoolExecutor, bar: Progress) -> dict[str, Any]:
    loads = QUICK_LOADS if options.quick else LOADS
    policies = [name for name, each in CONTENDERS.items() if each.backends == 1 or not options.quick]
    seeds = range(options.seeds)
    seconds = {mix: SECONDS[MIXES[mix].tier] for mix in options.mix}
    first = {mix: [pool.submit(find_capacity, mix, seconds[mix], seed) for seed in seeds] for mix in options.mix}
    capacity = {mix: _median(each.result() for each in runs) for mix, runs in first.items()}
    points = {
        pool.submit(run_one, mix, policy, load * capacity[mix], seconds[mix], seed): (mix, policy, load)
        for mix in options.mix
        for load in loads
        for policy in policies
        for seed in seeds
    }
    fairs = {
        pool.submit(run_backlog, weight, policy, BACKLOG_SECONDS, seed): (weight, policy)
        for weight in WEIGHTS
        for policy in BACKLOGGED
        for seed in seeds
    }
    task = bar.add_task("simulating", total=len(points) + len(fairs))
    runs: list[Future[Any]] = [*points, *fairs]
    for _ in as_completed(runs):
        bar.advance(task)
    by_point: dict[tuple[str, str, float], list[goodput.Point]] = defaultdict(list)
    for run, key in points.items():
        by_point[key].append(run.result())
    by_pair: dict[tuple[int, str], list[fairness.Fairness]] = defaultdict(list)
    for pair_run, pair in fairs.items():
        by_pair[pair].append(pair_run.result())
    return {
        "figures": "simulated",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "seeds": len(seeds),
        "seconds": seconds,
        "capacity": capacity,
        "fairness": [fair(*pair, runs) for pair, runs in by_pair.items()],
        "points": [point(*key, runs) for key, runs in by_point.items()],
        "version": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def text_of(results: dict[str, Any]) -> str:
    """Return the results as JSON with a line for each point."""
    lines = ",\n".join(f"    {json.dumps(each)}" for each in results["points"])
    return json.dumps({**results, "points": []}, indent=2).replace('"points": []', f'"points": [\n{lines}\n  ]') + "\n"


def write(results: dict[str, Any], folder: Path) -> None:
    """Write data, table and plots, dated."""
    stem = f"{results['date']}-goodput"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(text_of(results))
    (folder / f"{stem}.md").write_text(table(results, stem))
    for mix in results["capacity"]:
        (folder / f"{stem}-{mix}.svg").write_text(draw(results, mix))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mix", action="append", choices=list(MIXES), help="only this one; may be repeated")
    parser.add_argument("--seeds", type=int, help="runs of each point (3; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="four loads, one backend, one seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (one for each core)")
    parser.add_argument("--out", type=Path, help="a folder for the dated table, data and plots")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output instead of the table")
    options = parser.parse_args()
    options.mix = options.mix or list(MIXES)
    options.seeds = options.seeds or (1 if options.quick else 3)
    columns = (*Progress.get_default_columns()[:3], TimeRemainingColumn())
    # The bar has a thread of its own, which a fork would not take along.
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(options.jobs, mp_context=context) as pool,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        results = measure(options, pool, bar)
    if options.out:
        write(results, options.out)
    sys.stdout.write(text_of(results) if options.json else table(results, None))


if __name__ == "__main__":
    main()
