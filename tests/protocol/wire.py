"""A gateway between two fake transports, so that every byte and every call can be seen and timed."""

from __future__ import annotations

import json
import time
from typing import Any

from penstock._core import Gateway, Poller, RequestHandle, Segment, UpstreamConnection
from penstock.config import load_text
from penstock.config.routing import routing_json

CONFIG = """
backends:
  a: {url: "http://127.0.0.1:9", serves: served, concurrency: 2}
tiers:
  instant: {models: [fast], backends: [a]}
"""

SSE_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def piece(data: bytes) -> bytes:
    """Return one HTTP chunk."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """Return one event of a chat stream, as one HTTP chunk."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    value = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "served", "choices": [choice]}
    return piece(b"data: " + json.dumps(value).encode() + b"\n\n")


DONE = piece(b"data: [DONE]\n\n")


def whole(content: str = "hello", headers: str = "") -> bytes:
    """Return a whole good answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    value = {"id": "x", "object": "chat.completion", "created": 1, "model": "served", "choices": [choice]}
    body = json.dumps(value).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Transport:
    """Records what is asked of it."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.calls: list[str] = []
        self.closing = False
        self.unsent = 0

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def abort(self) -> None:
        self.calls.append("abort")
        self.closing = True

    def write_eof(self) -> None:
        self.calls.append("write_eof")

    def close(self) -> None:
        self.calls.append("close")
        self.closing = True

    def pause_reading(self) -> None:
        self.calls.append("pause_reading")

    def resume_reading(self) -> None:
        self.calls.append("resume_reading")

    def is_closing(self) -> bool:
        return self.closing

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def can_write_eof(self) -> bool:
        return True

    def get_extra_info(self, _: str) -> Any:
        """Know of no socket: every byte goes through `write`."""
        return None


class Attempt:
    """A connection that the gateway has asked for."""

    def __init__(self, backend: int, protocol: UpstreamConnection) -> None:
        self.backend = backend
        self.protocol = protocol
        self.transport = Transport()
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def connect(self, transport: Transport | None = None) -> Attempt:
        self.transport = transport or self.transport
        self.protocol.connection_made(self.transport)
        return self

    def feed(self, data: bytes) -> None:
        self.protocol.data_received(data)

    def lost(self, error: BaseException | None = None) -> None:
        self.protocol.connection_lost(error)

    @property
    def request(self) -> bytes:
        return b"".join(self.transport.written)


class Client:
    """One request's client side."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.done: list[bool] = []
        self.call: RequestHandle | None = None

    @property
    def wire(self) -> bytes:
        return b"".join(self.written)

    @property
    def status(self) -> int:
        return int(self.wire.split(b" ", 2)[1])

    @property
    def text(self) -> bytes:
        """The body, without chunk framing."""
        head, _, body = self.wire.partition(b"\r\n\r\n")
        if b"transfer-encoding: chunked" not in head:
            return body
        text = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            length = int(size, 16)
            text, body = text + body[:length], body[length + 2 :]
        return text

    @property
    def error(self) -> dict[str, Any]:
        """The error object, of a status or of the last event."""
        text = self.text.strip().rpartition(b"\n\n")[2].removeprefix(b"data: ")
        error: dict[str, Any] = json.loads(text)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert isinstance(error["code"], str)
        return error


class Wire:
    """The gateway and everything that it has asked for."""

    def __init__(self, config: str = CONFIG, poller: Poller | None = None) -> None:
        self.attempts: list[Attempt] = []
        self.segment = Segment(routing_json(load_text(config, "test")), shared=False)
        self.gateway = Gateway(self.segment, self._connect, poller=poller)

    def _connect(self, backend: int, protocol: UpstreamConnection) -> Attempt:
        attempt = Attempt(backend, protocol)
        self.attempts.append(attempt)
        return attempt

    def submit(self, *, stream: bool = False, http10: bool = False, **more: Any) -> Client:
        client = Client()
        body = {"model": "fast", "messages": [{"role": "user", "content": "hi"}], "stream": stream, **more}
        client.call = self.gateway.submit(
            "/v1/chat/completions",
            json.dumps(body).encode(),
            request_id=None,
            keep_alive=True,
            http10=http10,
            write=client.written.append,
            done=client.done.append,
        )
        return client

    def backend(self, index: int) -> dict[str, Any]:
        backend: dict[str, Any] = self.segment.snapshot()["backends"][index]
        return backend

    def settled(self) -> bool:
        """Whether nothing is held any more and all sums agree."""
        sums = self.segment.invariants()
        return bool(sums["ok"]) and sums["queued"] + sums["running"] + sums["closing"] + self.gateway.active == 0


def tick_until(wire: Wire, seconds: float) -> None:
    """Let so many seconds pass for the gateway."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wire.gateway.tick()
        time.sleep(0.01)


def tick_until_there_are(wire: Wire, attempts: int) -> None:
    end = time.monotonic() + 5
    while len(wire.attempts) < attempts:
        assert time.monotonic() < end
        wire.gateway.tick()
        time.sleep(0.005)
