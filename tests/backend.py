"""A backend that does on the wire exactly what a test says, and remembers what it saw."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
MODELS = json.dumps({"object": "list", "data": [{"id": "served", "object": "model"}]}).encode()


class Peer:
    """One request as the backend sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: dict[str, Any]) -> None:
        self.reader = reader
        self.writer = writer
        self.body = body

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def piece(self, data: bytes) -> None:
        """Send one HTTP chunk."""
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def event(self, delta: dict[str, Any], finish: str | None = None, index: int = 0) -> None:
        """Send one chunk of a chat stream."""
        self.piece(b"data: " + chunk(delta, finish, index) + b"\n\n")

    def done(self) -> None:
        self.piece(b"data: [DONE]\n\n")

    def end(self) -> None:
        self.send(LAST_CHUNK)

    def reset(self) -> None:
        """Close with a reset instead of an orderly end."""
        connection = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> float:
        """Wait until the gateway closes its side; return the moment."""
        while await self.reader.read(65536):
            pass
        return time.monotonic()


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    value = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [choice]}
    return json.dumps(value).encode()


def whole(content: str = "hello", finish: str | None = "stop", status: str = "200 OK", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    value = {"id": "x", "object": "chat.completion", "created": 1, "model": "served", "choices": [choice], **more}
    return answer(json.dumps(value).encode(), status)


def answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


Script = Callable[[Peer], Awaitable[None]]


async def good(peer: Peer) -> None:
    """Answer well, as asked."""
    if not peer.body.get("stream"):
        peer.send(whole())
        return
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": ""})
    peer.event({"content": "hel"})
    peer.event({"content": "lo"})
    peer.event({}, "stop")
    peer.done()
    peer.end()


class Backend:
    """Listens, answers GET itself, and runs the script for each POST."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.port = 0
        self.running = 0
        self.peak = 0
        self.posts = 0
        self.connections = 0
        # Of the last request.
        self.headers: dict[str, str] = {}
        self.body: dict[str, Any] = {}
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def start(self) -> None:
        self._stopping = False
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=4096)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.01)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            # A peer that does not read must not keep the test from ending.
            writer.transport.abort() if self._stopping else writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            if head.startswith("GET"):
                writer.write(answer(MODELS))
                continue
            lines = (line.partition(":") for line in head.split("\r\n")[1:] if line)
            self.headers = {name: value.strip() for name, _, value in lines}
            self.body = json.loads(await reader.readexactly(int(self.headers["content-length"])))
            self.posts += 1
            self.running += 1
            self.peak = max(self.peak, self.running)
            try:
                await self.script(Peer(reader, writer, self.body))
            finally:
                self.running -= 1
            if writer.is_closing():
                return


@asynccontextmanager
async def backend_of(script: Script = good) -> AsyncIterator[Backend]:
    backend = Backend(script)
    await backend.start()
    try:
        yield backend
    finally:
        await backend.stop()


TIMEOUTS = "{connect: 300ms, first_event: 300ms, between_events: 300ms, total: 2s}"


def config_of(*backends: Backend, profile: str = "instant", concurrency: int = 4, more: str = "") -> str:
    """Return a configuration with short timers."""
    lines = ["backends:"]
    for index, backend in enumerate(backends):
        url = f"http://127.0.0.1:{backend.port}"
        lines.append(f"  b{index}: {{url: '{url}', serves: served, concurrency: {concurrency}}}")
    names = ", ".join(f"b{index}" for index in range(len(backends)))
    lines += [
        "tiers:",
        "  tier:",
        f"    profile: {profile}",
        "    models: [fast]",
        f"    backends: [{names}]",
        f"    timeouts: {TIMEOUTS}",
        more,
    ]
    return "\n".join(lines)


def streamed(*backends: Backend, concurrency: int = 4, more: str = "") -> str:
    """Return a configuration whose first backend streams whole answers (``stream_whole``)."""
    config = config_of(*backends, concurrency=concurrency, more=more)
    slots = f"concurrency: {concurrency}"
    return config.replace(slots, f"{slots}, stream_whole: true", 1)


async def reset_at_once(peer: Peer) -> None:
    """Break the connection off without a byte."""
    peer.reset()
