"""What is measured in process: one client connection on the lane, one backend connection, and no kernel.

Fake transports stand in for both sockets, so what remains is what Penstock itself does on its lane: request head and
body, routing, admission, upstream head, response head, framing, event scan, normalising, metrics and the access log
line.
"""

from __future__ import annotations

import collections
import json
from itertools import repeat
from typing import Any

from penstock._core import Gateway, LaneConfig, LaneConnection, Segment, UpstreamConnection
from penstock.config import load_text
from penstock.config.routing import routing_json

__all__ = ["EVENTS", "Bench", "check", "chunk", "json_requests", "request", "stream_events", "whole_answer"]

CONFIG = """
backends:
  a: {url: "http://127.0.0.1:9", serves: served-model, concurrency: 64}
tiers:
  instant: {models: [instant-model], backends: [a], parameters: {default: {max_tokens: 2048}}}
"""
PROMPT_BYTES = 1024
# What OpenAI's Python client sends.
HEAD = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nAccept-Encoding: gzip, deflate\r\n"
    "Connection: keep-alive\r\nAccept: application/json\r\nContent-Type: application/json\r\n"
    "User-Agent: OpenAI/Python 2.8.1\r\nX-Stainless-Lang: python\r\nX-Stainless-OS: Linux\r\n"
    "X-Stainless-Arch: x64\r\nX-Stainless-Retry-Count: 0\r\nx-stainless-read-timeout: 600\r\n"
    "Authorization: Bearer none\r\nContent-Length: {length}\r\n\r\n"
)
EVENTS = 1000
LOG_EVERY = 500


class Transport:
    """A transport that goes nowhere. What is called for each request is a C function, as a real transport's is."""

    def __init__(self) -> None:
        self.write = collections.deque[bytes](maxlen=0).append
        self.is_closing = False.__bool__
        self.get_write_buffer_size = (0).__int__

    def close(self) -> None:
        """Do nothing."""

    abort = pause_reading = resume_reading = write_eof = close

    def set_write_buffer_limits(self, high: int) -> None:
        """Do nothing."""

    def get_extra_info(self, _: str) -> None:
        """Know nothing."""

    def can_write_eof(self) -> bool:
        """Say that this is no TLS."""
        return True


class Host:
    """Stands in for the lane's factory."""

    def made(self, _: LaneConnection, __: Any) -> bool:
        """Let every connection stay."""
        return True

    def handed_over(self, _: LaneConnection, __: Any, data: bytes, ___: float) -> None:
        """Fail: what is timed here is the lane."""
        raise AssertionError(f"not for the lane: {data[:200]!r}")

    def closing(self, _: LaneConnection, __: Any) -> None:
        """Fail: nothing is sent ahead."""
        raise AssertionError("sent ahead")

    def lost(self, _: LaneConnection) -> None:
        """Do nothing."""


class Task:
    """A connection attempt that is over."""

    def cancel(self) -> None:
        """Do nothing."""


class Bench:
    """A client connection on the lane, and one backend connection that answers when it is told to."""

    def __init__(self) -> None:
        self.segment = Segment(routing_json(load_text(CONFIG, "bench")), shared=False)
        self.gateway = Gateway(self.segment, self._connect)
        config = LaneConfig(head=16 << 10, body=8 << 20, tenant=None, priority=None, sessions=[])
        client = LaneConnection(self.gateway, Host(), config)
        client.connection_made(Transport())
        self.submit = client.data_received

    def _connect(self, _: int, protocol: UpstreamConnection) -> Task:
        protocol.connection_made(Transport())
        self.feed = protocol.data_received
        return Task()


def request(*, stream: bool) -> bytes:
    message = {"role": "user", "content": "river " * (PROMPT_BYTES // 6)}
    asked = {"model": "instant-model", "stream": stream, "temperature": 0.7, "messages": [message]}
    body = json.dumps(asked).encode()
    return HEAD.format(length=len(body)).encode() + body


def whole_answer() -> bytes:
    usage = {"prompt_tokens": 180, "completion_tokens": 60, "total_tokens": 240}
    choice = {"index": 0, "message": {"role": "assistant", "content": "water " * 40}, "finish_reason": "stop"}
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served-model"}
    body = json.dumps({**answer, "choices": [choice], "usage": usage}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "served-model"}
    event = b"data: " + json.dumps({**head, "choices": [choice]}, separators=(",", ":")).encode() + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(event), event)


def json_requests(bench: Bench, count: int) -> int:
    body, answer = request(stream=False), whole_answer()
    submit, take_log = bench.submit, bench.gateway.take_log
    lines = 0
    for at in range(count):
        submit(body)
        bench.feed(answer)
        # A log that is full drops lines, which costs less than to write them.
        if at % LOG_EVERY == 0:
            lines += take_log().count(b"\n")
    assert lines + take_log().count(b"\n") == count
    return count


def stream_events(bench: Bench, streams: int) -> int:
    body = request(stream=True)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    first, piece = chunk({"role": "assistant", "content": ""}), chunk({"content": " river"})
    last = chunk({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
    for _ in repeat(None, streams):
        bench.submit(body)
        feed = bench.feed
        feed(head + first)
        for _ in repeat(None, EVENTS):
            feed(piece)
        feed(last)
    bench.gateway.take_log()
    return streams * EVENTS


def check(bench: Bench) -> None:
    """Show that what is timed really works, before it is timed."""
    json_requests(bench, 3)
    stream_events(bench, 1)
    numbers = bench.segment.snapshot()
    assert numbers["requests"][0][3:] == ("ok", "-D", 4), numbers["requests"]
    assert bench.segment.invariants()["ok"]
    assert bench.gateway.active == 0
