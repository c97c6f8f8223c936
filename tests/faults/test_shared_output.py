"""Nothing of one request is in the answer of another, whatever happens between two of its events."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.backend import SSE_HEAD, Backend, Peer, backend_of, chunk, config_of, whole
from tests.conftest import Connect, ask, gateway_of, post

# Events of which the client gets nothing.
SWALLOWED = {
    "empty delta": chunk({}),
    "usage": b'{"id":"x","object":"chat.completion.chunk","created":1,"model":"served","choices":[],'
    b'"usage":{"prompt_tokens":3,"completion_tokens":1}}',
    "empty content": chunk({"content": ""}),
}
ROUNDS = 20


class Turns:
    """A backend whose streams send a swallowed event, each time in a read of its own, when they are told to."""

    def __init__(self, event: bytes) -> None:
        self.event = event
        self.go_on = asyncio.Event()
        self.sent = asyncio.Event()

    async def script(self, peer: Peer) -> None:
        if not peer.body.get("stream"):
            return peer.send(whole())
        peer.send(SSE_HEAD)
        peer.event({"role": "assistant", "content": "a"})
        for _ in range(ROUNDS):
            await self.go_on.wait()
            self.go_on.clear()
            peer.piece(b"data: " + self.event + b"\n\n")
            self.sent.set()
        peer.event({}, "stop")
        peer.done()
        peer.end()
        return None


@pytest.mark.parametrize("event", SWALLOWED.values(), ids=SWALLOWED)
async def test_a_whole_answer_behind_a_swallowed_event_of_another_connection(event: bytes, connect: Connect) -> None:
    turns = Turns(event)
    async with backend_of(turns.script) as backend, gateway_of(_config(backend)) as gateway:
        streaming, asking = await connect(gateway), await connect(gateway)
        await streaming.send(post(ask("fast", stream=True)))
        await _until(lambda: gateway.service.worker.gateway.active == 1)
        for _ in range(ROUNDS):
            turns.sent.clear()
            turns.go_on.set()
            await turns.sent.wait()
            # The gateway reads it before it reads the next request.
            await asyncio.sleep(0.005)
            await asking.send(post(ask("fast")))
            head = await asking.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await asking.reader.readexactly(length)
            assert body.startswith(b'{"id"') and body.endswith(b"}"), body[:64]
            with pytest.raises(TimeoutError):
                print("behind the answer:", await asyncio.wait_for(asking.reader.read(64), 0.01))
        assert (await streaming.response()).status == 200


def _config(backend: Backend) -> str:
    return config_of(backend).replace("total: 2s", "total: 20s").replace("between_events: 300ms", "between_events: 5s")


async def _until(holds: Any) -> None:
    async with asyncio.timeout(5):
        while not holds():
            await asyncio.sleep(0.001)
