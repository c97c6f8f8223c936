"""What is measured of a peer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from generator import generate
from process import cpu_us

if TYPE_CHECKING:
    from stage import Started

__all__ = ["CASES", "Case"]


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
