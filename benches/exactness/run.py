"""Whether a limit is one limit: several workers, thousands of clients, some of which leave.

A simulated engine counts what it has in hand, and lowers the count before it sends the last byte of an answer. Its peak
must be the limit and never more. While requests are queued, the limit should also be used: what runs is sampled in the
gateway (slots given away) and in the engine (requests that have arrived there; between one that ends and the next that
arrives lies the way through three processes, so this one cannot be full all the time).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import random
import signal
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from penstock import __version__

TOKEN = "bench"
SAMPLE_SECONDS = 0.02
BEGIN_SECONDS = 2.0
"""Until all workers have a full queue."""


@dataclass
class Samples:
    """How often which number of slots was seen in use, while requests waited."""

    engine: Counter[int] = field(default_factory=Counter)
    gateway: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    """Readings of /admin/invariants that were not ok."""


@dataclass
class Clients:
    """What the clients have seen."""

    ok: int = 0
    left: int = 0
    failed: Counter[str] = field(default_factory=Counter)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def process(*arguments: str) -> AsyncIterator[None]:
    """Run `penstock` until the end of the block."""
    environment = {**os.environ, "PENSTOCK_ADMIN_TOKEN": TOKEN}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "penstock", *arguments, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield
    finally:
        # The first drains, the second ends what a stuck client would hold.
        for seconds in (10.0, 5.0):
            if child.returncode is None:
                child.send_signal(signal.SIGTERM)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(child.wait(), seconds)


async def answers(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    async with session.get(url, headers={"authorization": f"Bearer {TOKEN}"}) as answer:
        value: dict[str, Any] = await answer.json()
        return value


async def until_up(session: aiohttp.ClientSession, url: str) -> None:
    for _ in range(600):
        try:
            async with session.get(url) as answer:
                if answer.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise RuntimeError(f"{url} does not come up")


async def client(session: aiohttp.ClientSession, url: str, seen: Clients, leaving: float, dice: random.Random) -> None:
    """Ask again and again; sometimes leave: out of the queue, or out of the middle of an answer."""
    while True:
        words = dice.randint(30, 90)
        body = {"model": "m", "stream": True, "messages": [{"role": "user", "content": f"Say {words} words."}]}
        patience = dice.uniform(0.0, 3.0) if dice.random() < leaving else None
        try:
            async with asyncio.timeout(patience), session.post(url, json=body) as answer:
                text = await answer.read()
            good = answer.status == 200 and text.endswith(b"data: [DONE]\n\n")
            if good:
                seen.ok += 1
            else:
                seen.failed[f"{answer.status} {text[-200:]!r}"] += 1
        except TimeoutError:
            seen.left += 1
        except aiohttp.ClientError as error:
            seen.failed[repr(error)] += 1


async def sample(session: aiohttp.ClientSession, engine: str, admin: str, samples: Samples) -> None:
    """Look at both counts until cancelled."""
    while True:
        sums = await answers(session, f"{admin}/admin/invariants")
        stats = await answers(session, f"{engine}/sim/stats")
        samples.broken += not sums["ok"]
        if sums["queued"] > 0:
            samples.engine[stats["running"]] += 1
            samples.gateway[sums["running"] + sums["closing"]] += 1
        await asyncio.sleep(SAMPLE_SECONDS)


async def measure(options: argparse.Namespace, leaving: float, bar: Progress) -> dict[str, Any]:
    """Run the load once; `leaving` is the part of the requests whose client leaves."""
    ports = [free_port() for _ in range(3)]
    engine, front, admin = (f"http://127.0.0.1:{port}" for port in ports)
    config = f"""
listen: 127.0.0.1:{ports[1]}
admin: {{listen: 127.0.0.1:{ports[2]}}}
workers: {options.workers}
log: {{level: error}}
backends: {{sim: {{url: "{engine}", serves: m, concurrency: {options.limit}, abort_grace: 100ms}}}}
tiers:
  instant:
    models: [m]
    backends: [sim]
    queue: {{requests: {options.clients * 2}, wait: 600s}}
    timeouts: {{first_event: 600s, between_events: 600s, total: 600s}}
"""
    seen, samples = Clients(), Samples()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "penstock.yaml"
        path.write_text(config)
        sim = ("sim", "--port", str(ports[0]), "--model", "m", "--speed", str(options.speed), "--jitter", "0")
        async with process(*sim), process("serve", "--config", str(path)), _session() as crowd, _session() as watcher:
            await until_up(watcher, f"{front}/readyz")
            chat = f"{front}/v1/chat/completions"
            began = time.monotonic()
            dice = random.Random(options.seed)
            clients = [
                asyncio.create_task(client(crowd, chat, seen, leaving, random.Random(dice.random())))
                for _ in range(options.clients)
            ]
            await asyncio.sleep(BEGIN_SECONDS)
            looking = asyncio.create_task(sample(watcher, engine, admin, samples))
            task = bar.add_task(f"{leaving:.0%} leave", total=options.seconds)
            while (passed := time.monotonic() - began) < options.seconds:
                bar.update(task, completed=passed)
                await asyncio.sleep(0.2)
            bar.update(task, completed=options.seconds)
            looking.cancel()
            for each in clients:
                each.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            await asyncio.sleep(1.0)
            stats = await answers(watcher, f"{engine}/sim/stats")
            sums = await answers(watcher, f"{admin}/admin/invariants")
    return {
        "leaving": leaving,
        "peak_in_engine": stats["peak_running"],
        "full_in_engine": _part(samples.engine, options.limit),
        "full_in_gateway": _part(samples.gateway, options.limit),
        "samples": samples.engine.total(),
        "samples_by_count_in_engine": dict(sorted(samples.engine.items())),
        "samples_by_count_in_gateway": dict(sorted(samples.gateway.items())),
        "answers": seen.ok,
        "left": seen.left,
        "failed": dict(seen.failed.most_common(5)),
        "invariants_broken": samples.broken,
        "at_the_end": sums,
    }


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=None))


def _part(counts: Counter[int], full: int) -> float:
    return round(counts[full] / max(1, counts.total()), 4)


async def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns()[:3], TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        return [await measure(options, leaving, bar) for leaving in (0.0, options.leaving)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--limit", type=int, default=7)
    parser.add_argument("--clients", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--leaving", type=float, default=0.1, help="part of the requests whose client leaves")
    parser.add_argument("--speed", type=float, default=1.0, help="of the simulated engine")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")
    options = parser.parse_args()
    results = uvloop.run(run(options))
    if options.json:
        settings = {
            name: getattr(options, name) for name in ("workers", "limit", "clients", "seconds", "seed", "speed")
        }
        about = {"version": __version__, "python": platform.python_version(), "machine": platform.machine()}
        json.dump({"engine": "simulated", **settings, "runs": results, **about}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    else:
        print(f"limit {options.limit}, {options.workers} workers, {options.clients} clients, simulated engine")
        print(f"{'leave':>6} {'peak':>5} {'full in gateway':>16} {'full in engine':>15} {'samples':>8} {'answers':>8}")
        for each in results:
            print(
                f"{each['leaving']:>6.0%} {each['peak_in_engine']:>5} {each['full_in_gateway']:>16.1%} "
                f"{each['full_in_engine']:>15.1%} {each['samples']:>8} {each['answers']:>8}"
            )
    failed = [each for each in results if each["peak_in_engine"] != options.limit or each["invariants_broken"]]
    sys.exit(1 if failed or any(each["failed"] for each in results) else 0)


if __name__ == "__main__":
    main()
