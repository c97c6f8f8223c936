"""What the suites share: a running gateway in this process, and raw clients."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from penstock.app.service import Service
from penstock.config import load_text


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test runs on the loop that Penstock runs on."""
    return {"uvloop": uvloop.new_event_loop}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Leave a list of what was not run because the machine lacks something, for `make test` to hold against its own."""
    path = os.environ.get("PENSTOCK_NOT_RUN")
    if path is not None:
        # A skipped test's report ends with its reason.
        reasons = {report.longrepr[2] for report in terminalreporter.getreports("skipped")}
        lines = (f"{reason.removeprefix('Skipped: ')}\n" for reason in reasons)
        Path(path).write_text("".join(sorted(line for line in lines if line.startswith("not run: "))))


# Each way to the core is complete alone: the suites with sockets run once with the lane and once without.
LANE = os.environ.get("PENSTOCK_LANE", "on")


@dataclass
class Gateway:
    """A running Penstock."""

    service: Service

    @property
    def port(self) -> int:
        return self.service.worker.settings.listen.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def numbers(self) -> dict[str, Any]:
        segment = self.service.segment
        return {**segment.snapshot(), "invariants": segment.invariants()}

    def requests(self) -> dict[tuple[str, str], int]:
        """Return how many requests ended, by outcome and term."""
        counts: dict[tuple[str, str], int] = {}
        for _, _, _, outcome, term, count in self.numbers["requests"]:
            counts[outcome, term] = counts.get((outcome, term), 0) + count
        return counts

    async def settled(self, seconds: float = 3.0) -> dict[str, Any]:
        """Wait until nothing is held any more; the sums must agree all the time."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            sums: dict[str, Any] = self.numbers["invariants"]
            assert sums["ok"], sums
            active = self.service.worker.gateway.active
            if sums["queued"] + sums["running"] + sums["closing"] + active == 0:
                return sums
            assert asyncio.get_running_loop().time() < end, f"not settled: {sums}, {active} active"
            await asyncio.sleep(0.005)

    async def ready(self) -> None:
        """Wait until every tier has a healthy backend."""
        for _ in range(500):
            if self.service.worker.health.ready()[0] == 200:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(self.service.control.status())


@asynccontextmanager
async def gateway_of(config: str, *, wait: bool = True) -> AsyncIterator[Gateway]:
    """Run a configuration on free ports."""
    text = f"listen: 127.0.0.1:0\nadmin: {{listen: 127.0.0.1:0}}\nlane: {LANE}\n{config}"
    service = Service(load_text(text, "test.yaml"))
    await service.start()
    gateway = Gateway(service)
    try:
        if wait:
            await gateway.ready()
        yield gateway
    finally:
        await service.stop()


@dataclass
class Response:
    """An HTTP response as it came, and what it means."""

    status: int
    headers: dict[str, str]
    body: bytes
    closed: bool

    @property
    def value(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error object, checked for its form."""
        text = self.body
        if self.headers["content-type"].startswith("text/event-stream"):
            text = self.events[-1]
        error: dict[str, Any] = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert isinstance(error["code"], str)
        return error

    @property
    def events(self) -> list[bytes]:
        """The data of the events of a stream."""
        blocks = [block for block in self.body.split(b"\n\n") if block]
        assert all(block.startswith(b"data: ") and b"\n" not in block for block in blocks), self.body
        return [block.removeprefix(b"data: ") for block in blocks]

    @property
    def text(self) -> str:
        """The content of the first choice, whole or streamed."""
        if not self.headers["content-type"].startswith("text/event-stream"):
            return str(self.value["choices"][0]["message"]["content"])
        chunks = [json.loads(event) for event in self.events if event != b"[DONE]"]
        choices = [choice for chunk in chunks if "error" not in chunk for choice in chunk["choices"]]
        deltas = [choice["delta"] for choice in choices if choice["index"] == 0]
        return "".join(delta.get("content") or "" for delta in deltas)


@dataclass
class Raw:
    """A raw HTTP/1.1 client on one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    sent: bytes = field(default=b"")

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return int(first.split(" ")[1]), headers

    async def response(self) -> Response:
        status, headers = await self.head()
        if "content-length" in headers:
            body = await self.reader.readexactly(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await self.reader.readline(), 16):
                body += await self.reader.readexactly(size)
                assert await self.reader.readexactly(2) == b"\r\n"
            assert await self.reader.readexactly(2) == b"\r\n"
        else:
            body = await self.reader.read()
        closed = headers.get("connection") == "close"
        return Response(status, headers, body, closed)

    async def chat(self, body: dict[str, Any] | bytes, **headers: str) -> Response:
        await self.send(post(body, **headers))
        return await self.response()

    def close(self) -> None:
        self.writer.close()

    def abort(self) -> None:
        self.writer.transport.abort()


def post(body: dict[str, Any] | bytes, path: str = "/v1/chat/completions", **headers: str) -> bytes:
    """Return a POST request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"host": "test", "content-type": "application/json", "content-length": str(len(data))}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items() if value)
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode() + data


def ask(content: str = "Name three rivers.", model: str = "fast", **more: Any) -> dict[str, Any]:
    """Return a chat request."""
    return {"model": model, "messages": [{"role": "user", "content": content}], **more}


Connect = Callable[[Gateway], Awaitable[Raw]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Open raw connections, and close them in the end."""
    opened: list[Raw] = []

    async def open_connection(gateway: Gateway) -> Raw:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1 << 26)
        opened.append(Raw(reader, writer))
        return opened[-1]

    yield open_connection
    for raw in opened:
        raw.abort()


@pytest.fixture(autouse=True, scope="module")
def frozen() -> None:
    """Spare the collector what was there before: modules and tests, most of a second of work in each ten tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test leaves unclosed is reported in that test, not in whichever the collector strikes next."""
    yield
    gc.collect()
