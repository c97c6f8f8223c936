"""What a hop through Penstock adds to the time of a request, beside a hop through a byte pipe.

An open loop of 500 requests a second, evenly spaced, each timed from the moment when it was due. Pipe and peer take
turns; a pair's difference is what the peer adds, and the figure is the median over the pairs. They are short and many,
because what the machine itself adds changes within seconds.
"""

from __future__ import annotations

import statistics
from typing import Any

import click
from generator import generate
from own import PIPE, penstock
from rivals import RIVALS
from stage import stage
from written import write

RATE = 500


@click.command(help=__doc__)
@click.option("--pairs", default=60, show_default=True)
@click.option("--seconds", default=0.75, show_default=True, help="Length of one half of a pair.")
@click.option("--peer", "named", multiple=True, help="Rivals to be measured too, by name.")
@click.option("--out", type=click.Path(), help="A folder for the data.")
def main(pairs: int, seconds: float, named: tuple[str, ...], out: str | None) -> None:
    """Measure and print."""
    peers = [penstock(), *(peer for peer in RIVALS if peer.name in named)]
    results: dict[str, list[dict[str, float]]] = {peer.name: [] for peer in peers}
    with stage() as on:
        pipe = on.start(PIPE)
        started = [on.start(peer) for peer in peers]

        def times(port: int) -> Any:
            return generate(port, seconds, {}, mode="open", rate=RATE)["latency_us"]

        for _ in range(pairs):
            for one in started:
                base, own = times(pipe.port), times(one.port)
                added = {f"added_{key}": own[key] - base[key] for key in ("p50", "p99")}
                results[one.peer.name].append(added | {f"pipe_{key}": base[key] for key in ("p50", "p99")})
    figures = {
        name: {key: round(statistics.median(pair[key] for pair in found), 1) for key in found[0]}
        for name, found in results.items()
    }
    for name, own in figures.items():
        print(f"{name:<10} adds p50 {own['added_p50']:.1f} µs, p99 {own['added_p99']:.1f} µs to the pipe's", end=" ")
        print(f"{own['pipe_p50']:.1f} and {own['pipe_p99']:.1f} µs (medians of {pairs} pairs)")
    write(out, "latency", {"unit": "µs", "rate": RATE, "pairs": pairs, "figures": figures, "rounds": results})


if __name__ == "__main__":
    main()
