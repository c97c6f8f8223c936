"""The simulated model server: its socket, its routes and its parts."""

from __future__ import annotations

import asyncio
import math
import random
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import orjson

from penstock.sim.batch import Scheduling
from penstock.sim.chat import answer_chat
from penstock.sim.connection import Connection
from penstock.sim.dialects import DIALECTS, Site
from penstock.sim.engine import Engine
from penstock.sim.faults import Fault
from penstock.sim.fence import Fence, Refusal
from penstock.sim.profiles import PROFILES
from penstock.sim.stats import Stats

if TYPE_CHECKING:
    from penstock.sim.dialects.openai import Page
    from penstock.sim.http import Request
    from penstock.sim.profiles import Profile

__all__ = ["INSTANT", "SimServer"]

INSTANT = math.inf
"""A speed: every token is ready at once."""
JITTER = 0.07
"""Of a step's time, assumed: the middle of 5 to 10 %."""
BACKLOG = 4096
"""Connections that the kernel holds before they are accepted; a test opens 1,000 at once."""


class SimServer:
    """A model server on a socket of its own, whose engine is a cost model and whose model is a script.

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
        self.connections: set[Connection] = set()
        """Those that are open."""
        self._created = int(time.time())
        self._ids = random.Random()  # unlike the texts, ids differ between servers and runs
        self._listener: asyncio.Server | None = None

    @property
    def fault(self) -> Fault | None:
        """How the server misbehaves with requests that do not choose for themselves."""
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | str | None) -> None:
        self._fault = None if fault is None else Fault(fault)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port (a free one if 0 was asked for). Raises OSError if the address is taken."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port, backlog=BACKLOG)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        while self.connections:
            for connection in tuple(self.connections):
                connection.stop()
            await asyncio.sleep(0)

    def new_id(self) -> str:
        """Return 32 random hex digits."""
        return f"{self._ids.getrandbits(128):032x}"

    async def answer(self, request: Request, wire: Connection) -> bool:
        """Answer a request; returns whether the connection may stay open."""
        if request.path == "/v1/chat/completions":
            if request.method != "POST":
                return await self.refuse(wire, 405, self.dialect.error(405, "This URL takes POST."), "allow: POST")
            return await answer_chat(self, request, wire)
        if request.method == "GET" and request.path == "/sim/stats":
            return await self._send(wire, self.stats.as_json())
        site = Site(self.model, self._created, self.context, self.fence, self.engine)
        page = self.dialect.page(request.path, request.query, site) if request.method == "GET" else None
        if page is None:
            return await self.refuse(wire, 404, self.dialect.no_route())
        status, body = page
        return await self._send(wire, body, status=status)

    async def refuse(self, wire: Connection, status: int, body: Page, *lines: str) -> bool:
        """Answer with an error, and count it."""
        self.stats.refused += 1
        return await self._send(wire, body, *lines, status=status)

    async def _send(self, wire: Connection, body: Page, *lines: str, status: int = 200) -> bool:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        kind = "text/plain; version=0.0.4; charset=utf-8" if isinstance(body, bytes) else self.dialect.json_type
        await wire.send(wire.head(status, f"content-type: {kind}", f"content-length: {len(data)}", *lines) + data)
        return True
