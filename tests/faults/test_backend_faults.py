"""What a backend can do wrong, row by row: the right code, and the slot back."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from dataclasses import dataclass

import pytest

from tests.backend import (
    LAST_CHUNK,
    SSE_HEAD,
    Backend,
    Peer,
    Script,
    answer,
    backend_of,
    chunk,
    config_of,
    good,
    reset_at_once,
    whole,
)
from tests.conftest import Connect, ask, gateway_of


async def hang(peer: Peer) -> None:
    await peer.gone()


async def close_at_once(peer: Peer) -> None:
    peer.writer.close()


async def half_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-")
    await peer.gone()


async def head_only(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    await peer.gone()


async def role_only(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": ""})
    await peer.gone()


async def begin(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": "a"})


async def stall(peer: Peer) -> None:
    await begin(peer)
    await peer.gone()


async def reset_mid_stream(peer: Peer) -> None:
    await begin(peer)
    await asyncio.sleep(0.02)
    peer.reset()


async def cut_mid_stream(peer: Peer) -> None:
    await begin(peer)
    peer.writer.close()


async def clean_end_without_finish(peer: Peer) -> None:
    await begin(peer)
    peer.end()


async def done_without_finish(peer: Peer) -> None:
    await begin(peer)
    peer.done()
    peer.end()


async def bare_done(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.done()
    peer.end()


async def garbage_head(peer: Peer) -> None:
    peer.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


async def garbage_event(peer: Peer) -> None:
    await begin(peer)
    peer.piece(b"data: {nonsense\n\n")
    await peer.gone()


async def broken_framing(peer: Peer) -> None:
    await begin(peer)
    peer.send(b"zz\r\n")
    await peer.gone()


async def endless_line(peer: Peer) -> None:
    await begin(peer)
    for _ in range(40):
        peer.piece(b"data: " + b"x" * 65536)
    await peer.gone()


async def error_event_first(peer: Peer) -> None:
    peer.send(SSE_HEAD)
    peer.piece(b'data: {"error": {"message": "CUDA out of memory", "type": "InternalServerError", "code": 500}}\n\n')
    peer.done()
    peer.end()


async def error_event_later(peer: Peer) -> None:
    await begin(peer)
    peer.piece(b'data: {"error": "engine died"}\n\n')
    peer.done()
    peer.end()


async def both_lengths(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")


async def short_body(peer: Peer) -> None:
    peer.send(whole()[:-10])
    peer.writer.close()


async def unfinished_body(peer: Peer) -> None:
    peer.send(whole(finish=None))


async def no_completion(peer: Peer) -> None:
    peer.send(answer(b'{"hello": "world"}'))


async def too_large(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n")
    for _ in range(40):
        peer.send(b" " * 65536)
    await peer.gone()


async def status_500(peer: Peer) -> None:
    peer.send(answer(b'{"error": {"message": "boom", "code": 500}}', "500 Internal Server Error"))


async def status_401(peer: Peer) -> None:
    peer.send(answer(b'{"error": "Unauthorized"}', "401 Unauthorized"))


async def status_400(peer: Peer) -> None:
    peer.send(answer(b'{"error": {"message": "bad top_p", "param": "top_p", "code": 400}}', "400 Bad Request"))


async def overflow(peer: Peer) -> None:
    message = "request (9000 tokens) exceeds the available context size (2048 tokens), try increasing it"
    text = json.dumps({"error": {"code": 400, "message": message, "type": "x"}}).encode()
    peer.send(answer(text, "400 Bad Request"))


async def redirect(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n")


async def full(peer: Peer) -> None:
    peer.send(answer(b'{"error": "overloaded"}', "429 Too Many Requests", "retry-after: 7\r\n"))


@dataclass(frozen=True)
class Case:
    row: str
    script: Script
    status: int
    code: str
    term: str
    stream: bool = True


# `status` 200: an error event in a stream that had begun.
CASES = [
    Case("7 reset before the head", reset_at_once, 502, "upstream_reset", "BF"),
    Case("7 reset before the head", reset_at_once, 502, "upstream_reset", "BF", stream=False),
    Case("7 close before the head", close_at_once, 502, "upstream_reset", "BF"),
    Case("8 half a head, then silence", half_head, 504, "upstream_timeout", "GF"),
    Case("9 silence", hang, 504, "upstream_timeout", "GF"),
    Case("9 a head, then silence", head_only, 504, "upstream_timeout", "GF"),
    Case("9 a role is no event", role_only, 504, "upstream_timeout", "GF"),
    Case("9 silence, whole", hang, 504, "deadline_exceeded", "GF", stream=False),
    Case("10 stall in the stream", stall, 200, "upstream_stalled", "GS"),
    Case("11 reset in the stream", reset_mid_stream, 200, "upstream_reset", "BS"),
    Case("12 cut in the stream", cut_mid_stream, 200, "upstream_truncated", "BS"),
    Case("12 clean end without finish_reason", clean_end_without_finish, 200, "upstream_truncated", "BS"),
    Case("12 [DONE] without finish_reason", done_without_finish, 200, "upstream_truncated", "BS"),
    Case("12 a bare [DONE]", bare_done, 502, "upstream_truncated", "BF"),
    Case("12 a short body", short_body, 502, "upstream_truncated", "BF", stream=False),
    Case("12 a body without finish_reason", unfinished_body, 502, "upstream_truncated", "BF", stream=False),
    Case("14 no HTTP", garbage_head, 502, "upstream_garbage", "BF"),
    Case("14 no JSON in an event", garbage_event, 200, "upstream_garbage", "BS"),
    Case("14 broken framing", broken_framing, 200, "upstream_garbage", "BS"),
    Case("14 no completion", no_completion, 502, "upstream_garbage", "BF", stream=False),
    Case("16 an endless line", endless_line, 200, "upstream_garbage", "BS"),
    Case("16 too large a body", too_large, 502, "upstream_too_large", "GF", stream=False),
    Case("17 two framings", both_lengths, 502, "upstream_garbage", "BF", stream=False),
    Case("error event first", error_event_first, 502, "upstream_error", "BF"),
    Case("error event later", error_event_later, 200, "upstream_error", "BS"),
    Case("500", status_500, 502, "upstream_error", "BF"),
    Case("401 is ours", status_401, 502, "upstream_error", "BF"),
    Case("a redirect is not followed", redirect, 502, "upstream_error", "BF"),
    Case("400", status_400, 400, "invalid_value", "BF"),
    Case("context overflow", overflow, 400, "context_length_exceeded", "BF"),
    Case("429, three times", full, 429, "upstream_overloaded", "BF"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row}{'' if case.stream else ' (whole)'}")
async def test_row(case: Case, connect: Connect) -> None:
    async with backend_of(case.script) as backend:
        config = "limits: {response: 1MiB}\n" + config_of(backend, concurrency=1)
        async with gateway_of(config) as gateway:
            raw = await connect(gateway)
            response = await asyncio.wait_for(raw.chat(ask(stream=case.stream)), 5)
            assert (response.status, response.error["code"]) == (case.status, case.code)
            if case.status == 200:
                assert response.text == "a"
                assert b"[DONE]" not in response.body
            if case.status == 429:
                assert response.headers["retry-after"] == "7"
                assert response.headers["retry-after-ms"] == "7000"
            await gateway.settled()
            ((_, term),) = gateway.requests()
            assert term == case.term
            # The only slot is free, and the connection of the client in order.
            backend.script = good
            again = await asyncio.wait_for(raw.chat(ask(stream=case.stream)), 2)
            assert (again.status, again.text) == (200, "hello")
            assert backend.peak == 1


async def test_row_2_connect_blackhole(connect: Connect) -> None:
    """A listener whose accept queue is full never answers a SYN."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    await asyncio.sleep(0.1)
    hole = Backend(good)
    hole.port = listener.getsockname()[1]
    try:
        async with backend_of() as backend, gateway_of(config_of(hole, backend), wait=False) as gateway:
            await asyncio.sleep(0.2)
            raw = await connect(gateway)
            started = time.monotonic()
            responses = [await raw.chat(ask()) for _ in range(4)]
            assert all(response.text == "hello" for response in responses)
            # At most three attempts met the hole, each 300 ms.
            assert time.monotonic() - started < 4 * 0.36
            await gateway.settled()
    finally:
        for opened in (*fillers, listener):
            opened.close()


