"""What clients see of admission: fairness, priorities, sessions, honest refusals."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.backend import Backend, Peer, backend_of, good, whole
from tests.conftest import Connect, Gateway, Raw, Response, ask, gateway_of

TRUST = "access: {tenant_header: x-tenant, priority_header: x-priority}\ntrusted_proxies: [127.0.0.1]\n"


class Gate:
    """A backend that answers when it is told to, and remembers whom it was asked by."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.free = asyncio.Semaphore(0)

    async def __call__(self, peer: Peer) -> None:
        self.order.append(peer.body["messages"][0]["content"])
        await self.free.acquire()
        peer.send(whole())


@asynccontextmanager
async def gated(tier: str = "", more: str = "", concurrency: int = 1) -> AsyncIterator[tuple[Gateway, Gate]]:
    """Run a gateway with one slot before a gated backend."""
    gate = Gate()
    async with backend_of(gate) as backend:
        config = f"""
backends: {{a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: {concurrency}}}}}
tiers: {{instant: {{models: [fast], backends: [a]{tier}}}}}
{more}"""
        async with gateway_of(config) as gateway:
            yield gateway, gate
            for _ in range(1000):
                gate.free.release()


async def send(connect: Connect, gateway: Gateway, name: str, **headers: str) -> asyncio.Task[Response]:
    """Send a request and let it arrive before the next."""
    raw = await connect(gateway)
    task = asyncio.create_task(raw.chat(ask(name), **headers))
    before = gateway.numbers["invariants"]["arrived"]
    while gateway.numbers["invariants"]["arrived"] == before:
        await asyncio.sleep(0.002)
    return task


async def test_priorities_of_a_trusted_proxy_go_first(connect: Connect) -> None:
    async with gated(more=TRUST) as (gateway, gate):
        tasks = [await send(connect, gateway, "first")]
        for name, priority in [("n", "normal"), ("l", "low"), ("h", "high")]:
            tasks.append(await send(connect, gateway, name, x_priority=priority))
        for _ in tasks:
            gate.free.release()
        assert {(await task).status for task in tasks} == {200}
        # The others share by weight, so either may be next.
        assert gate.order[:2] == ["first", "h"]


async def test_an_unknown_priority_is_a_400(connect: Connect) -> None:
    async with gated(more=TRUST) as (gateway, _):
        response = await (await connect(gateway)).chat(ask(), x_priority="urgent")
        assert (response.status, response.error["code"]) == (400, "invalid_value")
        assert "x-priority is high, normal or low" in response.error["message"]


async def test_a_tenant_with_many_requests_does_not_keep_another_waiting(connect: Connect) -> None:
    tier = ", queue: {per_tenant: {requests: 5}, wait: 20s}"
    async with gated(tier, TRUST) as (gateway, gate):
        tasks = [await send(connect, gateway, "first", x_tenant="big")]
        tasks += [await send(connect, gateway, f"big{n}", x_tenant="big") for n in range(6)]
        small = await send(connect, gateway, "small", x_tenant="small")
        refused = await tasks[6]
        assert (refused.status, refused.error["code"]) == (429, "queue_full")
        assert int(refused.headers["retry-after-ms"]) >= 800
        for _ in range(7):
            gate.free.release()
        assert {(await task).status for task in [*tasks[:6], small]} == {200}
        assert "small" in gate.order[1:3], gate.order


@asynccontextmanager
async def twins() -> AsyncIterator[Gateway]:
    """Run a gateway before two equal backends."""
    async with backend_of(good) as one, backend_of(good) as other:
        config = f"""
backends:
  a: {{url: "http://127.0.0.1:{one.port}", serves: served, concurrency: 8}}
  b: {{url: "http://127.0.0.1:{other.port}", serves: served, concurrency: 8}}
tiers: {{instant: {{models: [fast], backends: [a, b]}}}}
"""
        async with gateway_of(config) as gateway:
            yield gateway


async def test_a_session_stays_with_its_backend(connect: Connect) -> None:
    async with twins() as gateway:
        raw = await connect(gateway)

        async def backends(count: int, **headers: str) -> list[str]:
            answers = [await raw.chat(ask(), **headers) for _ in range(count)]
            return [answer.headers["x-penstock-backend"] for answer in answers]

        assert set(await backends(8)) == {"a", "b"}
        at_home = await backends(12, x_session_id="s1")
        assert len(set(at_home)) == 1, at_home


