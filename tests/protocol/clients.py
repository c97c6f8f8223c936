"""Clients of a worker's protocols over fake transports: what is read at once is the test's choice, byte by byte."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from structlog import get_logger

from penstock._core import UpstreamConnection
from penstock.config import load_text
from penstock.server.attributes import AttributeReader
from penstock.server.client_server import ClientServer
from penstock.server.cors import Origins
from penstock.server.health import Health
from penstock.server.lane import Lane
from penstock.server.models import Models
from penstock.server.registry import Registry
from penstock.server.routes import Routes
from tests.observation import DATE, IN_BODY, MADE_ID
from tests.protocol.wire import DONE, LAST_CHUNK, SSE_HEAD, Attempt, Transport, Wire, chunk, whole

__all__ = ["Client", "Front"]

CONFIG = """
lane: {lane}
limits: {{body: 4KiB, head: 128B}}
backends:
  a: {{url: "http://127.0.0.1:9", serves: served, concurrency: 4}}
tiers:
  instant: {{models: [fast], backends: [a]}}
"""
TIMING = re.compile(rb"\r\nserver-timing: [^\r]*")
# More turns of the loop than anything here takes between two reads.
TURNS = 200


class Echo(Transport):
    """A backend's end: it answers each whole request with its content, and remembers it."""

    def __init__(self, attempt: Attempt, contents: list[str]) -> None:
        super().__init__()
        self._attempt = attempt
        self._contents = contents
        self._came = b""

    def write(self, data: bytes) -> None:
        self._came += data
        head, _, body = self._came.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)", head)
        assert length is not None
        if len(body) < int(length[1]):
            return
        assert len(body) == int(length[1])
        self._came = b""
        asked = json.loads(body)
        content = asked["messages"][0]["content"]
        self._contents.append(content)
        answer = whole(content)
        if asked.get("stream"):
            answer = SSE_HEAD + chunk({"content": content}) + chunk({}, "stop") + DONE + LAST_CHUNK
        asyncio.get_running_loop().call_soon(self._attempt.feed, answer)


class EchoWire(Wire):
    """A gateway whose backend answers by itself. `contents`: what has reached it."""

    def __init__(self, config: str) -> None:
        super().__init__(config)
        self.contents: list[str] = []

    def _connect(self, backend: int, protocol: UpstreamConnection) -> Attempt:
        attempt = super()._connect(backend, protocol)
        asyncio.get_running_loop().call_soon(attempt.connect, Echo(attempt, self.contents))
        return attempt


class ClientTransport(Transport):
    """A client's end: it knows who has it."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol: Any = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def set_write_buffer_limits(self, high: int) -> None:
        """Hold nothing back."""

    def close(self) -> None:
        if not self.closing:
            super().close()
            asyncio.get_running_loop().call_soon(self._lost)

    def abort(self) -> None:
        self.close()

    def _lost(self) -> None:
        self.protocol.connection_lost(None)


class Client:
    """One client connection."""

    def __init__(self, front: Front) -> None:
        self.transport = ClientTransport()
        self.transport.protocol = front.factory()
        self.transport.protocol.connection_made(self.transport)

    def send(self, data: bytes) -> None:
        """Let the worker read these bytes at once, unless it reads no more."""
        if data and not self.transport.closing:
            self.transport.protocol.data_received(data)

    @property
    def received(self) -> bytes:
        """All that was written, what changes from one time to the next masked."""
        text = DATE.sub("*", b"".join(self.transport.written).decode("latin-1"))
        return IN_BODY.sub(rb'"\1":*', TIMING.sub(b"", MADE_ID.sub("*", text).encode("latin-1")))

    @property
    def is_open(self) -> bool:
        """Whether it may send another request."""
        return not {"close", "write_eof", "abort"}.intersection(self.transport.calls)

    async def turn(self, turns: int = TURNS) -> None:
        """Let the worker do all that it can without another byte."""
        for _ in range(turns):
            before = len(self.transport.written)
            for _ in range(8):
                await asyncio.sleep(0)
            if len(self.transport.written) == before:
                return

    async def leave(self) -> None:
        """Be gone."""
        self.transport.close()
        await asyncio.sleep(0)


class Front:
    """A worker without sockets."""

    def __init__(self, lane: str) -> None:
        config = CONFIG.format(lane=lane)
        settings = load_text(config, "test")
        self.wire = EchoWire(config)
        self.registry = Registry(self.wire.gateway, settings.limits, get_logger())
        attributes = AttributeReader(settings)
        health = Health(self.wire.segment, list(settings.tiers.values()))
        routes = Routes(self.registry, Models(settings, self.wire.segment), health, attributes, Origins(settings.cors))
        server = ClientServer(self.registry, routes)
        self.factory: Any = Lane(self.registry, server, attributes) if settings.lane else server

    def reached(self) -> list[str]:
        """Return what has reached the backend since the last call."""
        contents, self.wire.contents[:] = list(self.wire.contents), []
        return contents
