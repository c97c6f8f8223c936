"""The simulated model and its engine: what answers are made from. It has no sockets."""

from __future__ import annotations

import math
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.sim.batch import Scheduling
from penstock.sim.dialects import DIALECTS, Site
from penstock.sim.engine import Engine
from penstock.sim.faults import Fault
from penstock.sim.fence import Fence, Refusal
from penstock.sim.profiles import PROFILES
from penstock.sim.stats import Stats

if TYPE_CHECKING:
    from penstock.sim.profiles import Profile
    from penstock.sim.request import ChatRequest

__all__ = ["INSTANT", "JITTER", "SimModel"]

INSTANT = math.inf
"""A speed: every token is ready at once."""
JITTER = 0.07
"""Of a step's time, assumed: the middle of 5 to 10 %."""


class SimModel:
    """An engine that is a cost model, and a language model that is a script.

    profile: a name in PROFILES, or a Profile of one's own. dialect: a name in DIALECTS. model: the only model's name.
    seed: decides the texts, and the jitter. fault: how to misbehave; may be changed at any time (the header
    ``x-sim-fault`` decides for one request). speed: how many times faster than the real machine; INSTANT for no
    waiting. context: tokens of prompt and answer, at most what the KV cache holds; the profile's own by default.
    reasoning: think before answering. slots: how many sequences run at once, the rest wait; the profile's own by
    default. scheduling: in which order they wait. jitter: standard deviation of the logarithm of a step's time; 0 for
    none. fence: the engine's own limit (see Fence); the dialect's default if None. refusal: where streams are told that
    it is reached; the dialect's way if None.

    Raises ValueError for a name that does not exist, and for a fence where the engine has none.
    """

    def __init__(
        self,
        *,
        profile: str | Profile = "8b-h100",
        dialect: str = "vllm",
        model: str = "sim",
        seed: int = 0,
        fault: Fault | str | None = None,
        speed: float = 1.0,
        context: int | None = None,
        reasoning: bool = False,
        slots: int | None = None,
        scheduling: Scheduling = Scheduling.FCFS,
        jitter: float = JITTER,
        fence: int | None = None,
        refusal: Refusal | None = None,
    ) -> None:
        if dialect not in DIALECTS or (isinstance(profile, str) and profile not in PROFILES):
            raise ValueError(f"profile is one of {', '.join(PROFILES)}; dialect is one of {', '.join(DIALECTS)}")
        self.stats = Stats()
        self.dialect = DIALECTS[dialect]
        if fence is not None and self.dialect.fence is Fence.NONE:
            raise ValueError(f"{dialect} has no limit of its own that could be set")
        machine = PROFILES[profile] if isinstance(profile, str) else profile
        machine = machine if slots is None else replace(machine, max_num_seqs=slots)
        self.engine = Engine(machine, self.stats, speed=speed, scheduling=scheduling, jitter=jitter, seed=seed)
        self.model = model
        self.seed = seed
        self.fault = fault
        self.context = min(machine.context if context is None else context, machine.kv_tokens)
        self.reasoning = reasoning
        self.fence = self.dialect.fence_default if fence is None else fence
        self.refusal = self.dialect.refusal if refusal is None else refusal
        self._created = int(time.time())
        self._ids = random.Random()  # unlike the texts, ids differ between servers and runs

    @property
    def fault(self) -> Fault | None:
        """How the server misbehaves with requests that do not choose for themselves."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | str | None) -> None:
        self._fault = None if fault is None else Fault(fault)

    @property
    def site(self) -> Site:
        """What the dialect's pages are made from."""
        return Site(self.model, self._created, self.context, self.fence, self.engine)

    def new_id(self) -> str:
        """Return 32 random hex digits."""
        return f"{self._ids.getrandbits(128):032x}"

    def choices(self, chat: ChatRequest) -> int:
        """Return how many answers a request gets; not every server knows ``n``."""
        return chat.choices if self.dialect.answers_n else 1
