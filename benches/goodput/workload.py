"""What arrives: mixes of prompt and answer lengths, at random times."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Literal

from penstock.sim.sequence import Sequence

__all__ = ["MIXES", "Job", "Lengths", "Mix", "Part", "Slo", "Uniform", "arrivals", "backlog"]


@dataclass(frozen=True, slots=True)
class Slo:
    """What makes a finished request a good one. Seconds, counted from its arrival."""

    first_token: float
    per_token: float
    """The mean time between tokens after the first."""


NO_SLO = Slo(first_token=math.inf, per_token=math.inf)


class Job(Sequence):
    """One request of a simulation, and when things happened to it. All times are seconds since the start."""

    __slots__ = ("arrived", "backend", "dispatched", "ended", "first", "part", "refused", "ticket")

    def __init__(self, prompt: int, output: int, arrived: float, part: Part) -> None:
        super().__init__(prompt, output)
        self.arrived = arrived
        self.part = part
        self.backend = 0
        self.ticket = 0
        """For the policy's own use."""
        self.dispatched: float | None = None
        self.first: float | None = None
        self.ended: float | None = None
        self.refused: float | None = None

    @property
    def cost(self) -> int:
        """Return what serving it takes, in cost units: a generated token counts twice."""
        return self.prompt + 2 * self.output

    def is_good(self) -> bool:
        """Whether the request has finished within its SLO."""
        if self.first is None or self.ended is None:
            return False
        slo = self.part.slo
        per_token = (self.ended - self.first) / max(1, self.output - 1)
        return self.first - self.arrived <= slo.first_token and per_token <= slo.per_token


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lognormal lengths in tokens."""

    median: float
    sigma: float
    """Standard deviation of the logarithm."""

    def draw(self, rng: random.Random) -> int:
        """Return a length."""
        return max(1, round(rng.lognormvariate(math.log(self.median), self.sigma)))


@dataclass(frozen=True, slots=True)
class Uniform:
    """Lengths in tokens, all equally likely."""

    least: int
    most: int

    def draw(self, rng: random.Random) -> int:
        """Return a length."""
        return rng.randint(self.least, self.most)


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of requests."""

    share: float
    """Of all requests."""
    prompt: Lengths | Uniform
    output: Lengths | Uniform
    slo: Slo
    max_tokens: int
    """The cap that the client sends; answers are cut there."""
    tenant: str | None = None
    weight: int = 1
    """Of the tenant, beside others."""

    def draw(self, arrived: float, rng: random.Random) -> Job:
        """Return a request."""
        return Job(self.prompt.draw(rng), min(self.max_tokens, self.output.draw(rng)), arrived, self)


@dataclass(frozen=True, slots=True)
class Mix:
    """Kinds of requests that come together, and the machine and the limit that they are served with."""

    name: str
    what: str
    profile: str
    slots: int
    """The gateway's limit of each backend: the knee of a closed-loop sweep."""
    parts: tuple[Part, ...]
    tier: Literal["instant", "thinking"] = "instant"
    """The profile of the gateway's tier. Its service level is that of the first part."""


CHAT_SLO = Slo(first_token=1.0, per_token=0.060)
LONG_SLO = Slo(first_token=3.0, per_token=0.060)
"""For prompts of several thousand tokens ("TTFT 1 s/3 s")."""
THINKING_SLO = Slo(first_token=30.0, per_token=0.100)
"""The defaults of a thinking tier."""
CHAT_PROMPT, CHAT_OUTPUT = Lengths(400, 0.9), Lengths(160, 0.8)

MIXES: dict[str, Mix] = {
    mix.name: mix
    for mix in (
        Mix("chat", "8B on one H100, chat", "8b-h100", 128, (Part(1.0, CHAT_PROMPT, CHAT_OUTPUT, CHAT_SLO, 2048),)),
        Mix(
            "mixed",
            "8B on one H100, chat and 10 % prompts of 6,000 to 12,000 tokens",
            "8b-h100",
            128,
            (
                Part(0.9, CHAT_PROMPT, CHAT_OUTPUT, CHAT_SLO, 2048),
                Part(0.1, Uniform(6000, 12_000), CHAT_OUTPUT, LONG_SLO, 2048),
            ),
        ),
        Mix(
            "reasoning",
            "70B on four H100, reasoning",
            "70b-h100x4",
            128,
            (Part(1.0, Lengths(700, 0.8), Lengths(1800, 0.7), THINKING_SLO, 8192),),
            "thinking",
        ),
        Mix(
            "tenants",
            "8B on one H100, two tenants that ask for the same number of tokens: short chat, and prompts of 8,000",
            "8b-h100",
            128,
            (
                Part(0.9, CHAT_PROMPT, CHAT_OUTPUT, CHAT_SLO, 2048, "small"),
                Part(0.1, Uniform(7500, 8500), CHAT_OUTPUT, LONG_SLO, 2048, "large"),
            ),
        ),
    )
}
"""Loads whose goodput is measured."""


def backlog(weight: int) -> Mix:
    """Return short chat beside prompts of 8,000, request for request: what fairness is measured with.

    weight: of the short chat; the other has 1. Nothing has a deadline, so whoever asks for enough always has some of it
    waiting.
    """
    return Mix(
        f"backlog {weight}:1",
        f"8B on one H100, as many short chats as prompts of 8,000, weights {weight}:1",
        "8b-h100",
        128,
        (
            Part(0.5, CHAT_PROMPT, CHAT_OUTPUT, NO_SLO, 2048, "small", weight),
            Part(0.5, Uniform(7500, 8500), CHAT_OUTPUT, NO_SLO, 2048, "large"),
        ),
    )


def arrivals(mix: Mix, rate: float, seed: int) -> Iterator[Job]:
    """Yield requests without end: Poisson arrivals, `rate` a second on average."""
    rng = random.Random(f"{mix.name} {seed}")
    shares = [part.share for part in mix.parts]
    now = 0.0
    for _ in count():
        now += rng.expovariate(rate)
        (part,) = rng.choices(mix.parts, shares)
        yield part.draw(now, rng)