async def test_a_common_beginning_stays_with_its_backend(connect: Connect) -> None:
    async with twins() as gateway:
        raw = await connect(gateway)
        story = "Once there was a river. " * 200
        answers = [await raw.chat(ask(f"{story} Question {n}?")) for n in range(12)]
        served = [answer.headers["x-penstock-backend"] for answer in answers]
        assert len(set(served)) == 1, served


async def test_a_prompt_larger_than_the_memory_of_any_backend_is_a_400(backend: Backend, connect: Connect) -> None:
    config = f"""
backends: {{a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: 4, kv_tokens: 1000}}}}
tiers: {{instant: {{models: [fast], backends: [a]}}}}
"""
    async with gateway_of(config) as gateway:
        raw = await connect(gateway)
        response = await raw.chat(ask("river " * 2000))
        assert (response.status, response.error["code"]) == (400, "context_length_exceeded")
        # One that fits only without room for its answer runs alone.
        assert (await raw.chat(ask("river " * 600))).status == 200
        await gateway.settled()


async def test_images_count_by_their_number_and_not_by_their_bytes(backend: Backend, connect: Connect) -> None:
    config = f"""
limits: {{body: 32MiB}}
backends: {{a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: 4, kv_tokens: 100000}}}}
tiers:
  instant: {{models: [fast], backends: [a]}}
  dear: {{models: [dear], backends: [a], media_tokens: 60000}}
"""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgo" * 55_000}}

    def of(*parts: dict[str, Any], model: str = "fast") -> dict[str, Any]:
        return {"model": model, "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}, *parts]}]}

    async with gateway_of(config) as gateway:
        raw = await connect(gateway)
        assert (await raw.chat(of(image))).status == 200
        assert (await raw.chat(of(*[image] * 20))).status == 200
        assert (await raw.chat(of(image, model="dear"))).status == 200
        refer = {"type": "image_url", "image_url": {"url": "http://h/x.png"}}
        text = {"type": "text", "text": "x" * 600_000}
        for request in [of(*[refer] * 100), of(text), of(image, text), of(image, image, model="dear")]:
            response = await raw.chat(request)
            assert (response.status, response.error["code"]) == (400, "context_length_exceeded")
        await gateway.settled()


async def test_who_cannot_be_served_in_time_hears_it_at_once(connect: Connect) -> None:
    """After the gateway has learned how fast slots become free: 40 clients at four slots, and a second to wait."""
    async with gated(", queue: {wait: 1s}", concurrency=4) as (gateway, gate):
        raws = [await connect(gateway) for _ in range(40)]
        heard = asyncio.Event()

        async def ask_on(raw: Raw) -> list[Response]:
            answers = []
            while not heard.is_set():
                answers.append(await raw.chat(ask()))
                if answers[-1].status != 200 and answers[-1].error["code"] == "deadline_unmeetable":
                    heard.set()
            return answers

        async def serve() -> None:
            while True:
                gate.free.release()
                await asyncio.sleep(0.025)

        server = asyncio.create_task(serve())
        async with asyncio.timeout(30):
            answers = [answer for some in await asyncio.gather(*map(ask_on, raws)) for answer in some]
        server.cancel()
        codes = Counter(answer.error["code"] for answer in answers if answer.status != 200)
        assert set(codes) <= {"deadline_unmeetable", "queue_timeout"}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers if answer.status == 429)
        # At once: they were refused on arrival, not by the timer, and never reached the backend.
        assert gateway.requests()["rejected", "PQ"] == codes["deadline_unmeetable"]
        assert len(gate.order) == sum(answer.status == 200 for answer in answers)
        assert gateway.numbers["tiers"][0]["slots_per_second"] > 0


async def test_a_tier_without_a_usable_backend_says_so_at_once(backend: Backend, connect: Connect) -> None:
    config = f"""
backends: {{a: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: 0}}}}
tiers: {{instant: {{models: [fast], backends: [a]}}}}
"""
    async with gateway_of(config, wait=False) as gateway:
        response = await (await connect(gateway)).chat(ask())
        assert (response.status, response.error["code"]) == (503, "no_backend")


async def test_a_backend_that_is_drained_with_a_full_queue(connect: Connect) -> None:
    async with gated() as (gateway, gate):
        tasks = [await send(connect, gateway, f"r{n}") for n in range(5)]
        gateway.service.segment.set_limit(0, 0)
        waiting = [await task for task in tasks[1:]]
        assert {(answer.status, answer.error["code"]) for answer in waiting} == {(503, "no_backend")}
        gate.free.release()
        assert (await tasks[0]).status == 200, "what runs is not killed"
        await gateway.settled()


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with backend_of() as running:
        yield running