async def test_row_6_the_keep_alive_race(connect: Connect) -> None:
    """A backend that closes each connection just as the next request is written to it."""

    async def one_answer(peer: Peer) -> None:
        peer.send(whole())
        # Orderly, and unannounced: whoever writes next writes into the void.
        await peer.reader.read(1)
        peer.writer.close()

    async with backend_of(one_answer) as backend, gateway_of(config_of(backend)) as gateway:
        raw = await connect(gateway)
        for _ in range(300):
            assert (await raw.chat(ask())).status == 200
        await gateway.settled()
        assert gateway.requests() == {("ok", "-D"): 300}


async def test_row_7_the_other_backend_is_tried(connect: Connect) -> None:
    async with backend_of(reset_at_once) as bad, backend_of() as fine:
        async with gateway_of(config_of(bad, fine)) as gateway:
            raw = await connect(gateway)
            # Different prompts, so that none is taken for poison.
            for number in range(6):
                assert (await raw.chat(ask(f"question {number}"))).text == "hello"
            await gateway.settled()


@pytest.mark.parametrize(("profile", "status"), [("instant", 200), ("thinking", 504)])
async def test_row_9_only_the_instant_tier_tries_again(connect: Connect, profile: str, status: int) -> None:
    async with backend_of(hang) as bad, backend_of() as fine:
        async with gateway_of(config_of(bad, fine, profile=profile)) as gateway:
            raw = await connect(gateway)
            statuses = [(await raw.chat(ask(stream=True))).status for _ in range(2)]
            assert sorted(statuses) == sorted([200, status])
            await gateway.settled()
            assert bad.peak == 1, "the first attempt was closed before the second began"


