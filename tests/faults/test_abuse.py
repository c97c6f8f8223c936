"""The abuse of HTTP, against the lane and against aiohttp: one verdict, no byte of one request read as another, and
whoever comes next is served.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.backend import Peer, whole
from tests.conftest import Raw, ask, post
from tests.faults import abuse_of_framing as framing
from tests.faults import abuse_of_heads as heads
from tests.faults.abuse import (
    CHAT,
    CHUNKED,
    CHUNKS,
    GOOD,
    LENGTH,
    NEXT,
    OLD,
    OUTER,
    SERVED,
    Abuse,
    Verdict,
    abuse,
    bytewise,
    hold,
    refused,
    request_of,
    served,
)
from tests.observation import LANES, SECONDS, Lane, Request, observe, open_client, serving
from tests.recorder import Recorder, recorder

pytestmark = pytest.mark.once

GROUPS = {
    "lengths": framing.LENGTHS,
    "codings": framing.CODINGS,
    "chunks": framing.SIZES,
    "lines": framing.LINES,
    "control bytes": framing.CONTROLS,
    "hosts": heads.HOSTS,
    "targets": heads.TARGETS,
    "sizes": heads.SIZES,
    "manners": heads.MANNERS,
    "pipelines": heads.PIPELINES,
    "timing": heads.TIMING,
    "what the parser lets pass": [
        abuse("slow", *bytewise(GOOD), answers=(SERVED,), reached=(OUTER,), pause=2.2 / len(GOOD)),
        abuse("slow body", GOOD[:-40], GOOD[-40:], answers=(SERVED,), reached=(OUTER,), pause=2.2),
        refused("a bare LF ends the head", request_of(LENGTH).replace(b"\r\n\r\n", b"\r\n\n")),
        *(
            refused(f"Host {host!r}", request_of(LENGTH, host=f"host: {host}") + NEXT)
            for host in ("a b", "h/v1/models?", "h?x", "user@h", "h:port", "h#x")
        ),
        *(
            refused(f"version {name}", request_of(LENGTH, line=CHAT.replace("HTTP/1.1", name)))
            for name in ("HTTP/0.9", "HTTP/2.0")
        ),
        abuse(
            "chunks in HTTP/1.0",
            request_of(CHUNKED, "connection: keep-alive", line=OLD, body=CHUNKS),
            answers=(SERVED,),
            end="closed",
            reached=(OUTER,),
        ),
        refused("compressed chunks", request_of("transfer-encoding: gzip, chunked", body=CHUNKS) + NEXT),
        *(
            served(f"absolute form, {host}", request_of(LENGTH, line=CHAT.replace("/v1", f"http://{host}/v1")))
            for host in ("x", "other:80")
        ),
        served(
            "Expect in HTTP/1.0",
            request_of(LENGTH, "expect: 100-continue", line=OLD),
            end="closed",
        ),
    ],
}
MANY = 10_000


def config_of(backend: Recorder) -> str:
    return f"""
limits: {{body: 64KiB, head: 8KiB}}
backends: {{a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: 4}}}}
tiers: {{instant: {{models: [fast], backends: [a]}}}}
"""


async def assert_verdicts(abuses: list[Abuse], capfd: pytest.CaptureFixture[str]) -> None:
    wanted = {one.request.name: one.verdict for one in abuses}
    assert len(wanted) == len(abuses), "a name twice"
    requests = [one.request for one in abuses]
    async with recorder() as backend:
        seen = {lane: await observe(lane, config_of(backend), backend, requests, capfd) for lane in LANES}
    for lane in LANES:
        assert {name: Verdict.of(one) for name, one in seen[lane].items()} == wanted, f"lane: {lane}"
        assert not [name for name, one in seen[lane].items() if one.raised]
    assert seen["on"] == seen["off"]


@pytest.mark.parametrize("group", GROUPS)
async def test_verdicts(group: str, capfd: pytest.CaptureFixture[str]) -> None:
    await assert_verdicts(GROUPS[group], capfd)


@pytest.mark.parametrize("lane", LANES)
async def test_10_000_pipelined_requests(lane: Lane, capfd: pytest.CaptureFixture[str]) -> None:
    """One in 50 is for a backend. All are answered, in their order."""
    asked = [ask(str(number), model="nope" if number % 50 else "fast") for number in range(MANY)]
    pieces = tuple(post(body, x_request_id=f"r{number}") for number, body in enumerate(asked))
    async with recorder() as backend:
        many = Request("many", (b"".join(pieces),), answers=MANY)
        seen = (await observe(lane, config_of(backend), backend, [many], capfd))["many"]
    wanted = [(404 if number % 50 else 200, f"r{number}") for number in range(MANY)]
    assert [(answer.status, answer.header("x-request-id")) for answer in seen.answers] == wanted
    verdict = Verdict.of(seen)
    assert verdict.reached == tuple(str(number) for number in range(0, MANY, 50))
    assert verdict.end == "open"


@pytest.mark.parametrize("lane", LANES)
async def test_who_sends_ahead_is_not_read(lane: Lane) -> None:
    """While a request runs, most of what is behind it stays where the client has it."""
    async with recorder() as backend, serving(lane, config_of(backend)) as gateway:
        backend.begin(hold)
        _, writer = await open_client(gateway)
        writer.write(post(ask("x" * 4000)) * MANY)
        while not backend.requests:
            await asyncio.sleep(0.001)
        before = -1
        while (unsent := writer.transport.get_write_buffer_size()) != before:
            before = unsent
            await asyncio.sleep(0.2)
        writer.transport.abort()
        # Socket buffers hold some MiB.
        assert unsent > MANY * 4000 // 2
        assert len(backend.requests) == 1


@pytest.mark.parametrize("lane", LANES)
async def test_another_path_behind_an_answer_that_is_not_read(lane: Lane) -> None:
    """The connection may change hands only when the answer has left: nothing of it is lost or late."""
    content = "x" * 8_000_000

    async def large(peer: Peer) -> None:
        peer.send(whole(content))

    async with recorder() as backend, serving(lane, config_of(backend)) as gateway:
        backend.begin(large)
        # It reads 128 KiB ahead and no more, until it is asked for an answer.
        raw = Raw(*await asyncio.open_connection("127.0.0.1", gateway.port))
        await raw.send(GOOD + b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n" + NEXT)
        while not backend.requests:
            await asyncio.sleep(0.001)
        (connection,) = gateway.service.worker.registry.connections()
        async with asyncio.timeout(SECONDS):
            while not connection.unsent_bytes:
                await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        assert connection.unsent_bytes
        assert (await raw.response()).text == content
        assert (await raw.response()).value == {"status": "ok"}
        assert (await raw.response()).text == content
        raw.close()
