"""What becomes of a connection that aiohttp was given: CPU of one `GET /v1/models`, which is not for the lane, and of
the chats behind it on the same connection.

It comes back to the lane with the next chat, which is what Penstock does. Or it stays with aiohttp: that is what
`lane: off` measures. Or it is closed behind the answer, and the client connects anew: that is what a client measures
which asks for it.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
from typing import TYPE_CHECKING

import click
from generator import LOAD_CORE, WrongAnswersError
from own import penstock
from peer import MODEL
from process import cpu_us
from stage import stage
from written import write

if TYPE_CHECKING:
    from stage import Started

WAYS = {
    "it comes back with the next chat": ("on", False),
    "it stays with aiohttp": ("off", False),
    "it is closed, and the client connects anew": ("on", True),
}
CHATS = (0, 1, 20)
CHAT = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "river " * 170}]}).encode()


def ask(client: http.client.HTTPConnection, method: str, path: str, body: bytes | None, **headers: str) -> None:
    """Ask, and check the answer.

    Raises:
        WrongAnswersError: it is no 200.
    """
    client.request(method, path, body, headers)
    with client.getresponse() as answer:
        text = answer.read()
        if answer.status != http.client.OK:
            raise WrongAnswersError(f"{method} {path}: {answer.status} {text[:200]!r}")


def cost(one: Started, chats: int, count: int, *, closes: bool) -> float:
    """Return the microseconds of CPU of one GET and its chats, the mean of `count`."""
    client = http.client.HTTPConnection("127.0.0.1", one.port)
    wish = {"connection": "close"} if closes else {}
    before = cpu_us(one.pid)
    for _ in range(count):
        ask(client, "GET", "/v1/models", None, **wish)
        for _ in range(chats):
            ask(client, "POST", "/v1/chat/completions", CHAT, **{"content-type": "application/json"})
    spent = cpu_us(one.pid) - before
    client.close()
    return spent / count


@click.command(help=__doc__)
@click.option("--rounds", default=7, show_default=True)
@click.option("--count", default=500, show_default=True, help="GETs of one round.")
@click.option("--out", type=click.Path(), help="A folder for the data.")
def main(rounds: int, count: int, out: str | None) -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {LOAD_CORE})
    found: dict[str, dict[int, list[float]]] = {way: {chats: [] for chats in CHATS} for way in WAYS}
    with stage() as on:
        started = {lane: on.start(penstock(lane=lane)) for lane in ("on", "off")}
        for _ in range(rounds):
            for chats in CHATS:
                for way, (lane, closes) in WAYS.items():
                    found[way][chats].append(cost(started[lane], chats, max(count // (chats + 1), 1), closes=closes))
    figures = {
        way: {chats: round(statistics.median(costs)) for chats, costs in own.items()} for way, own in found.items()
    }
    print(f"{'µs of CPU of a GET and so many chats':<44}" + "".join(f"{chats:>8}" for chats in CHATS))
    for way, costs in figures.items():
        print(f"{way:<44}" + "".join(f"{costs[chats]:>8,}" for chats in CHATS))
    write(out, "handover", {"unit": "µs of CPU", "rounds": rounds, "figures": figures, "costs": found})


if __name__ == "__main__":
    main()