@pytest.mark.parametrize("stream", [True, False])
async def test_row_13_done_then_the_socket_stays_open(connect: Connect, stream: bool) -> None:
    async def linger(peer: Peer) -> None:
        if not stream:
            peer.send(whole())
        else:
            await begin(peer)
            peer.event({}, "stop")
            peer.done()
        await peer.gone()

    async with backend_of(linger) as backend, gateway_of(config_of(backend, concurrency=1)) as gateway:
        raw = await connect(gateway)
        started = time.monotonic()
        response = await raw.chat(ask(stream=stream))
        assert response.status == 200
        assert time.monotonic() - started < 0.5, "the client does not wait for the socket"
        await gateway.settled()


FORMS = {
    "LF": (b"\n", b""),
    "CRLF": (b"\r\n", b""),
    "CR": (b"\r", b""),
    "BOM": (b"\n", b"\xef\xbb\xbf"),
    "comments": (b"\n", b": hello\n\n:\n\n"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("last_blank_line", [True, False])
async def test_row_15_every_form_in_single_bytes(connect: Connect, form: str, last_blank_line: bool) -> None:
    newline, prefix = FORMS[form]
    events = [chunk({"role": "assistant", "content": "a"}), chunk({"content": "b"}), chunk({}, "stop"), b"[DONE]"]
    text = prefix + b"".join(b"data: " + event + newline * 2 for event in events)
    if not last_blank_line:
        text = text.removesuffix(newline * 2)

    async def bytewise(peer: Peer) -> None:
        peer.send(SSE_HEAD)
        for at in range(len(text)):
            peer.piece(text[at : at + 1])
            if at % 16 == 0:
                await asyncio.sleep(0)
        peer.send(LAST_CHUNK)

    async with backend_of(bytewise) as backend, gateway_of(config_of(backend)) as gateway:
        response = await (await connect(gateway)).chat(ask(stream=True))
        assert response.text == "ab"
        assert response.events[-1] == b"[DONE]"
        await gateway.settled()


async def test_json_where_a_stream_was_asked_for(connect: Connect) -> None:
    async def whole_instead(peer: Peer) -> None:
        peer.send(whole("all at once", usage={"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4}))

    async with backend_of(whole_instead) as backend, gateway_of(config_of(backend)) as gateway:
        response = await (await connect(gateway)).chat(ask(stream=True, stream_options={"include_usage": True}))
        assert response.text == "all at once"
        assert response.events[-1] == b"[DONE]"
        assert b'"usage":{"prompt_tokens": 1' in response.events[-2]


async def test_a_loading_backend_is_down_until_a_probe_says_otherwise(connect: Connect) -> None:
    async def loading(peer: Peer) -> None:
        text = b'{"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}}'
        peer.send(answer(text, "503 Service Unavailable"))

    config = config_of(Backend(good), more="    queue: {wait: 300ms}")
    async with backend_of(loading) as backend, gateway_of(config.replace(":0'", f":{backend.port}'")) as gateway:
        raw = await connect(gateway)
        first = await raw.chat(ask())
        assert (first.status, first.error["code"]) == (503, "no_backend")
        assert gateway.numbers["backends"][0]["state"] == "down"


async def test_a_bounced_request_finds_room_later(connect: Connect) -> None:
    calls = 0

    async def full_at_first(peer: Peer) -> None:
        nonlocal calls
        calls += 1
        await (full if calls <= 2 else good)(peer)

    async with backend_of(full_at_first) as backend, gateway_of(config_of(backend)) as gateway:
        response = await (await connect(gateway)).chat(ask())
        assert (response.status, response.text, calls) == (200, "hello", 3)
        sums = await gateway.settled()
        assert sums["arrived"] == sums["finished"] == 1
