"""Both tiers on the real llama.cpp server with a real model, through the official SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from penstock.engines.embedded import EmbeddedEngine
from tests.conftest import Connect, Gateway, ask, gateway_of, post

pytestmark = pytest.mark.timeout(180)

QUESTION: list[Any] = [{"role": "user", "content": "Name three rivers."}]


@pytest.fixture
async def engine() -> AsyncIterator[str]:
    server = EmbeddedEngine("smol", slots=2, context=4096)
    url = await server.start()
    yield url
    await server.stop()


@pytest.fixture
async def gateway(engine: str) -> AsyncIterator[Gateway]:
    config = f"""
backends:
  real: {{url: "{engine}", concurrency: 2}}
tiers:
  instant: {{models: [instant-model], backends: [real], queue: {{wait: 60s}}, timeouts: {{first_event: 60s}}}}
  thinking: {{models: [thinking-model], backends: [real]}}
"""
    async with gateway_of(config) as running:
        yield running


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0, timeout=60) as sdk:
        yield sdk


@pytest.mark.parametrize("model", ["instant-model", "thinking-model"])
async def test_real_text_whole_and_streamed(client: AsyncOpenAI, gateway: Gateway, model: str) -> None:
    options: Any = {"model": model, "messages": QUESTION, "max_tokens": 24, "temperature": 0}
    whole = await client.chat.completions.create(**options)
    assert whole.model == model
    text = whole.choices[0].message.content
    assert text
    stream = await client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    streamed = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert streamed == text, "temperature 0: the same words either way"
    assert {chunk.model for chunk in chunks} == {model}
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    await gateway.settled()


async def test_real_completions_whole_and_streamed(client: AsyncOpenAI, gateway: Gateway) -> None:
    options: Any = {
        "model": "instant-model",
        "prompt": ["Once upon a", "One, two,"],
        "max_tokens": 12,
        "temperature": 0,
    }
    whole = await client.completions.create(**options)
    texts = {choice.index: choice.text for choice in whole.choices}
    assert set(texts) == {0, 1} and all(texts.values())
    # Of several prompts this server counts one.
    assert whole.usage is not None and whole.usage.completion_tokens >= 12
    stream = await client.completions.create(**{**options, "prompt": "Once upon a"}, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices) == texts[0]
    assert {(chunk.model, chunk.object) for chunk in chunks} == {("instant-model", "text_completion")}
    await gateway.settled()


async def test_a_history_with_tool_messages(client: AsyncOpenAI) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "rivers", "arguments": '{"count": 1}'}}
    history: list[Any] = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rhine"},
        {"role": "user", "content": "Thank you. Name another."},
    ]
    answer = await client.chat.completions.create(model="instant-model", messages=history, max_tokens=16, temperature=0)
    assert answer.choices[0].message.content


async def test_context_overflow_has_its_code(client: AsyncOpenAI) -> None:
    long: list[Any] = [{"role": "user", "content": "river " * 20_000}]
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as overflow:
            await client.chat.completions.create(model="instant-model", messages=long, stream=stream)
        assert overflow.value.code == "context_length_exceeded"


async def test_logprobs_and_json_pass_through(client: AsyncOpenAI) -> None:
    # One allowed answer, so that a very small model cannot lose itself in blanks.
    form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"const": "Rhine"}, "strict": True}}
    answer = await client.chat.completions.create(
        model="instant-model", messages=QUESTION, response_format=form, max_tokens=30, logprobs=True, top_logprobs=2
    )
    assert json.loads(answer.choices[0].message.content or "") == "Rhine"
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.content


async def test_the_engine_never_sees_more_than_the_limit(gateway: Gateway, connect: Connect) -> None:
    peak = 0
    stop = asyncio.Event()

    async def watch() -> None:
        nonlocal peak
        while not stop.is_set():
            backend = gateway.numbers["backends"][0]
            peak = max(peak, backend["inflight"])
            await asyncio.sleep(0.005)

    watcher = asyncio.create_task(watch())
    clients = [await connect(gateway) for _ in range(8)]
    body = ask(model="instant-model", max_tokens=8)
    responses = await asyncio.gather(*(raw.chat(body) for raw in clients))
    stop.set()
    await watcher
    assert {response.status for response in responses} == {200}
    assert peak == 2
    await gateway.settled()


async def test_a_client_that_leaves_frees_the_engine(gateway: Gateway, connect: Connect) -> None:
    """The engine notices the half-close and stops; the permit comes back with its own close."""
    for stream in (True, False):
        raw = await connect(gateway)
        body = ask("Tell me a long story.", model="instant-model", max_tokens=1500, ignore_eos=True, stream=stream)
        await raw.send(post(body))
        if stream:
            await raw.head()
        else:
            await asyncio.sleep(0.5)
        raw.abort()
        sums = await gateway.settled(seconds=5)
        assert sums["running"] == 0
    assert gateway.numbers["client_aborts"] == 2


async def test_whole_answers_as_streams(engine: str, connect: Connect) -> None:
    """`stream_whole` changes nothing for clients, and the engine stops as fast as a stream when one leaves."""
    config = f"""
backends:
  asked: {{url: "{engine}", concurrency: 2, abort_grace: 20s}}
  streamed: {{url: "{engine}", concurrency: 2, abort_grace: 20s, stream_whole: true}}
tiers:
  a: {{models: [asked], backends: [asked], timeouts: {{first_event: 60s}}}}
  b: {{models: [streamed], backends: [streamed], timeouts: {{first_event: 60s}}}}
"""
    async with gateway_of(config) as gateway:
        raw = await connect(gateway)
        options: dict[str, Any] = {"max_tokens": 24, "temperature": 0, "seed": 1, "logprobs": True, "top_logprobs": 2}
        for more in ({}, {"n": 2}):
            answers = []
            for model in ("asked", "streamed"):
                response = await raw.chat(ask(model=model, **options, **more))
                assert response.status == 200, response.body
                answers.append(response.value)
            own, ours = answers
            assert set(ours) == set(own)
            assert len(ours["choices"]) == len(own["choices"])
            for mine, theirs in zip(ours["choices"], own["choices"], strict=True):
                assert set(mine) == set(theirs)
                assert mine["message"] == theirs["message"]
                assert mine["finish_reason"] == theirs["finish_reason"]
                tokens = [[token["token"] for token in one["logprobs"]["content"]] for one in (mine, theirs)]
                assert tokens[0] == tokens[1]
            for count in ("prompt_tokens", "completion_tokens"):
                assert ours["usage"][count] == own["usage"][count]
        fastest = 5.0
        for _ in range(3):
            raw = await connect(gateway)
            await raw.send(post(ask("Tell me a long story.", model="streamed", max_tokens=1500, ignore_eos=True)))
            await asyncio.sleep(1)
            left = asyncio.get_running_loop().time()
            raw.abort()
            await gateway.settled(seconds=5)
            fastest = min(fastest, asyncio.get_running_loop().time() - left)
        # A stream ends within some 10 ms where the machine has time for it; a whole answer takes a second.
        assert fastest < 0.5
        assert gateway.numbers["client_aborts"] == 3
