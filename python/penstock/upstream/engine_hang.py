"""Detects an engine that has stopped behind a server that still answers: a state machine without sockets or clock.

A server's API may answer every probe while the engine behind it makes no step: it accepts requests and none ever gets a
token. There are two kinds of evidence, depending on what the server reports:

* If it counts its steps (vLLM): a request of ours has run there for ``HANG_SECONDS`` while the engine reported running
  requests and made no step. This also works for answers that are not streamed, however long they take.
* Otherwise: requests that timed out without a single byte from the backend. (A stream has a short time-out for its
  first event; an answer that is not streamed only has the total one.) There were such time-outs in ``ROUNDS`` rounds,
  at least ``HANG_SECONDS`` passed from the first to the last of these rounds, and no request received anything in
  between. Neither one long prompt nor one burst of them looks like that.

Answered probes are no evidence to the contrary. `penstock.upstream.liveness` finds out when the hang is over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from penstock.upstream.gauges import Gauges

__all__ = ["HANG_SECONDS", "EngineHangDetector", "Observation"]

HANG_SECONDS = 30.0
ROUNDS = 3


class Observation(NamedTuple):
    """What is known of a backend in one round."""

    now: float
    """Seconds of a clock that only rises."""
    own: int
    """Slots that our requests use there."""
    heard: float
    """When a request last received something from it."""
    silences: int
    """Requests that timed out without having received anything, since the start."""
    gauges: Gauges
    """The engine's gauges of this round; empty if there are none."""
    longest: Callable[[], float | None]
    """Returns the age in seconds of the oldest request that runs there; None: none runs."""

    @property
    def progress(self) -> tuple[float, int | None]:
        """What changes whenever the engine is seen to make progress."""
        return self.heard, self.gauges.steps


class EngineHangDetector:
    """Judges one backend by successive observations."""

    def __init__(self) -> None:
        # The progress of the last observation, and since when it has not changed although the engine has work.
        self._progress: tuple[float, int | None] = (-1.0, None)
        self._stuck_since = 0.0
        self._silences = 0
        # Consecutive rounds with requests that timed out without an answer, and when the first of these rounds was.
        self._rounds = 0
        self._silent_since = 0.0

    def observe(self, seen: Observation) -> str | None:
        """Return why the engine counts as hung; None if it does not."""
        if seen.heard != self._progress[0]:
            self._rounds = 0
        elif seen.silences > self._silences:
            self._rounds += 1
            if self._rounds == 1:
                self._silent_since = seen.now
        is_busy = seen.own > 0 and bool(seen.gauges.running)
        if not is_busy or seen.progress != self._progress:
            self._stuck_since = seen.now
        self._progress, self._silences = seen.progress, seen.silences
        if seen.gauges.steps is None:
            is_hung = self._rounds >= ROUNDS and seen.now - self._silent_since >= HANG_SECONDS
            return "hangs: requests have nothing from it when their time is over" if is_hung else None
        seconds = seen.now - self._stuck_since
        if seconds < HANG_SECONDS or (seen.longest() or 0.0) < HANG_SECONDS:
            return None
        return f"hangs: {seen.own} requests run, none had a token for {seconds:.0f} s"
