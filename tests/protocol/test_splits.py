"""Wherever a read ends, the same requests come of the same bytes: none is lost, none is made of parts of others."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass

import pytest

from tests.conftest import ask, post
from tests.observation import LANES, Lane
from tests.protocol.clients import Client, Front

CHUNKED_HEAD = b"POST %s HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Message:
    """A request, the statuses that it is answered with, whether the connection stays, and what a backend gets."""

    sent: bytes
    statuses: tuple[int, ...]
    stays: bool = True
    reaches: str | None = None


def get(target: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join((f"{method} {target} HTTP/{version}", "host: x", *lines, "", "")).encode()


def body(content: str) -> bytes:
    return json.dumps(ask(content)).encode()


def chunked(data: bytes, path: bytes = b"/v1/chat/completions", end: bytes = b"0\r\n\r\n") -> bytes:
    half = len(data) // 2
    pieces = b"".join(b"%x;a=b\r\n%s\r\n" % (len(piece), piece) for piece in (data[:half], data[half:]))
    return CHUNKED_HEAD % path + pieces + end


INNER = post(ask("inner"))
MESSAGES = {
    "livez": Message(get("/livez"), (200,)),
    "HEAD": Message(get("/livez", method="HEAD"), (200,)),
    "models": Message(get("/v1/models", "x-note: POST /v1/chat/completions HTTP/1.1"), (200,)),
    "HTTP/1.0": Message(get("/livez", "connection: keep-alive", version="1.0"), (200,)),
    "an empty line in front": Message(b"\r\n" + get("/livez"), (200,)),
    "GET with a body": Message(get("/livez", f"content-length: {len(INNER)}") + INNER, (200,)),
    "chat": Message(post(ask("a")), (200,), reaches="a"),
    "stream": Message(post(ask("b", stream=True)), (200,), reaches="b"),
    "a request as content": Message(post(ask(INNER.decode())), (200,), reaches=INNER.decode()),
    "chunks": Message(chunked(body("c")), (200,), reaches="c"),
    "trailer": Message(chunked(body("d\r\n\r\n"), end=b"0\r\nx-t: 1\r\n\r\n"), (200,), reaches="d\r\n\r\n"),
    "close": Message(post(ask("e"), connection="close"), (200,), stays=False, reaches="e"),
    "Expect": Message(post(ask("f"), expect="100-continue"), (100, 200), reaches="f"),
    "Upgrade": Message(post(ask("g"), connection="upgrade", upgrade="h2c"), (200,), reaches="g"),
    "WebSocket": Message(get("/livez", "connection: upgrade", "upgrade: websocket"), (200,)),
    "CONNECT": Message(get("x:80", method="CONNECT"), (404,)),
    "no model": Message(post(ask(model="nope")), (404,)),
    "no length": Message(get("/v1/chat/completions", method="POST"), (400,)),
    "a text": Message(post(INNER, content_type="text/plain"), (415,)),
    "nowhere": Message(chunked(INNER, b"/nope"), (404,)),
    "later": Message(post(INNER, "/v1/embeddings"), (501,)),
    "PUT": Message(post(INNER).replace(b"POST", b"PUT", 1), (405,)),
    "nonsense": Message(b"NONSENSE\r\n\r\n", (400,), stays=False),
    "a smuggler": Message(post(ask("h"), transfer_encoding="chunked"), (400,), stays=False),
    "no chunk": Message(CHUNKED_HEAD % b"/v1/chat/completions" + b"+5\r\n" + INNER, (400,), stays=False),
    "a large head": Message(get("/livez", *["x: " + "y" * 300] * 4), (431,), stays=False),
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
    begun = time.monotonic()
    count = 0
    for (one, first), (two, second) in itertools.product(MESSAGES.items(), repeat=2):
        sent = first.sent + second.sent
        received, is_open, reached = alone[one]
        if is_open:
            received, is_open, reached = received + alone[two][0], alone[two][1], reached + alone[two][2]
        for at in range(len(sent)):
            count += 1
            seen = await answer_of(front, sent[:at], sent[at:])
            assert seen == (received, is_open, reached), f"{one}, {two}, split at {at}: {sent[:at]!r}"
    print(count, time.monotonic() - begun)
