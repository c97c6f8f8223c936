"""Wherever a read ends, the same requests come of the same bytes: none is lost, none is made of parts of others."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass

import pytest

from tests.conftest import ask
from tests.observation import LANES, Lane
from tests.protocol.clients import Client, Front

CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Message:
    """A request, the statuses that it is answered with, whether the connection stays, and what a backend gets."""

    sent: bytes
    statuses: tuple[int, ...]
    stays: bool = True
    reaches: str | None = None


def request(method: str, target: str, *lines: str, body: bytes = b"", version: str = "1.1") -> bytes:
    """Return a request with a length if it has a body, and short: each byte is a place to split it at."""
    length = [f"content-length: {len(body)}"] if body else []
    return "\r\n".join((f"{method} {target} HTTP/{version}", "host: x", *length, *lines, "", "")).encode() + body


def chat(content: str, *lines: str, model: str = "fast") -> bytes:
    return request("POST", CHAT, *lines, body=asking(content, model))


def asking(content: str, model: str = "fast") -> bytes:
    return json.dumps(ask(content, model), separators=(",", ":")).encode()


def chunked(body: bytes, path: str = CHAT, end: bytes = b"0\r\n\r\n") -> bytes:
    half = len(body) // 2
    pieces = b"".join(b"%x;a\r\n%s\r\n" % (len(piece), piece) for piece in (body[:half], body[half:]))
    return request("POST", path, "transfer-encoding: chunked") + pieces + end


# What must never be taken for a request.
WITHIN = request("GET", "/livez")
# In bodies there are empty lines too.
LINES = b"\r\n\r\n" + asking("lines") + b"\r\n\r\n"
MESSAGES = {
    "livez": Message(request("GET", "/livez"), (200,)),
    "HEAD": Message(request("HEAD", "/livez"), (200,)),
    "empty lines in front": Message(b"\r\n\r\n" + request("GET", "/livez"), (200,)),
    "GET with a body": Message(request("GET", "/livez", body=WITHIN), (200,)),
    "chat": Message(chat("a"), (200,), reaches="a"),
    "empty lines in a body": Message(request("POST", CHAT, body=LINES), (200,), reaches="lines"),
    "chunks": Message(chunked(LINES), (200,), reaches="lines"),
    "trailer": Message(chunked(asking("d"), end=b"0\r\nx: 1\r\n\r\n"), (200,), reaches="d"),
    "close": Message(chat("e", "connection: close"), (200,), stays=False, reaches="e"),
    "Expect": Message(chat("f", "expect: 100-continue"), (100, 200), reaches="f"),
    "Upgrade": Message(chat("g", "connection: upgrade", "upgrade: h2c"), (200,), reaches="g"),
    "WebSocket": Message(request("GET", "/livez", "connection: upgrade", "upgrade: websocket"), (200,)),
    "CONNECT": Message(request("CONNECT", "x:80"), (404,)),
    "no model": Message(chat("h", model="none"), (404,)),
    "a text": Message(request("POST", CHAT, "content-type: text/plain", body=WITHIN), (415,)),
    "nowhere": Message(chunked(WITHIN, "/nope"), (404,)),
    "nonsense": Message(b"NONSENSE\r\n\r\n", (400,), stays=False),
    "a smuggler": Message(chat("i", "transfer-encoding: chunked"), (400,), stays=False),
    "no chunk": Message(request("POST", CHAT, "transfer-encoding: chunked") + b"+5\r\n", (400,), stays=False),
    "a large head": Message(request("GET", "/livez", *["x: " + "y" * 40] * 3), (431,), stays=False),
}


async def answer_of(front: Front, *pieces: bytes) -> tuple[bytes, bool, list[str]]:
    """Send pieces, each read when all before is done; return the answers, whether more may come, and what reached."""
    client = Client(front)
    for piece in pieces:
        client.send(piece)
        await client.turn()
    seen = client.received, client.is_open, front.reached()
    await client.leave()
    return seen


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("name", MESSAGES)
async def test_each_message_is_what_it_is_here_for(lane: Lane, name: str) -> None:
    message = MESSAGES[name]
    received, is_open, reached = await answer_of(Front(lane), message.sent)
    heads = [line for line in received.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert tuple(int(line.split()[1]) for line in heads) == message.statuses
    assert is_open == message.stays
    assert reached == ([message.reaches] if message.reaches is not None else [])


@pytest.mark.timeout(300)
@pytest.mark.parametrize("lane", LANES)
async def test_every_split_of_every_pair(lane: Lane) -> None:
    front = Front(lane)
    alone = {name: await answer_of(front, message.sent) for name, message in MESSAGES.items()}
    for one, two in itertools.product(MESSAGES, repeat=2):
        sent = MESSAGES[one].sent + MESSAGES[two].sent
        received, is_open, reached = alone[one]
        if is_open:
            more, is_open, also = alone[two]
            received, reached = received + more, reached + also
        for at in range(len(sent)):
            seen = await answer_of(front, sent[:at], sent[at:])
            assert seen == (received, is_open, reached), f"{one}, {two}, split at {at}: {sent[:at]!r}, {sent[at:]!r}"
