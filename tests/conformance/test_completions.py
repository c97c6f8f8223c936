"""``/v1/completions`` through the official Python SDK and as bytes, in front of the simulated engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest
from openai import AsyncOpenAI

from penstock.sim import INSTANT, SimServer
from penstock.sim.faults import Fault
from tests.conftest import Connect, Gateway, gateway_of, post

PATH = "/v1/completions"
ASKED: dict[str, Any] = {"model": "instant-model", "prompt": "Name three rivers.", "max_tokens": 12}


@pytest.fixture(params=["openai", "vllm"])
async def started(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SimServer, int]]:
    server = SimServer(dialect=request.param, model="served", speed=INSTANT)
    port = await server.start()
    yield server, port
    await server.stop()


@pytest.fixture
async def gateway(started: tuple[SimServer, int]) -> AsyncIterator[Gateway]:
    config = f"""
backends:
  a: {{url: "http://127.0.0.1:{started[1]}/v1", concurrency: 4}}
tiers:
  instant: {{models: [instant-model], backends: [a], parameters: {{max_tokens: 100}}}}
"""
    async with gateway_of(config) as running:
        yield running


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


@pytest.fixture
def engine(started: tuple[SimServer, int]) -> SimServer:
    return started[0]


async def test_whole(client: AsyncOpenAI, gateway: Gateway) -> None:
    raw = await client.completions.with_raw_response.create(**ASKED)
    completion = raw.parse()
    assert (completion.model, completion.object) == ("instant-model", "text_completion")
    assert completion.id.startswith("cmpl-")
    assert completion.choices[0].text
    assert completion.choices[0].finish_reason in ("stop", "length")
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 5
    assert raw.headers["x-penstock-tier"] == "instant"
    await gateway.settled()
    assert gateway.requests() == {("ok", "-D"): 1}


@pytest.mark.parametrize("include_usage", [False, True])
async def test_stream(client: AsyncOpenAI, gateway: Gateway, *, include_usage: bool) -> None:
    whole = (await client.completions.create(**ASKED)).choices[0].text
    options = {"include_usage": include_usage}
    stream = await client.completions.create(**ASKED, stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    assert {(chunk.model, chunk.object) for chunk in chunks} == {("instant-model", "text_completion")}
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[0].id.startswith("cmpl-")
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == whole
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [include_usage]
    await gateway.settled()
    # Counted whether or not the client wanted to know.
    assert (gateway.numbers["prompt_tokens"], gateway.numbers["output_tokens"]) == (10, 24)


@pytest.mark.parametrize("prompt", [["a", "b", "c"], [[1, 2], [3], [4]]])
async def test_many_prompts_at_once(client: AsyncOpenAI, engine: SimServer, prompt: Any) -> None:
    # Six choices on a backend of four slots.
    asked = {**ASKED, "prompt": prompt, "n": 2}
    whole = await client.completions.create(**asked)
    assert sorted(choice.index for choice in whole.choices) == list(range(6))
    stream = await client.completions.create(**asked, stream=True)
    texts: dict[int, str] = {}
    async for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
    assert texts == {choice.index: choice.text for choice in whole.choices}
    assert engine.stats.started == 2


async def test_tokens_are_a_prompt(client: AsyncOpenAI) -> None:
    completion = await client.completions.create(**{**ASKED, "prompt": [1, 2, 3]})
    assert completion.usage is not None
    assert completion.usage.prompt_tokens == 3


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a", 1]}, "prompt[1]"),
        ({"n": 5}, "n"),
        ({"prompt": ["a", "b"], "best_of": 5}, "best_of"),
        ({"logprobs": "x"}, "logprobs"),
    ],
)
async def test_what_is_wrong_names_its_parameter(
    client: AsyncOpenAI, engine: SimServer, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.completions.create(**ASKED | more)
    assert caught.value.param == param
    assert engine.stats.started == 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [Fault.EOF_MID_STREAM, Fault.RESET_MID_STREAM, Fault.ERROR_MID_STREAM])
async def test_a_broken_answer_is_an_error(
    client: AsyncOpenAI, engine: SimServer, gateway: Gateway, fault: Fault, *, stream: bool
) -> None:
    engine.fault = fault
    with pytest.raises(openai.APIError) as caught:
        answer: Any = await client.completions.create(**ASKED, stream=stream)
        async for _ in answer:
            pass
    assert str(caught.value.code).startswith("upstream_")
    await gateway.settled()


async def test_json_for_a_stream_becomes_one(client: AsyncOpenAI, engine: SimServer) -> None:
    whole = (await client.completions.create(**ASKED)).choices[0].text
    engine.fault = Fault.JSON_FOR_STREAM
    stream = await client.completions.create(**ASKED, stream=True)
    assert "".join([choice.text async for chunk in stream for choice in chunk.choices]) == whole


async def test_who_leaves_stops_the_engine(client: AsyncOpenAI, engine: SimServer, gateway: Gateway) -> None:
    engine.engine._speed = 1.0
    stream = await client.completions.create(**ASKED | {"prompt": "Say 500 words", "max_tokens": 100}, stream=True)
    await anext(aiter(stream))
    await stream.close()
    await gateway.settled()
    for _ in range(200):
        if engine.stats.running == 0:
            break
        await asyncio.sleep(0.01)
    assert engine.stats.running == 0


async def test_the_path_has_the_rules_of_the_others(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    for request, status, code in (
        (post(orjson.dumps(ASKED), PATH, content_type="text/plain"), 415, "unsupported_media_type"),
        (f"GET {PATH} HTTP/1.1\r\nhost: x\r\n\r\n".encode(), 405, "method_not_allowed"),
        (post(orjson.dumps(ASKED), PATH + "/"), 404, "unknown_url"),
        (post(b"{", PATH), 400, "invalid_json"),
        (post(orjson.dumps(ASKED | {"model": "none"}), PATH), 404, "model_not_found"),
    ):
        await raw.send(request)
        response = await raw.response()
        assert (response.status, response.error["code"]) == (status, code)
    await raw.send(post(orjson.dumps(ASKED), PATH))
    assert (await raw.response()).status == 200
