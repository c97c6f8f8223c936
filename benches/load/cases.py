"""What is measured of a peer."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from own import BINARIES
from process import cpu_us, pinned

if TYPE_CHECKING:
    from stage import Started

__all__ = ["CASES", "LOAD_CORE", "PEER_CORE", "Case", "Faults", "generate"]

PEER_CORE = 0
LOAD_CORE = 1


class Faults(Exception):  # noqa: N818 - it says what went wrong
    """The peer gave wrong answers, so its figures mean nothing."""


@dataclass(frozen=True)
class Case:
    """One kind of load."""

    name: str
    what: str
    stub: dict[str, float]
    """Options of the stub."""
    load: dict[str, float | str]
    """Options of the generator."""
    unit: str
    """What is counted: `answers` or `events`."""
    most: float | None = None
    """The aim: at most so many times nginx's CPU."""

    def measure(self, one: Started, seconds: float) -> dict[str, Any]:
        """Return one round: CPU in microseconds a unit, and what the generator has seen."""
        before = cpu_us(one.pid)
        seen = generate(one.port, seconds, one.headers, **self.load)
        spent = cpu_us(one.pid) - before
        return {"cpu_us": spent / seen[self.unit], "per_second": seen[self.unit] / seen["seconds"], "seen": seen}


def generate(port: int, seconds: float, headers: dict[str, str], **options: float | str) -> dict[str, Any]:
    """Run the generator for so long and return what it reports.

    Raises:
        Faults: an answer was wrong.
    """
    command = [str(BINARIES / "load"), "--port", str(port), "--seconds", str(seconds)]
    for name, value in options.items():
        command += [f"--{name}", str(value)]
    if headers:
        command += ["--header", "|".join(f"{name}: {value}" for name, value in headers.items())]
    done = subprocess.run(pinned(command, LOAD_CORE), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Faults(done.stderr.strip() or f"the generator ended with {done.returncode}")
    seen: dict[str, Any] = json.loads(done.stdout)
    faults = {name: count for name, count in seen["faults"].items() if name != "reconnects"}
    if faults:
        raise Faults(f"{faults} {done.stderr.strip()[:300]}")
    # An answer that has not come to its end has not been checked to its end.
    if seen["answers"] + seen["streams"] == 0:
        raise Faults("no answer came to its end")
    return seen


CASES = [
    Case("json", "JSON request, 1 KB prompt, 64 connections", {}, {"mode": "closed"}, "answers", most=1.0),
    Case(
        "prompt",
        "JSON request, 32 KB prompt of prose, code and Chinese",
        {},
        {"mode": "closed", "bytes": 32768, "text": "mixed"},
        "answers",
        most=1.2,
    ),
    Case(
        "paced",
        "streamed event, 128 streams of 50 events/s",
        {"rate": 50, "events": 100},
        {"mode": "streams", "connections": 128},
        "events",
        most=1.0,
    ),
    Case(
        "saturated",
        "streamed event, 64 streams as fast as they go",
        {"events": 400, "batch": 8},
        {"mode": "streams", "connections": 64},
        "events",
        most=2.0,
    ),
]
