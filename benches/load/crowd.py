"""Ten thousand open streams, an event every ten seconds each, and a new request beside them.

Two workers, both on one core. First requests alone, then with the streams: no stream may fail, and a new request's p99
may rise by 1 ms. The byte pipe takes turns with Penstock, with as many streams as one process may have files for: what
a new request waits there is the bench's own, and the machine's. Memory is what a worker shares with nobody, without and
with the streams.
"""

from __future__ import annotations

import resource
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

import click
from generator import WrongAnswersError, generate
from own import PIPE, penstock
from process import private_kib, tree
from stage import stage
from written import write

if TYPE_CHECKING:
    from peer import Peer

BASE_SECONDS = 10.0


def hold(peer: Peer, streams: int, seconds: float) -> dict[str, Any]:
    """Return what one round has shown."""
    with stage(rate=0.1, events=100_000) as on:
        own = on.start(peer)
        pids = tree(own.pid)
        before = {pid: private_kib(pid) for pid in pids}
        during: dict[int, int] = {}

        def look() -> None:
            time.sleep(seconds - 2)
            during.update({pid: private_kib(pid) for pid in pids})

        watcher = threading.Thread(target=look)
        watcher.start()
        options: dict[str, Any] = {"mode": "hold", "connections": streams, "rate": 50, "base": BASE_SECONDS}
        seen = generate(own.port, seconds - BASE_SECONDS, {}, **options)
        watcher.join()
    if seen["under_way"] < streams:
        raise WrongAnswersError(f"{peer.name}: {seen['under_way']} of {streams} streams")
    base, beside = seen["base_us"], seen["latency_us"]
    return {
        "streams": streams,
        "events": seen["events"],
        "kib_each": sum(during[pid] - before[pid] for pid in pids) / streams,
        "base_p50_us": base["p50"],
        "p50_us": beside["p50"],
        "base_p99_us": base["p99"],
        "p99_us": beside["p99"],
        "p99_rise_us": beside["p99"] - base["p99"],
        "opening_p99_us": seen["opening_us"]["p99"],
    }


@click.command(help=__doc__)
@click.option("--streams", default=10_000, show_default=True)
@click.option("--rounds", default=10, show_default=True)
@click.option("--seconds", default=45.0, show_default=True, help="Length of one round.")
@click.option("--workers", default=2, show_default=True)
@click.option("--out", type=click.Path(), help="A folder for the data.")
def main(streams: int, rounds: int, seconds: float, workers: int, out: str | None) -> None:
    """Measure and print."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    # The pipe has two files a stream, in one process.
    peers = {penstock(workers): streams, PIPE: min(streams, hard * 2 // 5)}
    found: dict[str, list[dict[str, Any]]] = {peer.name: [] for peer in peers}
    for _ in range(rounds):
        for peer, count in peers.items():
            found[peer.name].append(hold(peer, count, seconds))
    figures = {
        name: {key: round(statistics.median(one[key] for one in own), 2) for key in own[0]}
        for name, own in found.items()
    }
    for name, own in figures.items():
        print(f"{name}, medians of {rounds} rounds")
        for key, value in own.items():
            print(f"  {key:<12} {value}")
    write(out, "crowd", {"workers": workers, "figures": figures, "rounds": found})


if __name__ == "__main__":
    main()
