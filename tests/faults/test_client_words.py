"""Engines repeat what clients have sent. Whatever that says, it closes no backend for the others."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.backend import SSE_HEAD, Peer, Script, answer, backend_of, config_of, good
from tests.conftest import Connect, ask, gateway_of

WORDS = (
    "overloaded",
    "Model is overloaded",
    "the queue is full",
    "The request queue is full.",
    "Loading model",
    "queue_full",
    "unavailable_error",
)


async def echo(peer: Peer) -> None:
    """Refuse a request as vLLM does, with the value that was sent; answer any other."""
    if "seed" not in peer.body:
        return await good(peer)
    message = f"1 validation error:\n  {{'type': 'int_parsing', 'input': {peer.body['metadata']!r}}}"
    body = {"error": {"message": message, "type": "Bad Request", "param": peer.body["metadata"], "code": 400}}
    return peer.send(answer(json.dumps(body).encode(), "400 Bad Request"))


async def echo_in_stream(peer: Peer) -> None:
    """The same as an event."""
    if "seed" not in peer.body:
        return await good(peer)
    peer.send(SSE_HEAD)
    error = {"message": f"cannot read {peer.body['metadata']}", "http_status_code": 422}
    peer.piece(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
    return peer.end()


@pytest.mark.parametrize("script", [echo, echo_in_stream], ids=["status", "event"])
@pytest.mark.parametrize("word", WORDS)
async def test_a_clients_word_in_a_refusal_is_no_word_of_the_backend(
    word: str, script: Script, connect: Connect
) -> None:
    async with backend_of(script) as backend, gateway_of(config_of(backend)) as gateway:
        hostile, other = await connect(gateway), await connect(gateway)
        for _ in range(5):
            refused = await asyncio.wait_for(hostile.chat(ask(stream=True, seed=1, metadata=word)), 2)
            assert (refused.status, refused.error["code"]) == (400, "invalid_value")
            assert (await asyncio.wait_for(other.chat(ask(stream=True)), 2)).text == "hello"
        await gateway.settled()
        results = {result: count for _, result, count in gateway.numbers["attempts"]}
        assert results == {"http_4xx": 5, "ok": 5}
        assert gateway.numbers["backends"][0]["state"] == "healthy"
        assert backend.posts == 10
