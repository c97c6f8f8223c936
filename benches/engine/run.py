"""What the gate costs on a real engine: llama.cpp with four slots and many clients, prompt-heavy.

Each round sends as many requests three times through Penstock: with a limit of four, of five, and with the gate open,
so that they queue inside the engine; the order rotates. While they run, the engine's own `/slots` and `/metrics` are
read ten times a second. With four its own queue is empty, and a slot that comes free in one step of the batch has its
next request only in the step after. With five the engine has always one at hand. Engine, gateway and clients share the
machine, so only the ratios mean something.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from operator import truediv

import aiohttp
import uvloop
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from penstock import __version__
from penstock.app.service import Service
from penstock.config import load_text
from penstock.engines.embedded import EmbeddedEngine

SLOTS = 4
OPEN = "open"
GATES = {"slots": SLOTS, "slots + 1": SLOTS + 1}
POLL_SECONDS = 0.1
WORDS = ["river", "gate", "wheel", "stone", "bridge", "valley", "current", "spring", "meadow", "harbour", "lantern"]


@dataclass
class Watch:
    """What the engine itself has shown during a run."""

    samples: int = 0
    most_slots: int = 0
    most_deferred: int = 0

    async def look(self, session: aiohttp.ClientSession, url: str) -> None:
        """Read the engine's numbers until cancelled."""
        while True:
            async with session.get(f"{url}/slots") as answer:
                slots = await answer.json()
            async with session.get(f"{url}/metrics") as answer:
                page = await answer.text()
            deferred = next(line for line in page.splitlines() if line.startswith("llamacpp:requests_deferred "))
            self.samples += 1
            self.most_slots = max(self.most_slots, sum(slot["is_processing"] for slot in slots))
            self.most_deferred = max(self.most_deferred, int(float(deferred.split()[1])))
            await asyncio.sleep(POLL_SECONDS)


@dataclass
class Run:
    """One pass over all requests."""

    gate: str
    seconds: float
    engine: Watch


def prompts(count: int, words: int, seed: int) -> list[str]:
    """Return prompts that begin differently, so that no cache helps."""
    dice = random.Random(seed)
    return [f"{number}: " + " ".join(dice.choices(WORDS, k=words)) for number in range(count)]


async def measure(url: str, gate: str, limit: int, texts: list[str], clients: int) -> Run:
    """Send every prompt once, over so many clients, and watch the engine."""
    config = f"""
listen: 127.0.0.1:0
admin: {{listen: 127.0.0.1:0}}
log: {{level: error}}
workers: 1
backends: {{engine: {{url: "{url}", serves: model, concurrency: {limit}}}}}
tiers:
  instant:
    models: [model]
    backends: [engine]
    queue: {{wait: 600s}}
    timeouts: {{first_event: 600s, between_events: 600s, total: 600s}}
"""
    service = Service(load_text(config, "bench"))
    await service.start()
    watch, left = Watch(), iter(texts)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        while service.worker.health.ready()[0] != 200:  # noqa: ASYNC110 - the probes have no event to wait for
            await asyncio.sleep(POLL_SECONDS)
        target = f"http://127.0.0.1:{service.worker.settings.listen.port}/v1/chat/completions"

        async def client() -> None:
            for text in left:
                body = {"model": "model", "messages": [{"role": "user", "content": text}], "max_tokens": 8}
                async with session.post(target, json=body) as answer:
                    if answer.status != 200:
                        raise RuntimeError(f"{answer.status}: {(await answer.text())[:200]}")
                    await answer.read()

        watcher = asyncio.create_task(watch.look(session, url))
        began = time.monotonic()
        await asyncio.gather(*(client() for _ in range(clients)))
        seconds = time.monotonic() - began
        watcher.cancel()
    await service.stop()
    return Run(gate, seconds, watch)


async def compare(options: argparse.Namespace) -> list[Run]:
    """Run all rounds on one engine."""
    engine = EmbeddedEngine("model", slots=SLOTS, context=SLOTS * 1024)
    url = await engine.start()
    runs: list[Run] = []
    gates = [*GATES.items(), (OPEN, options.clients)]
    try:
        with Progress(*Progress.get_default_columns()[:3], TimeRemainingColumn(), console=Console(stderr=True)) as bar:
            task = bar.add_task("runs", total=len(gates) * options.rounds)
            for number in range(options.rounds):
                first = number % len(gates)
                for gate, limit in gates[first:] + gates[:first]:
                    texts = prompts(options.requests, options.words, seed=len(runs))
                    runs.append(await measure(url, gate, limit, texts, options.clients))
                    bar.advance(task)
    finally:
        await engine.stop()
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=64, help="requests in a run")
    parser.add_argument("--words", type=int, default=60, help="words of a prompt")
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    options = parser.parse_args()
    runs = uvloop.run(compare(options))
    seconds = {gate: [run.seconds for run in runs if run.gate == gate] for gate in (*GATES, OPEN)}
    ratios = {gate: round(statistics.median(map(truediv, seconds[gate], seconds[OPEN])), 3) for gate in GATES}
    results = {
        "times_of_an_open_gate_median": ratios,
        "slots": SLOTS,
        "clients": options.clients,
        "requests": options.requests,
        "words": options.words,
        "runs": [asdict(run) for run in runs],
        "engine": "llama.cpp (xllamacpp), SmolLM2 135M",
        "version": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    if options.json:
        json.dump(results, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return
    print(f"{'gate':<10} {'seconds':>8} {'most slots':>11} {'most deferred':>14} {'samples':>8}")
    for run in runs:
        watch = run.engine
        print(f"{run.gate:<10} {run.seconds:>8.2f} {watch.most_slots:>11} {watch.most_deferred:>14} {watch.samples:>8}")
    for gate, ratio in ratios.items():
        print(f"{gate} / open, median of the times: {ratio}")


if __name__ == "__main__":
    main()
