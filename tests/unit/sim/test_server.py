"""The server's own manners: who left and when, what runs, what waits, and what is not HTTP."""

import asyncio
import json
import socket
import struct
import time
from typing import Any

import pytest

from penstock.sim import SimServer

from .conftest import Running, ServerOf, ask, post

LONG: dict[str, Any] = ask("Say 2000 words.", stream=True)


async def first_event(server: Running, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await server.open()
    writer.write(request)
    await reader.readuntil(b"data: ")
    return reader, writer


async def until(condition: Any, seconds: float = 3.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never became true"
        await asyncio.sleep(0.001)


def leave(writer: asyncio.StreamWriter, how: str) -> None:
    """Close, half-close or reset."""
    if how == "half-close":
        writer.write_eof()
    elif how == "reset":
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()


@pytest.mark.parametrize("how", ["close", "half-close", "reset"])
@pytest.mark.parametrize("stage", ["waiting", "prefill", "decode"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_peer_that_leaves(server_of: ServerOf, how: str, stage: str, stream: bool) -> None:
    # Slow enough that the prefill (6.5 ms and more) is still going on when the peer leaves.
    server = await server_of(speed=0.02 if stage == "prefill" else 1.0, slots=1)
    stats = server.server.stats
    if stage == "waiting":
        _, holder = await first_event(server, post(LONG))
    reader, writer = await server.open()
    writer.write(post({**LONG, "stream": stream}, x_request_id="r-1"))
    if stage == "waiting":
        await until(lambda: stats.waiting == 1)
    elif stage == "prefill":
        await until(lambda: server.server.engine.batch.running == 1)
    else:
        await until(lambda: len(server.server.engine.batch.decoding) == 1)
    port = writer.get_extra_info("sockname")[1]
    left = time.monotonic()
    leave(writer, how)
    await until(lambda: stats.aborted == 1)
    (abort,) = stats.aborts
    assert (abort.request_id, abort.peer_port, abort.stage) == ("r-1", port, stage)
    assert abort.noticed - left < 0.05
    if how == "half-close":
        # The server closes its side: everything that comes before it is the rest of the stream.
        await asyncio.wait_for(reader.read(-1), 1)
        writer.close()
    if stage == "waiting":
        assert (stats.waiting, stats.running, stats.peak_running) == (0, 1, 1)
        holder.close()
    await server.settled()


async def test_noticed_even_if_nobody_reads(server_of: ServerOf) -> None:
    server = await server_of()
    _, writer = await server.open()
    writer.write(post(LONG, x_sim_fault="oversize-event"))
    await asyncio.sleep(0.05)  # by then the socket is full
    writer.write_eof()
    await until(lambda: server.server.stats.aborted == 1)
    writer.close()
    await server.settled()


async def test_running_is_lowered_before_the_last_byte(server_of: ServerOf) -> None:
    server = await server_of()
    for body in (ask(stream=True), ask()):
        reader, writer = await server.open()
        for _ in range(50):
            writer.write(post(body))
            if body.get("stream"):
                await reader.readuntil(b"0\r\n\r\n")
            else:
                await reader.readuntil(b'"metrics":null}')
            assert server.server.stats.running == 0
        writer.close()
    await server.settled()
    assert server.server.stats.finished == 100


async def test_slots_are_exact_and_first_in_first_out(server_of: ServerOf) -> None:
    server = await server_of(slots=2, speed=20.0)
    order: list[int] = []

    async def one(number: int) -> None:
        await server.see(post(ask("Say 9 words."), connection="close"), silence=5)
        order.append(number)

    tasks = []
    for number in range(12):
        tasks.append(asyncio.create_task(one(number)))
        await until(lambda number=number: server.server.stats.started == number + 1)
    await asyncio.gather(*tasks)
    assert order == list(range(12))
    assert server.server.stats.peak_running == 2
    await server.settled()


async def test_each_choice_takes_a_slot(server_of: ServerOf) -> None:
    server = await server_of(slots=3, speed=20.0)
    await asyncio.gather(*(server.see(post(ask(n=2), connection="close"), silence=5) for _ in range(8)))
    assert server.server.stats.peak_running == 3
    await server.settled()


async def test_more_choices_than_slots(server_of: ServerOf) -> None:
    seen = await (await server_of(slots=2)).chat(n=3)
    assert seen.status == 400 and json.loads(seen.body)["error"]["param"] == "n"


async def test_counters_after_mixed_load(server_of: ServerOf) -> None:
    server = await server_of(slots=4, speed=50.0)
    faults = ["reset-mid-stream", "eof-mid-stream", "bare-done", "close-before-head", "status-500", None, None]
    kinds = [
        server.chat("Say 9 words.", stream=number % 2 == 0, fault=fault) for fault in faults for number in range(8)
    ]

    async def leaver() -> None:
        _, writer = await first_event(server, post(LONG))
        writer.close()

    await asyncio.gather(*kinds, *(leaver() for _ in range(10)))
    await server.settled()
    stats = server.server.stats
    assert (stats.started, stats.finished, stats.faulted, stats.aborted, stats.refused) == (58, 24, 24, 10, 8)
    assert stats.accepted == 66 and stats.peak_running <= 4 and stats.output_tokens == 24 * 9
    shown = json.loads((await server.get("/sim/stats")).body)
    assert shown["aborted"] == 10 == len(shown["aborts"])


async def test_a_thousand_connections(server_of: ServerOf) -> None:
    server = await server_of()
    pairs = await asyncio.gather(*(server.open() for _ in range(1000)))
    for _, writer in pairs:
        writer.write(post(ask("Say 5 words.", stream=True)))
    await asyncio.gather(*(reader.readuntil(b"0\r\n\r\n") for reader, _ in pairs))
    assert server.server.stats.connections == server.server.stats.finished == 1000
    for _, writer in pairs:
        writer.close()
    await server.settled()


async def test_pace_follows_the_cost_model(server_of: ServerOf) -> None:
    server = await server_of(profile="8b-h100", speed=1.0)
    began = time.monotonic()
    await server.see(post(ask("Say 60 words."), connection="close"), silence=5)
    seconds = time.monotonic() - began
    # TTFT 15 ms + 6.5 ms of prefill, then 59 steps of 6.5 ms and a little for the batch: 0.41 s.
    assert 0.40 < seconds < 1.0


async def test_requests_in_any_pieces(server_of: ServerOf) -> None:
    server = await server_of()
    reader, writer = await server.open()
    twice = post(ask("Say 3 words.", stream=True)) * 2
    for start in range(0, len(twice), 7):
        writer.write(twice[start : start + 7])
        await asyncio.sleep(0)
    for _ in range(2):
        assert b"[DONE]" in await reader.readuntil(b"0\r\n\r\n")
    writer.close()
    await server.settled()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nx: " + b"a" * 70_000,
    ],
)
async def test_not_http(server_of: ServerOf, request_bytes: bytes) -> None:
    seen = await (await server_of()).see(request_bytes)
    assert (seen.status, seen.end) == (400, "eof") and "connection: close" in seen.head


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model": "', None),
        (b'{"model": "sim"}', "messages"),
        (b'{"messages": []}', "messages"),
        (b'{"messages": [{"role": "user", "content": 1}]}', "messages"),
        (b'{"messages": [{"role": "user"}], "max_tokens": 0}', "max_tokens"),
        (b'{"messages": [{"role": "user"}], "n": "two"}', "n"),
        (b'{"messages": [{"role": "user"}], "temperature": 3}', "temperature"),
        (
            b'{"messages": [{"role": "user"}], "tool_choice": {"type": "function", "function": {"name": "x"}}}',
            "tool_choice",
        ),
    ],
)
async def test_bad_bodies(server_of: ServerOf, body: bytes, param: str | None) -> None:
    server = await server_of()
    seen = await server.see(post(body, connection="close"))
    assert seen.status == 400 and json.loads(seen.body)["error"]["param"] == param
    assert server.server.stats.refused == 1 and server.server.stats.started == 0


