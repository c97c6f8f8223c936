"""Whether backends are there, and what follows from it: busy is not down, and ready is who has been ready once."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from penstock.upstream import dialer, probe
from penstock.upstream.dialer import SocketAddress
from tests.backend import MODELS, chunk, whole
from tests.conftest import Connect, Gateway, ask, gateway_of, post

pytestmark = pytest.mark.once

SECONDS = 20.0


class Engine:
    """A model server that may have no time for probes."""

    def __init__(self) -> None:
        self.has_time = asyncio.Event()
        self.has_time.set()
        self.unanswered = 0
        # The names that requests have asked for.
        self.asked: list[str] = []

    async def models(self, _: web.Request) -> web.Response:
        if not self.has_time.is_set():
            self.unanswered += 1
            await self.has_time.wait()
        return web.Response(body=MODELS, content_type="application/json")

    async def chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.asked.append(body["model"])
        if not body.get("stream"):
            return web.Response(body=whole().partition(b"\r\n\r\n")[2], content_type="application/json")
        stream = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await stream.prepare(request)
        while True:
            await stream.write(b"data: " + chunk({"content": "a"}) + b"\n\n")
            await asyncio.sleep(0.02)


@pytest.fixture
async def engine() -> Engine:
    return Engine()


@pytest.fixture
async def port(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Where the engine listens."""
    monkeypatch.setattr(probe, "HEALTHY_SECONDS", 0.05)
    monkeypatch.setattr(probe, "DOWN_SECONDS", 0.05)
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.5)
    app = web.Application()
    app.router.add_get("/v1/models", engine.models)
    app.router.add_post("/v1/chat/completions", engine.chat)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@pytest.fixture
async def gateway(port: int) -> AsyncIterator[Gateway]:
    config = f"""
backends: {{a: {{url: "http://127.0.0.1:{port}", serves: served, concurrency: 4}}}}
tiers: {{instant: {{models: [fast], backends: [a]}}}}
"""
    async with gateway_of(config) as running:
        yield running


async def test_a_busy_backend_stays(engine: Engine, gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    engine.has_time.clear()
    async with asyncio.timeout(SECONDS):
        while engine.unanswered < 6:
            assert (await raw.chat(ask())).status == 200
            assert gateway.numbers["backends"][0]["state"] == "healthy"
            await asyncio.sleep(0.02)


async def test_a_backend_that_streams_stays(engine: Engine, gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    await raw.send(post(ask(stream=True)))
    await raw.reader.readuntil(b'"a"')
    engine.has_time.clear()
    async with asyncio.timeout(SECONDS):
        while engine.unanswered < 6:
            assert gateway.numbers["backends"][0]["state"] == "healthy"
            await raw.reader.readuntil(b'"a"')


async def test_a_silent_backend_goes(engine: Engine, gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    assert (await raw.chat(ask())).status == 200
    engine.has_time.clear()
    async with asyncio.timeout(SECONDS):
        while gateway.numbers["backends"][0]["state"] != "down":
            await asyncio.sleep(0.02)
    assert engine.unanswered == 3
    assert gateway.service.control.status()["backends"][0]["reason"] == "no answer within 0.5 s"
    # The first probe that is answered brings it back.
    engine.has_time.set()
    await gateway.ready()
    assert (await raw.chat(ask())).status == 200


async def test_no_request_goes_to_a_backend_whose_model_has_no_name_yet(
    engine: Engine, port: int, connect: Connect
) -> None:
    config = f"""
backends:
  a: {{url: "http://127.0.0.1:{port}", concurrency: 4}}
  b: {{url: "http://127.0.0.1:{port}", concurrency: 4}}
tiers: {{instant: {{models: [fast], backends: [a, b]}}}}
"""
    engine.has_time.clear()
    async with gateway_of(config, wait=False) as gateway:
        raw = await connect(gateway)
        for _ in range(3):
            refused = await raw.chat(ask())
            assert (refused.status, refused.error["code"]) == (503, "no_backend")
            assert int(refused.headers["retry-after"]) >= 1
        status = gateway.service.control.status()["backends"]
        assert [backend["state"] for backend in status] == ["down", "down"]
        assert [backend["reason"] for backend in status] == ["not probed yet", "not probed yet"]
        engine.has_time.set()
        await gateway.ready()
        assert (await raw.chat(ask())).status == 200
    assert engine.asked == ["served"]


async def test_a_first_address_that_swallows_every_packet_hides_no_second(
    port: int, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def resolve(host: str, at: int) -> list[SocketAddress]:
        assert (host, at) == ("engine.test", port)
        return [SocketAddress(socket.AF_INET, ("127.0.0.2", at)), SocketAddress(socket.AF_INET, ("127.0.0.1", at))]

    monkeypatch.setattr(dialer, "resolve", resolve)
    config = f"""
backends: {{a: {{url: "http://engine.test:{port}", serves: served, concurrency: 4}}}}
tiers: {{instant: {{models: [fast], backends: [a], timeouts: {{connect: 10s}}}}}}
"""
    with socket.socket() as swallowing:
        # A full queue that nobody accepts from answers to no SYN.
        swallowing.bind(("127.0.0.2", port))
        swallowing.listen(0)
        with socket.create_connection(("127.0.0.2", port)):
            async with gateway_of(config) as gateway:
                raw = await connect(gateway)
                began = time.monotonic()
                assert (await raw.chat(ask())).status == 200
                assert time.monotonic() - began < 2.5, "the second address has its turn after 0.25 s"
                assert gateway.numbers["backends"][0]["state"] == "healthy"


async def test_ready_remembers_that_every_tier_was() -> None:
    config = """
backends:
  a: {url: "http://127.0.0.1:1", serves: served, concurrency: 4}
  b: {url: "http://127.0.0.1:1", serves: served, concurrency: 4}
tiers:
  instant: {models: [fast], backends: [a]}
  thinking: {models: [slow], backends: [b]}
"""
    async with gateway_of(config, wait=False) as gateway:
        await gateway.service.control.prober.stop()
        core, health = gateway.service.segment, gateway.service.worker.health
        core.set_backend(0, "healthy")
        assert health.ready()[1] == {"status": "starting"}
        core.set_backend(0, "down")
        core.set_backend(1, "healthy")
        assert health.ready() == (200, {"status": "ok"})
        core.set_backend(1, "down")
        assert health.ready() == (503, {"status": "no backend"})
