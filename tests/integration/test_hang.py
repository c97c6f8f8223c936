"""An engine that hangs behind a server whose pages all answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from penstock.upstream import engine_hang, liveness, probe
from penstock.upstream.scraper import Scraper
from tests.backend import MODELS, whole
from tests.conftest import Connect, Gateway, ask, gateway_of, post

pytestmark = pytest.mark.once

SECONDS = 30.0


class Engine:
    """A server whose engine can be stopped. Its page is vLLM's, if it has one."""

    def __init__(self) -> None:
        self.goes = asyncio.Event()
        self.goes.set()
        self.has_page = True
        self.steps = 0
        self.running = 0
        self.most = 0
        self.asked: list[dict[str, Any]] = []
        self.probes = 0

    async def models(self, _: web.Request) -> web.Response:
        self.probes += 1
        return web.Response(body=MODELS, content_type="application/json")

    async def metrics(self, _: web.Request) -> web.Response:
        if not self.has_page:
            raise web.HTTPNotFound
        page = f"vllm:num_requests_running {self.running}\nvllm:iteration_tokens_total_count {self.steps}\n"
        return web.Response(text=page)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.goes.wait()
        finally:
            self.running -= 1
        self.steps += 1
        return web.Response(body=whole().partition(b"\r\n\r\n")[2], content_type="application/json")


@pytest.fixture
async def engine() -> Engine:
    return Engine()


@pytest.fixture
async def gateway(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Gateway]:
    monkeypatch.setattr(probe, "HEALTHY_SECONDS", 0.05)
    monkeypatch.setattr(probe, "DOWN_SECONDS", 0.05)
    assert Scraper.__init__.__kwdefaults__ is not None
    monkeypatch.setitem(Scraper.__init__.__kwdefaults__, "round_seconds", 0.05)
    monkeypatch.setattr(engine_hang, "HANG_SECONDS", 1.0)
    monkeypatch.setattr(liveness, "TOKEN_SECONDS", 0.3)
    monkeypatch.setattr(liveness, "PAUSE_SECONDS", 0.1)
    app = web.Application()
    app.router.add_get("/v1/models", engine.models)
    app.router.add_get("/metrics", engine.metrics)
    app.router.add_post("/v1/chat/completions", engine.chat)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    total = getattr(request, "param", "60s")
    config = f"""
backends: {{a: {{url: "http://127.0.0.1:{runner.addresses[0][1]}", serves: served, concurrency: 2}}}}
tiers: {{instant: {{models: [fast], backends: [a], timeouts: {{first_event: 200ms, total: {total}}}}}}}
"""
    try:
        async with gateway_of(config) as running:
            yield running
    finally:
        await runner.cleanup()


def status(gateway: Gateway) -> dict[str, Any]:
    backend: dict[str, Any] = gateway.service.control.status()["backends"][0]
    return backend


async def becomes(gateway: Gateway, *states: str) -> None:
    async with asyncio.timeout(SECONDS):
        while status(gateway)["state"] not in states:
            await asyncio.sleep(0.02)


async def pages_are_read(gateway: Gateway) -> None:
    async with asyncio.timeout(SECONDS):
        while status(gateway)["engine"].get("running") is None:
            await asyncio.sleep(0.02)


async def test_an_engine_that_makes_no_step(engine: Engine, gateway: Gateway, connect: Connect) -> None:
    await pages_are_read(gateway)
    engine.goes.clear()
    first = await connect(gateway)
    await first.send(post(ask()))
    await becomes(gateway, "down")
    assert "hangs: 1 requests run, none had a token for" in status(gateway)["reason"]
    refused = await (await connect(gateway)).chat(ask())
    assert (refused.status, refused.error["code"]) == (503, "no_backend")
    # Answered probes do not bring it back, and the request for a token is never one too many.
    probes = engine.probes
    async with asyncio.timeout(SECONDS):
        while engine.probes < probes + 5 or len(engine.asked) < 3:
            await asyncio.sleep(0.02)
    assert status(gateway)["state"] == "down"
    assert (engine.asked[1]["max_tokens"], engine.asked[1]["model"]) == (1, "served")
    assert engine.most == 2
    engine.goes.set()
    assert (await first.response()).status == 200
    await becomes(gateway, "slow_start", "healthy")
    assert (await first.chat(ask())).status == 200


async def test_no_token_is_asked_for_where_no_slot_is_free(engine: Engine, gateway: Gateway, connect: Connect) -> None:
    await pages_are_read(gateway)
    engine.goes.clear()
    clients = [await connect(gateway) for _ in range(2)]
    for client in clients:
        await client.send(post(ask()))
    await becomes(gateway, "down")
    probes = engine.probes
    async with asyncio.timeout(SECONDS):
        while engine.probes < probes + 20:
            await asyncio.sleep(0.02)
    assert (engine.most, len(engine.asked)) == (2, 2)
    # That one of those that run has its answer is proof enough.
    engine.goes.set()
    await becomes(gateway, "slow_start", "healthy")
    assert [(await client.response()).status for client in clients] == [200, 200]


async def test_a_long_whole_answer_is_no_hang(engine: Engine, gateway: Gateway, connect: Connect) -> None:
    await pages_are_read(gateway)
    engine.goes.clear()
    client = await connect(gateway)
    await client.send(post(ask()))
    for _ in range(60):
        engine.steps += 1
        await asyncio.sleep(0.05)
        assert status(gateway)["state"] == "healthy"
    engine.goes.set()
    assert (await client.response()).status == 200


@pytest.mark.parametrize(
    ("gateway", "stream"), [("60s", True), ("200ms", False)], indirect=["gateway"], ids=["streams", "whole answers"]
)
async def test_an_engine_without_gauges(engine: Engine, gateway: Gateway, connect: Connect, stream: bool) -> None:
    engine.has_page = False
    engine.goes.clear()
    client = await connect(gateway)
    late = 0
    async with asyncio.timeout(SECONDS):
        while (answer := await client.chat(ask(stream=stream))).status == 504:
            late += 1
    assert late >= 3
    assert (answer.status, answer.error["code"]) == (503, "no_backend")
    assert status(gateway)["reason"] == "hangs: requests have nothing from it when their time is over"
    engine.goes.set()
    await becomes(gateway, "slow_start", "healthy")
    assert json.loads((await client.chat(ask())).body)["model"] == "fast"
