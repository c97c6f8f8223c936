"""Ten thousand open streams, an event every ten seconds each, and a new request beside them.

Two workers, both on one core. First requests alone, then with the streams: no stream may fail, and a new request's p99
may rise by 1 ms. Memory is what a worker shares with nobody, without and with the streams.
"""

from __future__ import annotations

import resource
import threading
import time
from typing import Any

import click
from cases import generate
from own import penstock
from process import private_kib, tree
from stage import stage
from written import write


@click.command(help=__doc__)
@click.option("--streams", default=10_000, show_default=True)
@click.option("--seconds", default=40.0, show_default=True, help="How long the streams are held.")
@click.option("--workers", default=2, show_default=True)
@click.option("--out", type=click.Path(), help="A folder for the data.")
def main(streams: int, seconds: float, workers: int, out: str | None) -> None:
    """Measure and print."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with stage(rate=0.1, events=100_000) as on:
        own = on.start(penstock(workers))
        pids = tree(own.pid)
        before = {pid: private_kib(pid) for pid in pids}
        during: dict[int, int] = {}

        def look() -> None:
            time.sleep(seconds - 2)
            during.update({pid: private_kib(pid) for pid in pids})

        watcher = threading.Thread(target=look)
        watcher.start()
        options: dict[str, Any] = {"mode": "hold", "connections": streams, "rate": 50, "base": 10}
        seen = generate(own.port, seconds - 10, {}, **options)
        watcher.join()
    grown = sum(during[pid] - before[pid] for pid in pids)
    figures = {
        "streams": streams,
        "workers": workers,
        "held": seen["under_way"],
        "events": seen["events"],
        "faults": seen["faults"],
        "kib_each": round(grown / streams, 2),
        "base_p99_us": seen["base_us"]["p99"],
        "p99_us": seen["latency_us"]["p99"],
        "base_p50_us": seen["base_us"]["p50"],
        "p50_us": seen["latency_us"]["p50"],
    }
    for name, value in figures.items():
        print(f"{name:<12} {value}")
    write(out, "crowd", figures)


if __name__ == "__main__":
    main()