async def test_null_is_absent(server_of: ServerOf) -> None:
    names = ("n", "stop", "tools", "tool_choice", "max_tokens", "temperature", "stream_options", "seed")
    server = await server_of()
    assert (await server.chat(**dict.fromkeys(names))).status == 200


async def test_llamacpp_closes_after_100_requests(server_of: ServerOf) -> None:
    server = await server_of(dialect="llamacpp")
    reader, writer = await server.open()
    writer.write(post(ask("Say 1 words.")) * 101)
    answers = await reader.read(-1)
    assert answers.count(b"HTTP/1.1 200") == 100 and answers.count(b"connection: close") == 1
    writer.close()


async def test_idle_connections_are_closed(server_of: ServerOf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.sim.connection.KEEP_ALIVE_SECONDS", 0.1)
    server = await server_of()
    seen = await server.see(post(ask()), silence=2)
    assert seen.end == "eof" and "connection: close" not in seen.head
    await server.settled()


async def test_stop_drops_what_runs() -> None:
    server = SimServer()
    running = Running(server, await server.start())
    _, writer = await first_event(running, post(LONG))
    await server.stop()
    await running.settled()
    writer.close()
    assert server.stats.faulted == 1


def test_names_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="8b-h100"):
        SimServer(profile="900b")
    with pytest.raises(ValueError, match="vllm"):
        SimServer(dialect="klingon")
