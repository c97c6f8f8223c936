"""Several workers: what they cost on one core, and how connections spread over them.

Cost: CPU of a JSON request with one, two and four workers, all on one core, in alternation. Spread: idle connections
are opened, and each worker says how many it has got; the figure is the fullest worker's over its fair share.
"""

from __future__ import annotations

import re
import socket
import statistics
import time
import urllib.request

import click
from cases import CASES
from own import penstock
from stage import Started, stage
from written import write

COUNTS = (1, 2, 4)
CROWDS = (8, 64, 1000)
# Workers tell how many connections they have once a second.
TELLS_SECONDS = 1.3


def connections(port: int) -> list[int]:
    """Return how many connections each worker has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/metrics") as page:
        text = page.read().decode()
    return [int(float(count)) for count in re.findall(r"^penstock_connections\{.*\} (\S+)$", text, re.MULTILINE)]


def fullest(one: Started, crowd: int) -> float:
    """Open so many connections; return the fullest worker's number over its fair share."""
    opened = [socket.create_connection(("127.0.0.1", one.port)) for _ in range(crowd)]
    time.sleep(TELLS_SECONDS)
    counts = connections(one.port)
    for connection in opened:
        connection.close()
    time.sleep(TELLS_SECONDS)
    return max(counts) * len(counts) / crowd


@click.command(help=__doc__)
@click.option("--rounds", default=5, show_default=True)
@click.option("--seconds", default=3.0, show_default=True, help="Length of one round.")
@click.option("--out", type=click.Path(), help="A folder for the data.")
def main(rounds: int, seconds: float, out: str | None) -> None:
    """Measure and print."""
    case = CASES[0]
    costs: dict[int, list[float]] = {count: [] for count in COUNTS}
    spread: dict[int, list[float]] = {crowd: [] for crowd in CROWDS}
    with stage(**case.stub) as on:
        started = {count: on.start(penstock(count)) for count in COUNTS}
        for _ in range(rounds):
            for count, one in started.items():
                costs[count].append(case.measure(one, seconds)["cpu_us"])
            for crowd in CROWDS:
                spread[crowd].append(fullest(started[max(COUNTS)], crowd))
    ratios = {
        count: round(statistics.median(own / base for own, base in zip(costs[count], costs[1], strict=True)), 3)
        for count in COUNTS
    }
    for count, ratio in ratios.items():
        print(f"{count} worker(s): {statistics.median(costs[count]):.2f} µs a request, {ratio:.2f} x of one worker's")
    medians = {crowd: round(statistics.median(found), 2) for crowd, found in spread.items()}
    for crowd, share in medians.items():
        print(f"{crowd} connections over {max(COUNTS)} workers: the fullest has {share:.2f} x its share")
    write(out, "workers", {"cost_us": costs, "ratio": ratios, "fullest_over_share": medians, "spread": spread})


if __name__ == "__main__":
    main()
