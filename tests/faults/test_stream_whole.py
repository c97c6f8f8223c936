"""``stream_whole``: whole answers are asked for as streams. Clients see no difference, and backends stop at once."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from tests.backend import SSE_HEAD, Peer, Script, answer, backend_of, chunk, good, streamed, whole
from tests.conftest import Connect, ask, gateway_of, post


async def test_the_client_sees_no_difference(connect: Connect) -> None:
    writers = set()

    async def noted(peer: Peer) -> None:
        writers.add(peer.writer)
        await good(peer)

    async with backend_of(noted) as backend, gateway_of(streamed(backend)) as gateway:
        raw = await connect(gateway)
        for body in (ask(), ask(stream=False), ask(stream=None)):
            response = await raw.chat(body)
            assert (response.status, response.text) == (200, "hello")
            assert response.headers["content-type"] == "application/json"
            assert "cache-control" not in response.headers
            assert "transfer-encoding" not in response.headers
            assert response.value["object"] == "chat.completion"
            assert response.value["model"] == "fast"
            assert backend.body["stream"] is True
            assert backend.body["stream_options"] == {"include_usage": True}
            assert backend.headers["accept"] == "text/event-stream"
        assert len(writers) == 1, "the connection goes back to the pool"
        assert (await raw.chat(ask(stream=True))).text == "hello"
        await gateway.settled()
        assert gateway.requests() == {("ok", "-D"): 4}


class Leaving:
    """A server that runs a whole answer to its end and notices only while it streams that a client has left."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.left: float | None = None
        self.pieces = 0

    async def __call__(self, peer: Peer) -> None:
        if not peer.body.get("stream"):
            self.began.set()
            await asyncio.sleep(30)
            return
        peer.send(SSE_HEAD)
        gone = asyncio.ensure_future(peer.gone())
        try:
            for _ in range(1000):
                peer.event({"content": "a"})
                self.pieces += 1
                if self.pieces == 3:
                    self.began.set()
                done, _ = await asyncio.wait([gone], timeout=0.01)
                if done:
                    self.left = time.monotonic()
                    peer.writer.close()
                    return
        finally:
            gone.cancel()


async def test_a_client_that_leaves_stops_the_backend_at_once(connect: Connect) -> None:
    script = Leaving()
    async with backend_of(script) as backend:
        # A grace far above what the test takes: the slot comes back by the backend's own close.
        config = streamed(backend, concurrency=1).replace("stream_whole", "abort_grace: 20s, stream_whole")
        config = config.replace("total: 2s", "total: 30s")
        async with gateway_of(config) as gateway:
            raw = await connect(gateway)
            await raw.send(post(ask()))
            await asyncio.wait_for(script.began.wait(), 2)
            before = time.monotonic()
            raw.abort()
            await gateway.settled()
            assert script.left is not None
            assert script.left - before < 1
            assert gateway.requests() == {("client_abort", "CS"): 1}
            backend.script = good
            response = await (await connect(gateway)).chat(ask())
            assert (response.status, response.text) == (200, "hello")
            assert backend.peak == 1


