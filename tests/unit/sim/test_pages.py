"""What each engine tells about itself, under its own names."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from penstock.sim.dialects import DIALECTS

from .conftest import Running, ServerOf, ask, post

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def metrics(server: Running, *skip: str) -> Samples:
    """Return the value of every sample, by name and labels, without the labels in `skip`."""
    seen = await server.get("/metrics")
    assert seen.status == 200 and "content-type: text/plain; version=0.0.4" in seen.head
    return {
        (
            sample.name,
            tuple(sorted((key, value) for key, value in sample.labels.items() if key not in skip)),
        ): sample.value
        for family in text_string_to_metric_families(seen.body.decode())
        for sample in family.samples
    }


async def json_of(server: Running, path: str) -> Any:
    seen = await server.get(path)
    assert seen.status == 200
    return json.loads(seen.body)


async def busy(server: Running, requests: int) -> list[asyncio.StreamWriter]:
    """Send requests that never end: the batch takes what it can, the others wait, and then nothing moves."""
    writers = []
    for _ in range(requests):
        _, writer = await server.open()
        writer.write(post(ask(), x_sim_fault="hang"))
        writers.append(writer)
    batch = server.server.engine.batch
    for _ in range(1000):
        if batch.running + batch.waiting == requests and not server.server.engine.stepping:
            return writers
        await asyncio.sleep(0.01)
    raise AssertionError("the requests never came")


async def close(server: Running, writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.close()
    await server.settled()


@pytest.mark.parametrize("dialect", list(DIALECTS))
async def test_pages_of_all(server_of: ServerOf, dialect: str) -> None:
    server = await server_of(dialect=dialect, model="m", context=4096)
    assert [model["id"] for model in (await json_of(server, "/v1/models"))["data"]] == ["m"]
    assert (await server.get("/health")).status == 200
    assert (await server.get("/version")).status == (200 if dialect == "vllm" else 404)
    assert (await json_of(server, "/sim/stats"))["started"] == 0
    assert (await server.get("/nothing")).status == 404
    assert (await server.see(b"GET /v1/chat/completions HTTP/1.1\r\nconnection: close\r\n\r\n")).status == 405


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp"])
async def test_models_tell_the_context(server_of: ServerOf, dialect: str) -> None:
    (model,) = (await json_of(await server_of(dialect=dialect, context=4096), "/v1/models"))["data"]
    assert 4096 in (model.get("max_model_len"), model.get("meta", {}).get("n_ctx"))


async def test_the_context_fits_the_kv_cache(server_of: ServerOf) -> None:
    assert (await server_of(profile="8b-h100", context=10**7)).server.context == 400_000


async def test_vllm(server_of: ServerOf) -> None:
    server = await server_of(slots=2, fence=5)
    writers = await busy(server, 5)
    assert (await server.chat()).status == 503
    seen = await metrics(server, "engine", "model_name")
    assert seen["vllm:num_requests_running", ()] == 2
    assert seen["vllm:num_requests_waiting", ()] == 3
    assert seen["vllm:num_requests_waiting_by_reason", (("reason", "capacity"),)] == 3
    assert seen["vllm:num_requests_waiting_by_reason", (("reason", "deferred"),)] == 0
    assert seen["vllm:admission_rejections_total", (("reason", "max_num_queued_reqs"),)] == 1
    assert seen["vllm:kv_cache_usage_perc", ()] == server.server.engine.batch.kv_used / 400_000 > 0
    assert seen["vllm:num_preemptions_total", ()] == 0
    (config,) = [dict(labels) for name, labels in seen if name == "vllm:cache_config_info"]
    assert int(config["block_size"]) * int(config["num_gpu_blocks"]) == int(config["kv_cache_size_tokens"]) == 400_000
    await close(server, writers)


async def test_vllm_counts_what_it_did(server_of: ServerOf) -> None:
    server = await server_of()
    for _ in range(3):
        await server.chat("Say 9 words.")
    seen = await metrics(server, "engine", "model_name")
    assert seen["vllm:generation_tokens_total", ()] == 27
    assert seen["vllm:prompt_tokens_total", ()] == server.server.stats.prompt_tokens
    for name, count in (("time_to_first_token", 3), ("inter_token_latency", 24), ("request_queue_time", 3)):
        assert seen[f"vllm:{name}_seconds_count", ()] == count
        assert seen[f"vllm:{name}_seconds_bucket", (("le", "+Inf"),)] == count
        assert seen[f"vllm:{name}_seconds_sum", ()] >= 0


async def test_sglang(server_of: ServerOf) -> None:
    server = await server_of(dialect="sglang", slots=2, fence=7)
    writers = await busy(server, 5)
    used = server.server.engine.batch.kv_used
    seen = {name: value for (name, _), value in (await metrics(server)).items()}
    assert (seen["sglang:num_running_reqs"], seen["sglang:num_queue_reqs"]) == (2, 3)
    assert seen["sglang:token_usage"] == used / 400_000 and "sglang:cache_hit_rate" in seen
    (rank,) = (await json_of(server, "/v1/loads"))["loads"]
    assert (rank["num_running_reqs"], rank["num_waiting_reqs"], rank["num_used_tokens"]) == (2, 3, used)
    assert (rank["max_total_num_tokens"], rank["max_running_requests"]) == (400_000, 2)
    assert await json_of(server, "/get_load") == [
        {"dp_rank": 0, "num_reqs": 5, "num_waiting_reqs": 3, "num_tokens": used}
    ]
    info = await json_of(server, "/get_server_info")
    assert (info["max_total_num_tokens"], info["max_running_requests"], info["max_queued_requests"]) == (400_000, 2, 7)
    await close(server, writers)


async def test_llamacpp(server_of: ServerOf) -> None:
    server = await server_of(dialect="llamacpp", slots=2)
    assert (await server.get("/slots?fail_on_no_slot=1")).status == 200
    writers = await busy(server, 3)
    seen = {name: value for (name, _), value in (await metrics(server)).items()}
    assert (seen["llamacpp:requests_processing"], seen["llamacpp:requests_deferred"]) == (2, 1)
    assert (await json_of(server, "/props"))["total_slots"] == 2
    assert [slot["is_processing"] for slot in await json_of(server, "/slots")] == [True, True]
    full = await server.get("/slots?fail_on_no_slot=1")
    assert full.status == 503 and json.loads(full.body)["error"]["type"] == "unavailable_error"
    await close(server, writers)


async def test_tgi(server_of: ServerOf) -> None:
    server = await server_of(dialect="tgi", slots=2)
    writers = await busy(server, 3)
    seen = {name: value for (name, _), value in (await metrics(server)).items()}
    assert (seen["tgi_batch_current_size"], seen["tgi_queue_size"]) == (2, 1)
    assert seen["tgi_batch_current_max_tokens"] == server.server.engine.batch.kv_used
    assert seen["tgi_request_queue_duration_count"] == 2
    info = await json_of(server, "/info")
    assert info["max_concurrent_requests"] == 128 and info["router"] == "text-generation-router"
    await close(server, writers)


async def test_openai_has_no_metrics(server_of: ServerOf) -> None:
    assert (await (await server_of(dialect="openai")).get("/metrics")).status == 404
