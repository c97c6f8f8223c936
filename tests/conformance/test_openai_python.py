"""The official Python SDK against the gateway, in front of the simulated engine in each of its dialects."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from penstock.sim import INSTANT, SimServer
from tests.conftest import Gateway, gateway_of

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
QUESTION: list[Any] = [{"role": "user", "content": "Name three rivers."}]


@pytest.fixture(params=["vllm", "llamacpp", "openai"])
async def started(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SimServer, int]]:
    server = SimServer(dialect=request.param, model="served", speed=INSTANT)
    port = await server.start()
    yield server, port
    await server.stop()


@pytest.fixture
def engine(started: tuple[SimServer, int]) -> SimServer:
    return started[0]


@pytest.fixture
async def gateway(started: tuple[SimServer, int]) -> AsyncIterator[Gateway]:
    config = f"""
backends:
  a: {{url: "http://127.0.0.1:{started[1]}/v1", concurrency: 8}}
tiers:
  instant:
    models: [instant-model, "org/instant"]
    backends: [a]
    parameters: {{default: {{max_tokens: 50}}, max_tokens: 100}}
"""
    async with gateway_of(config) as running:
        yield running


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


async def test_whole(client: AsyncOpenAI, gateway: Gateway) -> None:
    raw = await client.chat.completions.with_raw_response.create(model="instant-model", messages=QUESTION)
    completion = raw.parse()
    assert completion.model == "instant-model"
    assert completion.object == "chat.completion"
    assert completion.id.startswith("chatcmpl-")
    assert completion.choices[0].message.content
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens
    assert raw.headers["x-penstock-tier"] == "instant"
    assert raw.headers["x-penstock-backend"] == "a"
    assert raw.headers["server-timing"].startswith("queue;dur=")
    assert "server" not in raw.headers
    await gateway.settled()


@pytest.mark.parametrize("include_usage", [True, False])
async def test_stream(client: AsyncOpenAI, gateway: Gateway, include_usage: bool) -> None:
    options: Any = {"stream_options": {"include_usage": True}} if include_usage else {}
    stream = await client.chat.completions.create(model="org/instant", messages=QUESTION, stream=True, **options)
    chunks = [chunk async for chunk in stream]
    assert {chunk.model for chunk in chunks} == {"org/instant"}
    assert len({chunk.id for chunk in chunks}) == len({chunk.created for chunk in chunks}) == 1
    roles = [choice.delta.role for chunk in chunks for choice in chunk.choices if choice.delta.role]
    assert roles == ["assistant"]
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    assert len(reasons) == 1
    usages = [chunk.usage for chunk in chunks if chunk.usage is not None]
    assert len(usages) == int(include_usage)
    if include_usage:
        assert chunks[-1].choices == []
    await gateway.settled()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["auto", "required", {"type": "function", "function": {"name": "get_weather"}}])
async def test_a_whole_tool_round_trip(client: AsyncOpenAI, stream: bool, choice: Any) -> None:
    messages = [*QUESTION]
    call_id, name, arguments = await ask_for_call(client, messages, stream, choice)
    assert name == "get_weather"
    assert json.loads(arguments)["city"] in ("Paris", "Oslo")
    function = {"name": name, "arguments": arguments}
    messages += [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": "Rain, 7 degrees."},
    ]
    answer = await client.chat.completions.create(model="instant-model", messages=messages, tools=[WEATHER])
    assert "Rain, 7 degrees." in (answer.choices[0].message.content or "")


async def ask_for_call(client: AsyncOpenAI, messages: list[Any], stream: bool, choice: Any) -> tuple[str, str, str]:
    if not stream:
        completion = await client.chat.completions.create(
            model="instant-model", messages=messages, tools=[WEATHER], tool_choice=choice
        )
        calls = completion.choices[0].message.tool_calls
        assert calls is not None
        assert calls[0].type == "function"
        return calls[0].id, calls[0].function.name, calls[0].function.arguments
    # The helper assembles the fragments, and is strict about their form.
    async with client.chat.completions.stream(
        model="instant-model", messages=messages, tools=[WEATHER], tool_choice=choice
    ) as events:
        async for _ in events:
            pass
        message = (await events.get_final_completion()).choices[0].message
    assert message.tool_calls is not None
    call = message.tool_calls[0]
    return call.id, call.function.name, call.function.arguments


async def test_two_choices(client: AsyncOpenAI) -> None:
    completion = await client.chat.completions.create(model="instant-model", messages=QUESTION, n=2)
    assert [choice.index for choice in completion.choices] == [0, 1]
    stream = await client.chat.completions.create(model="instant-model", messages=QUESTION, n=2, stream=True)
    finished = [c.index async for chunk in stream for c in chunk.choices if c.finish_reason]
    assert sorted(finished) == [0, 1]


@pytest.mark.parametrize(("asked", "got"), [({}, 50), ({"max_tokens": 7}, 7), ({"max_completion_tokens": 9}, 9)])
async def test_the_length_cap(client: AsyncOpenAI, asked: Any, got: int) -> None:
    long: list[Any] = [{"role": "user", "content": "Say 90 words."}]
    completion = await client.chat.completions.create(model="instant-model", messages=long, **asked)
    assert completion.choices[0].finish_reason == "length"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == got


async def test_above_the_cap_is_clamped_with_a_warning(client: AsyncOpenAI) -> None:
    long: list[Any] = [{"role": "user", "content": "Say 200 words."}]
    raw = await client.chat.completions.with_raw_response.create(model="instant-model", messages=long, max_tokens=1000)
    assert raw.headers["x-penstock-warning"] == "max_tokens=capped"
    usage = raw.parse().usage
    assert usage is not None
    assert usage.completion_tokens == 100


async def test_models(client: AsyncOpenAI) -> None:
    models = [model async for model in client.models.list()]
    assert {model.id for model in models} == {"instant-model", "org/instant"}
    assert {model.owned_by for model in models} == {"penstock"}
    assert (await client.models.retrieve("org/instant")).id == "org/instant"
    with pytest.raises(openai.NotFoundError):
        await client.models.retrieve("nope")


async def test_errors_have_the_sdk_s_classes(client: AsyncOpenAI, engine: SimServer, gateway: Gateway) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await client.chat.completions.create(model="nope", messages=QUESTION)
    assert missing.value.code == "model_not_found"
    assert missing.value.param == "model"
    with pytest.raises(openai.BadRequestError) as bad:
        await client.chat.completions.create(model="instant-model", messages=[])
    assert bad.value.code == "invalid_value"
    engine.fault = "eof-mid-stream"  # type: ignore[assignment]
    stream = await client.chat.completions.create(model="instant-model", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError) as cut:
        async for _ in stream:
            pass
    assert cut.value.code == "upstream_truncated"
    await gateway.settled()
