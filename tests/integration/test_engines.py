"""What the engines say of themselves: read, used and reported, and never in the way."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp import web

from penstock.sim.server import SimServer
from tests.backend import backend_of
from tests.conftest import Gateway, gateway_of

pytestmark = pytest.mark.once

CONFIG = """
backends: {{a: {{url: "http://127.0.0.1:{port}", serves: sim, concurrency: 8, kv_tokens: auto}}}}
tiers: {{instant: {{models: [fast], backends: [a]}}}}
"""


async def metrics(gateway: Gateway) -> str:
    port = gateway.service.control.settings.admin.listen.port
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/metrics") as page:
        return await page.text()


# Each is believed on no page, and six of them are more than any JSON writer takes.
ABSURD = "".join(
    f'{name}{{engine="{rank}"}} 4e18\n'
    for name in ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:num_preemptions_total")
    for rank in range(6)
)
SANE = 'vllm:generation_tokens_total{engine="0"} 12\n'


@pytest.mark.parametrize("value", ["4e18", "9e15", "1e300", "+Inf", "NaN", "-4e18"])
async def test_absurd_gauges_do_not_reach_the_status_page(value: str) -> None:
    async def metrics_page(_: web.Request) -> web.Response:
        return web.Response(text=ABSURD.replace("4e18", value) + SANE)

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "sim"}]})

    app = web.Application()
    app.router.add_get("/metrics", metrics_page)
    app.router.add_get("/v1/models", models)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with gateway_of(CONFIG.format(port=runner.addresses[0][1])) as gateway:
            control = gateway.service.control
            while not control.engines.status(0):
                await asyncio.sleep(0.05)
            url = f"http://127.0.0.1:{control.settings.admin.listen.port}/admin/status"
            authorization = {"authorization": f"Bearer {control.settings.admin.token}"}
            async with aiohttp.ClientSession() as session, session.get(url, headers=authorization) as answer:
                assert answer.status == 200
                assert (await answer.json())["backends"][0]["engine"] == {"engine": "vllm"}
    finally:
        await runner.cleanup()


async def test_an_engine_that_does_not_tell_its_size() -> None:
    async with backend_of() as backend, gateway_of(CONFIG.format(port=backend.port)) as gateway:
        said = gateway.service.control.status()["backends"][0]["unlimited"]
        assert said == ["kv_tokens: auto, but the engine does not tell its size: no limit"]


async def test_the_kv_memory_is_learned_and_strangers_are_noticed() -> None:
    server = SimServer(speed=1.0, jitter=0.0)
    port = await server.start()
    try:
        async with gateway_of(CONFIG.format(port=port)) as gateway, aiohttp.ClientSession() as session:
            backend = gateway.numbers["backends"][0]
            while backend["kv_tokens"]["limit"] is None:
                await asyncio.sleep(0.05)
                backend = gateway.numbers["backends"][0]
            # 92 % of what the profile 8b-h100 holds, in whole blocks of 16.
            assert backend["kv_tokens"]["limit"] == 368_000
            status = gateway.service.control.status()["backends"][0]["engine"]
            assert (status["engine"], status["kv_tokens"]) == ("vllm", 400_000)
            assert gateway.service.control.status()["backends"][0]["unlimited"] == []
            # So is the room of one request, and what the engine has to do.
            while gateway.service.segment.contexts() == [None]:
                await asyncio.sleep(0.05)
            async with session.get(f"{gateway.url}/v1/models") as answer:
                (model,) = (await answer.json())["data"]
            assert (model["id"], model["max_model_len"]) == ("fast", server.context)
            page = await metrics(gateway)
            for gauge in ("running", "waiting", "kv_usage", "preemptions_total"):
                assert f'penstock_engine_{gauge}{{backend="a"}} 0.0\n' in page

            strangers = [
                asyncio.ensure_future(
                    session.post(
                        f"http://127.0.0.1:{port}/v1/chat/completions",
                        json={"model": "sim", "messages": [{"role": "user", "content": "x"}], "max_tokens": 4000,
                              "ignore_eos": True},
                    )
                )
                for _ in range(3)
            ]  # fmt: skip
            line = 'penstock_drift_total{backend="a",signal="foreign_traffic"} 1.0'
            # Three readings, a second apart; then once a minute.
            for _ in range(200):
                if line in await metrics(gateway):
                    break
                await asyncio.sleep(0.05)
            assert line in await metrics(gateway)
            for stranger in strangers:
                stranger.cancel()
            # The gate is our own count: what strangers run takes nothing from it.
            assert gateway.numbers["backends"][0]["effective_limit"] == 8
    finally:
        await server.stop()
