"""Heads that come in parts, late, ahead of their turn, or behind what is no request."""

from __future__ import annotations

import asyncio
import time

import pytest

from penstock.server.connection import AHEAD, ClientConnection
from penstock.server.deadlines import HEAD_SECONDS
from tests.observation import LANES, Lane
from tests.protocol.clients import Client, Front
from tests.protocol.test_splits import asking, chat, chunked, request

LIVEZ = request("GET", "/livez")
STATUS = b"HTTP/1.1 %d "


def count(client: Client, status: int) -> int:
    return client.received.count(STATUS % status)


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("first", [LIVEZ, chunked(asking("a")), chat("a")], ids=["livez", "chunks", "chat"])
async def test_a_request_within_a_header_is_none(lane: Lane, first: bytes) -> None:
    """The first read ends in the middle of a header, whose value the next one looks like a request."""
    front = Front(lane)
    client = Client(front)
    client.send(first + b"GET /livez HTTP/1.1\r\nx-note: ")
    await client.turn()
    before = front.reached()
    client.send(chat("inner"))
    await client.turn()
    # The lines of its head are those of the head that it stands in, and its body is that one's.
    assert (count(client, 200), front.reached()) == (2, [])
    assert before == ([] if first == LIVEZ else ["a"])
    await client.leave()


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize(
    "first", [b"", LIVEZ, chunked(asking("a")), chat("a")], ids=["alone", "livez", "chunks", "chat"]
)
@pytest.mark.parametrize("begun", [LIVEZ[:1], LIVEZ[:-1], chat("b")[:40]], ids=["a byte", "all but one", "chat"])
async def test_a_head_has_ten_seconds_wherever_it_begins(lane: Lane, first: bytes, begun: bytes) -> None:
    client = Client(Front(lane))
    client.send(first + begun)
    await client.turn()
    answered = count(client, 200)
    assert answered == (1 if first else 0)
    now = time.monotonic()
    # The lane hands over what takes longer than a second.
    for after in (2.0, HEAD_SECONDS - 1):
        client.transport.protocol.sweep(now + after)
        await client.turn()
        assert (client.is_open, count(client, 408)) == (True, 0)
    client.transport.protocol.sweep(now + HEAD_SECONDS + 1)
    await client.turn()
    assert (client.is_open, count(client, 408)) == (False, 1)
    await client.leave()


@pytest.mark.parametrize("lane", LANES)
async def test_empty_lines_behind_a_request_begin_none(lane: Lane) -> None:
    client = Client(Front(lane))
    client.send(LIVEZ + b"\r\n\r\n")
    await client.turn()
    client.transport.protocol.sweep(time.monotonic() + HEAD_SECONDS + 1)
    await client.turn()
    assert (client.is_open, client.transport.protocol.is_idle) == (True, True)
    await client.leave()


@pytest.mark.parametrize("lane", LANES)
async def test_who_sends_ahead_is_not_read_until_its_turn(lane: Lane) -> None:
    client = Client(Front(lane))
    client.send(LIVEZ * (AHEAD // len(LIVEZ) + 2))
    assert isinstance(client.transport.protocol, ClientConnection)
    assert client.transport.calls == ["pause_reading"]
    while client.transport.calls == ["pause_reading"]:
        await asyncio.sleep(0)
    assert client.transport.calls == ["pause_reading", "resume_reading"]
    assert 1 <= count(client, 200) <= 2
    await client.leave()


@pytest.mark.parametrize("lane", LANES)
@pytest.mark.parametrize("framing", ["content-length", "chunks"])
async def test_what_is_behind_a_connect_with_a_body_is_not_read(lane: Lane, framing: str) -> None:
    """To the parser a CONNECT has no body (RFC 9110 §9.3.6), to its client this one has."""
    front = Front(lane)
    client = Client(front)
    inner = chat("inner")
    sent = request("CONNECT", "x:80", body=inner)
    if framing == "chunks":
        sent = request("CONNECT", "x:80", "transfer-encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
    client.send(sent + LIVEZ)
    await client.turn()
    assert (count(client, 404), count(client, 200), client.is_open, front.reached()) == (1, 0, False, [])
    await client.leave()


@pytest.mark.parametrize("lane", LANES)
async def test_a_length_that_the_parser_takes_for_none(lane: Lane) -> None:
    """2**64 - 1 is how the parser says that there is no length."""
    client = Client(Front(lane))
    client.send(request("POST", "/nope", f"content-length: {2**64 - 1}") + LIVEZ)
    await client.turn()
    assert (count(client, 404), count(client, 200), client.is_open) == (1, 0, False)
    await client.leave()
