"""Counters of the simulated server."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Abort", "Stats"]

ABORTS_KEPT = 4096
"""Enough for the largest disconnect test (1,000 of each of three kinds)."""


@dataclass(frozen=True, slots=True)
class Abort:
    """A peer that left before its answer was complete."""

    request_id: str
    """The request's ``x-request-id``, or empty."""
    peer_port: int
    stage: str
    """``waiting`` for a slot, ``prefill`` (no token yet) or ``decode``."""
    noticed: float
    """Seconds of CLOCK_MONOTONIC, which all processes of a machine share: minus the time when the peer closed, this is
    the time to notice."""


@dataclass(slots=True)
class Stats:
    """Counters of one server. At rest, ``started == finished + aborted + faulted``."""

    running: int = 0
    """Sequences in hand, at most as many as the engine has places; a request has ``n`` of them. One counts from the
    moment its request is read until its last token is ready, before the last byte of the answer is sent: no part of a
    request escapes. (The gauges in /metrics are the engine's own: what is in its batch.)"""
    peak_running: int = 0
    waiting: int = 0
    """Sequences in hand beyond the places."""
    started: int = 0
    """Valid requests handed to the engine."""
    finished: int = 0
    aborted: int = 0
    """Requests whose peer closed or half-closed first."""
    faulted: int = 0
    """Requests that this server spoiled on purpose, or cut because it was stopped."""
    refused: int = 0
    """Requests answered with an error instead of being started."""
    turned_away: int = 0
    """Those of them that exceeded the engine's own limit."""
    connections: int = 0
    """Connections open now."""
    accepted: int = 0
    """Connections since the start."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    aborts: deque[Abort] = field(default_factory=lambda: deque(maxlen=ABORTS_KEPT))
    """The latest aborts, oldest first."""

    def hold(self, sequences: int, places: int) -> None:
        """Set how many sequences are in hand."""
        self.running = min(sequences, places)
        self.waiting = sequences - self.running
        self.peak_running = max(self.peak_running, self.running)

    def abort(self, request_id: str, peer_port: int, stage: str) -> None:
        """Count a request whose peer has left, now."""
        self.aborted += 1
        self.aborts.append(Abort(request_id, peer_port, stage, time.monotonic()))

    def as_json(self) -> dict[str, Any]:
        """Return the body of ``GET /sim/stats``."""
        counters = {name: getattr(self, name) for name in self.__slots__ if name != "aborts"}
        aborts = [{name: getattr(abort, name) for name in abort.__slots__} for abort in self.aborts]
        return {**counters, "now": time.monotonic(), "aborts": aborts}
