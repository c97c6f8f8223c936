"""A running simulated server, and a raw client that shows what is on the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from penstock.sim import INSTANT, SimServer

ServerOf = Callable[..., Awaitable["Running"]]


@dataclass
class Seen:
    """Everything that came on a connection until it ended, was reset, or was silent for a while."""

    raw: bytes
    end: str
    """``eof``, ``reset`` or ``silent``."""

    @property
    def status(self) -> int:
        return int(self.raw.split(b" ", 2)[1])

    @property
    def head(self) -> str:
        return self.raw.partition(b"\r\n\r\n")[0].decode("latin-1").lower()

    @property
    def rest(self) -> bytes:
        """What came after the head, as it was on the wire."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def complete(self) -> bool:
        """Whether a chunked body has its last chunk."""
        return self.rest.endswith(b"0\r\n\r\n")

    @property
    def body(self) -> bytes:
        """The body without its framing, as far as it came."""
        if "transfer-encoding: chunked" not in self.head:
            return self.rest
        left, body = self.rest, b""
        while (line := left.partition(b"\r\n"))[1]:
            size = int(line[0], 16)
            body += line[2][:size]
            left = line[2][size + 2 :]
        return body

    @property
    def lines(self) -> list[bytes]:
        """The data of the events."""
        blocks = [block for block in self.body.split(b"\n\n") if block]
        assert all(block.startswith(b"data: ") for block in blocks)
        return [block.removeprefix(b"data: ") for block in blocks]

    @property
    def chunks(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line != b"[DONE]"]

    @property
    def finishes(self) -> list[str | None]:
        """The finish_reason of every choice of every chunk that is not null."""
        choices = [choice for chunk in self.chunks for choice in chunk.get("choices", [])]
        return [choice["finish_reason"] for choice in choices if choice["finish_reason"] is not None]


def ask(content: str = "Say 20 words.", **more: Any) -> dict[str, Any]:
    return {"model": "sim", "messages": [{"role": "user", "content": content}], **more}


def post(body: dict[str, Any] | bytes, **headers: str) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/chat/completions HTTP/1.1\r\ncontent-length: {len(data)}\r\n{lines}\r\n".encode() + data


@dataclass
class Running:
    """A server that listens."""

    server: SimServer
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def see(self, request: bytes, silence: float = 0.2, most: int = 1 << 20) -> Seen:
        """Send bytes and look until the end, `silence` seconds without a byte, or `most` bytes."""
        reader, writer = await self.open()
        raw = b""
        try:
            writer.write(request)
            while len(raw) < most:
                data = await asyncio.wait_for(reader.read(1 << 16), silence)
                if not data:
                    return Seen(raw, "eof")
                raw += data
            return Seen(raw, "endless")
        except TimeoutError:
            return Seen(raw, "silent")
        except ConnectionResetError:
            return Seen(raw, "reset")
        finally:
            writer.close()

    async def chat(self, content: str = "Say 20 words.", fault: str | None = None, **more: Any) -> Seen:
        headers = {"connection": "close", **({"x-sim-fault": fault} if fault else {})}
        return await self.see(post(ask(content, **more), **headers))

    async def get(self, path: str) -> Seen:
        return await self.see(f"GET {path} HTTP/1.1\r\nconnection: close\r\n\r\n".encode())

    async def settled(self) -> None:
        """Wait until nothing runs, and check the sums."""
        stats = self.server.stats
        for _ in range(200):
            if stats.running == stats.waiting == stats.connections == 0:
                break
            await asyncio.sleep(0.01)
        assert (stats.running, stats.waiting, stats.connections) == (0, 0, 0)
        assert stats.started == stats.finished + stats.aborted + stats.faulted


@pytest.fixture
async def server_of() -> AsyncIterator[ServerOf]:
    """Start servers, instant ones unless a speed is given; all are stopped in the end."""
    started: list[SimServer] = []

    async def start(**settings: Any) -> Running:
        server = SimServer(**{"speed": INSTANT, **settings})
        started.append(server)
        return Running(server, await server.start("127.0.0.1", 0))

    yield start
    for server in started:
        await server.stop()
        assert server.stats.running == server.stats.connections == 0
