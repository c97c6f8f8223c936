"""The simulated model server: its socket, its routes and its parts."""

from __future__ import annotations

import asyncio
import math
import random
import time
from typing import TYPE_CHECKING, Any

import orjson

from penstock.sim.chat import answer_chat
from penstock.sim.connection import Connection
from penstock.sim.dialects import DIALECTS
from penstock.sim.engine import Engine
from penstock.sim.faults import Fault
from penstock.sim.profiles import PROFILES
from penstock.sim.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.sim.http import Request

__all__ = ["INSTANT", "SimServer"]

INSTANT = math.inf
"""A speed: every token is ready at once."""
BACKLOG = 4096
"""Connections that the kernel holds before they are accepted; a test opens 1,000 at once."""


class SimServer:
    """A model server on a socket of its own, whose engine is a cost model and whose model is a script.

    profile: a name in PROFILES. dialect: a name in DIALECTS. model: the only model's name. seed: decides the texts.
    fault: how to misbehave; may be changed at any time (the header ``x-sim-fault`` decides for one request). speed: how
    many times faster than the real machine; INSTANT for no waiting. context: tokens of prompt and answer; the profile's
    own by default. reasoning: think before answering. slots: how many sequences run at once, the rest wait in order;
    None for no limit.

    Raises ValueError for a name that does not exist.
    """

    def __init__(
        self,
        *,
        profile: str = "8b-h100",
        dialect: str = "vllm",
        model: str = "sim",
        seed: int = 0,
        fault: Fault | str | None = None,
        speed: float = 1.0,
        context: int | None = None,
        reasoning: bool = False,
        slots: int | None = None,
    ) -> None:
        if profile not in PROFILES or dialect not in DIALECTS:
            raise ValueError(f"profile is one of {', '.join(PROFILES)}; dialect is one of {', '.join(DIALECTS)}")
        self.stats = Stats()
        self.dialect = DIALECTS[dialect]
        self.engine = Engine(PROFILES[profile], slots, speed, self.stats)
        self.model = model
        self.seed = seed
        self.fault = fault
        self.context = PROFILES[profile].context if context is None else context
        self.reasoning = reasoning
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
        page = self._page(request.path) if request.method == "GET" else None
        if page is None:
            return await self.refuse(wire, 404, self.dialect.no_route())
        return await self._send(wire, page)

    def _page(self, path: str) -> bytes | dict[str, Any] | None:
        """Return what a GET shows; None: there is nothing."""
        pages: dict[str, Callable[[], bytes | dict[str, Any] | None]] = {
            "/health": lambda: b"" if self.dialect.health is None else self.dialect.health,
            "/v1/models": lambda: self.dialect.models(self.model, self._created, self.context),
            "/version": lambda: self.dialect.version,
            "/metrics": lambda: self._metrics() if self.dialect.gauges else None,
            "/sim/stats": self.stats.as_json,
        }
        return pages[path]() if path in pages else None

    async def refuse(self, wire: Connection, status: int, body: dict[str, Any], *lines: str) -> bool:
        """Answer with an error, and count it."""
        self.stats.refused += 1
        return await self._send(wire, body, *lines, status=status)

    async def _send(self, wire: Connection, body: bytes | dict[str, Any], *lines: str, status: int = 200) -> bool:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        kind = "text/plain; version=0.0.4; charset=utf-8" if isinstance(body, bytes) else self.dialect.json_type
        await wire.send(wire.head(status, f"content-type: {kind}", f"content-length: {len(data)}", *lines) + data)
        return True

    def _metrics(self) -> bytes:
        values = {
            "running": float(self.stats.running),
            "waiting": float(self.stats.waiting),
            "kv_usage": self.engine.kv_usage(),
        }
        labels = f'{{engine="0",model_name="{self.model}"}}' if self.dialect.labels_gauges else ""
        lines: list[str] = []
        for name, gauge in self.dialect.gauges.items():
            lines += [f"# TYPE {gauge} gauge", f"{gauge}{labels} {values[name]}"]
        return "\n".join((*lines, "")).encode()
