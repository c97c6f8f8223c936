"""A full engine turns requests away in its own words."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from penstock.sim import SimServer
from penstock.sim.batch import Scheduling
from penstock.sim.fence import Refusal

from .conftest import Running, Seen, ServerOf
from .test_dialects import recorded, shape
from .test_pages import busy, close


async def full(server: Running, requests: int, **more: Any) -> Seen:
    """Fill the server, and return what the next one gets."""
    writers = await busy(server, requests)
    seen = await server.chat(**more)
    assert server.server.stats.refused == server.server.stats.turned_away == 1
    await close(server, writers)
    return seen


@pytest.mark.parametrize("stream", [False, True])
async def test_vllm_counts_running_and_waiting(server_of: ServerOf, stream: bool) -> None:
    seen = await full(await server_of(slots=2, fence=4), 4, stream=stream)
    assert seen.status == 503 and json.loads(seen.body)["error"]["type"] == "ServiceUnavailableError"


@pytest.mark.parametrize("stream", [False, True])
async def test_sglang_counts_waiting(server_of: ServerOf, stream: bool) -> None:
    seen = await full(await server_of(dialect="sglang", slots=2, fence=4), 6, stream=stream)
    assert seen.status == 503 and json.loads(seen.body)["message"] == "The request queue is full."


async def test_sglang_may_say_it_in_the_stream(server_of: ServerOf) -> None:
    server = await server_of(dialect="sglang", slots=2, fence=4, refusal=Refusal.EVENT)
    seen = await full(server, 6, stream=True)
    (event,) = seen.chunks
    assert seen.status == 200 and event["error"]["message"] == "The request queue is full."
    assert event["error"]["code"] == 503 and seen.lines[-1] == b"[DONE]" and seen.complete


async def test_tgi_has_its_recorded_answers(server_of: ServerOf) -> None:
    whole = await full(await server_of(dialect="tgi", slots=2, fence=4), 4)
    theirs = recorded("tgi-3.3.6", "overload")
    assert whole.status == theirs.status == 429 and json.loads(whole.body) == json.loads(theirs.body)
    stream = await full(await server_of(dialect="tgi", slots=2, fence=4), 4, stream=True)
    theirs = recorded("tgi-3.3.6", "overload-stream")
    assert stream.status == theirs.status == 200 and stream.lines == theirs.lines
    assert list(map(shape, stream.chunks)) == list(map(shape, theirs.chunks))


async def test_a_request_counts_with_all_its_choices(server_of: ServerOf) -> None:
    server = await server_of(slots=4, fence=5)
    writers = await busy(server, 3)
    assert (await server.chat(n=3)).status == 503
    more = asyncio.create_task(server.chat(n=2, fault="hang"))
    while server.server.stats.started < 4:
        await asyncio.sleep(0.01)
    assert (server.server.stats.running, server.server.stats.waiting) == (4, 1)
    await more
    await close(server, writers)


async def test_below_the_fence_nothing_is_refused(server_of: ServerOf) -> None:
    server = await server_of(slots=2, fence=6, speed=50.0)
    seen = await asyncio.gather(*(server.chat("Say 5 words.") for _ in range(6)))
    assert {one.status for one in seen} == {200} and server.server.stats.refused == 0


@pytest.mark.parametrize("dialect", ["llamacpp", "openai"])
def test_some_have_no_fence(dialect: str) -> None:
    with pytest.raises(ValueError, match=f"{dialect} has no limit"):
        SimServer(dialect=dialect, fence=5)


async def test_priority_in_the_body(server_of: ServerOf) -> None:
    server = await server_of(slots=1, speed=5.0, scheduling=Scheduling.PRIORITY)
    order: list[int] = []

    async def one(priority: int) -> None:
        await server.chat("Say 20 words.", priority=priority)
        order.append(priority)

    tasks = [asyncio.create_task(one(0))]
    while server.server.engine.batch.running == 0:
        await asyncio.sleep(0.001)
    tasks += [asyncio.create_task(one(priority)) for priority in (3, 1, 2)]
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2, 3]