async def cut(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": "a"})
    peer.writer.close()


async def end_without_finish(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": "a"})
    peer.done()
    peer.end()


async def error_event(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": "a"})
    peer.piece(b'data: {"error": {"message": "engine died", "code": 500}}\n\n')
    peer.done()
    peer.end()


async def overflow_event(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    error = {"message": "This model's maximum context length is 4096 tokens", "code": 400}
    peer.piece(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
    peer.end()


async def garbage(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": "a"})
    peer.piece(b"data: {nonsense\n\n")
    await peer.gone()


async def silence(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    await peer.gone()


async def stall(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": "a"})
    await peer.gone()


async def endless(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    for _ in range(64):
        peer.event({"content": "x" * 32768})
        await asyncio.sleep(0)
    await peer.gone()


async def status_400(peer: Peer) -> None:
    peer.send(answer(b'{"error": {"message": "bad top_p", "code": 400}}', "400 Bad Request"))


FAILURES: list[tuple[Script, int, str, str]] = [
    (cut, 502, "upstream_truncated", "BS"),
    (end_without_finish, 502, "upstream_truncated", "BS"),
    (error_event, 502, "upstream_error", "BS"),
    (overflow_event, 400, "context_length_exceeded", "BF"),
    (garbage, 502, "upstream_garbage", "BS"),
    (silence, 504, "upstream_timeout", "GF"),
    (stall, 504, "upstream_stalled", "GS"),
    (endless, 502, "upstream_too_large", "GS"),
    (status_400, 400, "invalid_value", "BF"),
]


@pytest.mark.parametrize(
    ("script", "status", "code", "term"), FAILURES, ids=lambda value: getattr(value, "__name__", "")
)
async def test_failures_are_statuses(connect: Connect, script: Script, status: int, code: str, term: str) -> None:
    async with backend_of(script) as backend:
        config = "limits: {response: 1MiB}\n" + streamed(backend, concurrency=1)
        async with gateway_of(config) as gateway:
            raw = await connect(gateway)
            response = await asyncio.wait_for(raw.chat(ask()), 5)
            assert (response.status, response.error["code"]) == (status, code)
            await gateway.settled()
            ((_, seen),) = gateway.requests()
            assert seen == term
            # The only slot is free, and the connection of the client in order.
            backend.script = good
            again = await asyncio.wait_for(raw.chat(ask()), 2)
            assert (again.status, again.text) == (200, "hello")
            assert backend.peak == 1


async def test_a_server_that_answers_whole_all_the_same(connect: Connect) -> None:
    async def ignores_stream(peer: Peer) -> None:
        peer.send(whole("whole"))

    async with backend_of(ignores_stream) as backend, gateway_of(streamed(backend)) as gateway:
        response = await (await connect(gateway)).chat(ask())
        assert (response.status, response.text) == (200, "whole")
        await gateway.settled()


async def test_a_retry_asks_as_its_own_backend_is_to_be_asked(connect: Connect) -> None:
    """Half a stream is nothing for the client, so another backend may answer."""
    async with backend_of(cut) as first, backend_of(good) as second:
        more = "    affinity: {prefix: false}"
        async with gateway_of(streamed(first, second, more=more)) as gateway:
            raw = await connect(gateway)
            for _ in range(20):
                response = await raw.chat(ask(stream=False))
                assert (response.status, response.text) == (200, "hello")
                assert second.body["stream"] is False
                if first.posts:
                    break
            assert first.posts, "it was never asked"
            assert first.body["stream"] is True
            assert ["b0", "truncated", first.posts] in [list(row) for row in gateway.numbers["attempts"]]
            await gateway.settled()


async def test_the_first_token_is_known(connect: Connect) -> None:
    """With a bound on prompts being read, the next one may go as soon as the first is read."""
    going = asyncio.Event()

    async def slow(peer: Peer) -> None:
        peer.send(SSE_HEAD)
        peer.event({"content": "a"})
        await going.wait()
        peer.event({}, "stop")
        peer.done()
        peer.end()

    async with backend_of(slow) as backend:
        config = streamed(backend).replace("stream_whole", "prefill_tokens: 40, stream_whole")
        async with gateway_of(config.replace("300ms, total: 2s", "5s, total: 9s")) as gateway:
            clients = [await connect(gateway) for _ in range(3)]
            for raw in clients:
                await raw.send(post(ask("word " * 25)))
            async with asyncio.timeout(3):
                while backend.running < 3:
                    await asyncio.sleep(0.01)
            going.set()
            responses = [await raw.response() for raw in clients]
            assert [response.text for response in responses] == ["a"] * 3
            await gateway.settled()
            assert gateway.numbers["invariants"]["ok"]


async def test_split_anywhere_it_is_the_same(connect: Connect) -> None:
    events = [
        chunk({"role": "assistant", "content": "Łódź"}),
        chunk({"content": " \U0001f6f6"}),
        chunk({}, "stop"),
        b"[DONE]",
    ]
    wire = b"".join(b"%x\r\n%b\r\n" % (len(event) + 8, b"data: %b\n\n" % event) for event in events)
    wire = SSE_HEAD + wire + b"0\r\n\r\n"
    at = 1

    async def split(peer: Peer) -> None:
        peer.send(wire[:at])
        await asyncio.sleep(0.002)
        peer.send(wire[at:])

    async with backend_of(split) as backend, gateway_of(streamed(backend)) as gateway:
        raw = await connect(gateway)
        for at in range(1, len(wire), 17):
            response = await raw.chat(ask())
            assert (response.status, response.text) == (200, "Łódź \U0001f6f6"), at
        await gateway.settled()
