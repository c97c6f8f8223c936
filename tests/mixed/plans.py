"""What the attempts of a request are to meet, by chance, and how often."""

from __future__ import annotations

import random

Words = tuple[str, ...]

# Failures that the next attempt mends, and the same without an end: at most one more backend is tried.
FAILURES = ("die", "hang_up", "half_head", "cut_early", "bad_gateway")
MENDED: tuple[Words, ...] = tuple((word, "good") for word in FAILURES)
LASTING: tuple[Words, ...] = tuple((word,) for word in FAILURES)
DEEP: tuple[Words, ...] = (("die", "die", "good"), ("hang_up", "die", "good"))
# Each shuts a backend for a moment, for all: few of them, or little else would be served.
BOUNCED: tuple[Words, ...] = (("full", "good"), ("full", "full", "good"), ("full", "die", "good"), ("full",))
REFUSED: tuple[Words, ...] = (("echo",), ("internal",), ("garbled",))
BROKEN: tuple[Words, ...] = (("cut_stream",), ("reset_stream",), ("garbled_stream",), ("error_event",))
WELL = ("paused", "created", "spill", "closes", "as_whole")
STREAMED = ("swallow", "swallow", "swallow", "keepalive", "no_done")


def draw(dice: random.Random, *, stream: bool) -> Words:
    """Return the words of one request: most are well."""
    chance = dice.random()
    if chance < 0.7:
        return ("good",)
    if chance < 0.85:
        return (dice.choice((*WELL, *STREAMED) if stream else WELL),)
    if chance < 0.855:
        return dice.choice(BOUNCED)
    bad = (*MENDED, *MENDED, *LASTING, *DEEP, *REFUSED)
    return dice.choice((*bad, *BROKEN, *BROKEN) if stream else bad)
