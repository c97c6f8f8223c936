"""Penstock beside its peers: CPU of a request and of a streamed event, in alternation, on one core.

The peer under test has core 0, the others stand still meanwhile (but for Penstock, which is idle), and the stub and the
load have core 1. Every peer must answer rightly before it is timed, and each answer is checked while it is. CPU is that
of the peer's whole process tree. A ratio is the median over the rounds of (the peer's CPU / nginx's CPU in the same
round).
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from cases import CASES, Case
from generator import WrongAnswersError
from own import PIPE, penstock
from plot import draw
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rivals import RIVALS
from stage import stage
from table import render

from penstock import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

    from peer import Peer

BASELINE = "nginx"


def measure(  # noqa: PLR0917
    case: Case, peers: list[Peer], home: Path, rounds: int, seconds: float, turn: Callable[[str], None]
) -> dict[str, list[dict[str, Any]]]:
    """Return the rounds of each peer."""
    results: dict[str, list[dict[str, Any]]] = {peer.name: [] for peer in peers}
    with stage(**case.stub) as on:
        started = []
        for peer in peers:
            try:
                started.append(on.start(peer, home))
            except WrongAnswersError as faults:
                print(f"not run: {peer.name}, {case.name}: {faults}", file=sys.stderr)
            else:
                started[-1].wait()
        for _ in range(rounds):
            for one in started:
                turn(f"{case.name}: {one.peer.name}")
                try:
                    with one.turn():
                        results[one.peer.name].append(case.measure(one, seconds))
                except WrongAnswersError as faults:
                    print(f"{one.peer.name}, {case.name}: {faults}", file=sys.stderr)
    return {name: rounds for name, rounds in results.items() if rounds}


def summary(case: Case, rounds: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Return medians and ratios of one case."""
    peers = {}
    base = rounds.get(BASELINE)
    for name, own in rounds.items():
        entry: dict[str, Any] = {
            "cpu_us": round(statistics.median(one["cpu_us"] for one in own), 3),
            "per_second": round(statistics.median(one["per_second"] for one in own)),
            "rounds_cpu_us": [round(one["cpu_us"], 3) for one in own],
        }
        if base:
            ratios = [one["cpu_us"] / other["cpu_us"] for one, other in zip(own, base, strict=False)]
            entry["ratio"] = round(statistics.median(ratios), 3)
        peers[name] = entry
    return {"what": case.what, "unit": case.unit, "most": case.most, "peers": peers}


def version(command: list[str]) -> str:
    """Return the first line that a command prints of itself."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not found"
    return (done.stdout + done.stderr).strip().splitlines()[0]


@click.command(help=__doc__)
@click.option("--case", "chosen", multiple=True, help="Only these cases.")
@click.option(
    "--peer", "named", multiple=True, help="These peers beside Penstock and nginx; `all`: every one there is."
)
@click.option("--rounds", default=5, show_default=True)
# A paced stream takes two seconds, and one at least is to come to its end.
@click.option("--seconds", type=click.FloatRange(min=2.5), default=4.0, show_default=True, help="Length of one round.")
@click.option("--home", type=click.Path(path_type=Path), default=Path(".rivals"), help="Where rivals are installed.")
@click.option("--out", type=click.Path(path_type=Path), help="A folder for the data and the table.")
@click.option("--name", default="load", show_default=True, help="Of the files in that folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
def main(  # noqa: PLR0917
    chosen: tuple[str, ...],
    named: tuple[str, ...],
    rounds: int,
    seconds: float,
    home: Path,
    out: Path | None,
    name: str,
    as_json: bool,
) -> None:
    """Measure, and render what was measured."""
    known = {peer.name: peer for peer in (*RIVALS, PIPE)}
    names = [BASELINE, *(known if "all" in named else named)]
    peers = [penstock()]
    for one in dict.fromkeys(names):
        peer = known.get(one)
        if peer is None:
            raise click.UsageError(f"no peer {one!r}; there are {', '.join(known)}")
        if reason := peer.missing(home.absolute()):
            print(f"not run: {reason}", file=sys.stderr)
        else:
            peers.append(peer)
    cases = [case for case in CASES if not chosen or case.name in chosen]
    columns = [TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    results = {}
    with Progress(*columns, disable=not sys.stderr.isatty(), transient=True) as progress:
        task = progress.add_task("", total=len(cases) * len(peers) * rounds)

        def turn(what: str) -> None:
            progress.update(task, description=what, advance=1)

        for case in cases:
            results[case.name] = summary(case, measure(case, peers, home.absolute(), rounds, seconds, turn))
    data = {
        "date": datetime.date.today().isoformat(),
        "penstock": __version__,
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "nginx": version(["nginx", "-v"]),
        "haproxy": version(["haproxy", "-v"]),
        "peers": {peer.name: peer.note for peer in peers},
        "rounds": rounds,
        "seconds": seconds,
        "cases": results,
    }
    if out is not None:
        stem = out / f"{data['date']}-{name}"
        stem.with_suffix(".json").write_text(json.dumps(data, indent=1) + "\n")
        stem.with_suffix(".md").write_text(render(data))
        stem.with_suffix(".svg").write_text(draw(data))
    if as_json:
        json.dump(data, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        print(render(data))


if __name__ == "__main__":
    main()
