"""Whether the engine behind a server that still answers has stopped: a state machine without sockets or clock.

A server's API may answer every probe while the engine behind it makes no step: requests are taken, and none ever has a
token. There are two proofs of that, by what the server tells:

* Where it counts its steps (vLLM): a request of ours has run there for ``HANG_SECONDS`` while the engine, by its own
  word, had something to do and made no step. That holds for whole answers too, however long they are.
* Elsewhere only those tell that had nothing when their time was over: streams, whose time for a first event is short,
  and whole answers, of which nothing is heard before their end and whose only time is the total one. In ``ROUNDS``
  rounds there were such requests, from the first to the last of these rounds ``HANG_SECONDS`` have passed, and no
  request had anything from the backend in between. One long prompt does not look like that, nor one burst of them.

That a probe is answered says nothing against either. When it is over `penstock.upstream.liveness` finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from penstock.upstream.gauges import Gauges

__all__ = ["HANG_SECONDS", "Hang", "Look"]

HANG_SECONDS = 30.0
ROUNDS = 3


class Look(NamedTuple):
    """What is seen of a backend in one round."""

    now: float
    """Seconds of a clock that only rises."""
    own: int
    """Slots of ours in use there."""
    heard: float
    """When a request last had something from it."""
    silences: int
    """Requests that had nothing when their time was over, since the start."""
    gauges: Gauges
    """What the engine has said just now; nothing, if it did not."""
    longest: Callable[[], float | None]
    """Returns for how many seconds the request has run that runs longest there."""

    @property
    def mark(self) -> tuple[float, int | None]:
        """What changes whenever the engine works, as far as that can be seen."""
        return self.heard, self.gauges.steps


class Hang:
    """Judges one backend, look by look."""

    def __init__(self) -> None:
        # The last look's, and since when it is the same although the engine has something to do.
        self._mark: tuple[float, int | None] = (-1.0, None)
        self._still_since = 0.0
        self._silences = 0
        # Of the rounds with such requests: how many in a row, and when the first was.
        self._rounds = 0
        self._silent_since = 0.0

    def observe(self, look: Look) -> str | None:
        """Return why the engine counts as hung; None if it does not."""
        if look.heard != self._mark[0]:
            self._rounds = 0
        elif look.silences > self._silences:
            self._rounds += 1
            if self._rounds == 1:
                self._silent_since = look.now
        is_busy = look.own > 0 and bool(look.gauges.running)
        if not is_busy or look.mark != self._mark:
            self._still_since = look.now
        self._mark, self._silences = look.mark, look.silences
        if look.gauges.steps is None:
            is_hung = self._rounds >= ROUNDS and look.now - self._silent_since >= HANG_SECONDS
            return "hangs: requests have nothing from it when their time is over" if is_hung else None
        seconds = look.now - self._still_since
        if seconds < HANG_SECONDS or (look.longest() or 0.0) < HANG_SECONDS:
            return None
        return f"hangs: {look.own} requests run, none had a token for {seconds:.0f} s"
