"""Chunked bodies that are malformed behind a good chunk: the verdict does not depend on where a read ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from tests.backend import backend_of, config_of
from tests.conftest import Connect, Gateway, ask, gateway_of

HEAD = b"POST %b HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n"
# Far below the 30 s that a body has.
SECONDS = 10.0
TAILS = {
    b"\r\nZZ\r\n": 400,
    b"\r\n-1\r\n\r\n": 400,
    b"\r\nffffffffffffffffff\r\n": 400,
    b"XX0\r\n\r\n": 400,
    b"\n0\r\n\r\n": 400,
    b"\r\n0\n\r\n": 400,
    b"\r\n0;\x00\r\n\r\n": 400,
    b"\r\n0\r\nbad trailer\r\n\r\n": 400,
    b"\r\n0\r\nx: \x00\r\n\r\n": 400,
    b"\r\n0\r\nx: " + b"a" * 20_000 + b"\r\n\r\n": 431,
}


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with backend_of() as backend, gateway_of(config_of(backend)) as running:
        yield running


@pytest.mark.parametrize("tail", TAILS, ids=lambda tail: repr(tail[:20]))
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/nowhere"])
async def test_every_split_has_the_same_verdict(gateway: Gateway, connect: Connect, path: bytes, tail: bytes) -> None:
    body = json.dumps(ask()).encode()
    begin = HEAD % path + b"%x\r\n%b" % (len(body), body)
    whole = begin + tail

    async def answered(split: int) -> int:
        raw = await connect(gateway)
        await raw.send(whole[:split])
        await asyncio.sleep(0.05)
        await raw.send(whole[split:])
        answer = await asyncio.wait_for(raw.response(), SECONDS)
        assert answer.closed
        return answer.status

    splits = range(len(begin) - 2, min(len(begin) + 12, len(whole)))
    statuses = await asyncio.gather(*map(answered, splits))
    assert set(statuses) == {404 if path == b"/nowhere" else TAILS[tail]}
