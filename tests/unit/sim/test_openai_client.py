"""The official client against the simulator: whole, streamed, a tool round trip, and its errors."""

import json
from typing import Any

import openai
import pytest

from .conftest import ServerOf
from .test_dialects import CLEAN, TOOL

pytestmark = pytest.mark.parametrize("dialect", CLEAN)
QUESTION: list[Any] = [{"role": "user", "content": "Say 25 words."}]


def client_of(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0)


async def test_whole(server_of: ServerOf, dialect: str) -> None:
    server = await server_of(dialect=dialect)
    async with client_of(server.url) as client:
        answer = await client.chat.completions.create(model="sim", messages=QUESTION, n=2)
        names = [model.id async for model in client.models.list()]
    assert [len((choice.message.content or "").split()) for choice in answer.choices] == [25, 25]
    assert answer.choices[0].message.content != answer.choices[1].message.content
    assert answer.usage is not None and answer.usage.completion_tokens == 50
    assert names == ["sim"]


async def test_stream(server_of: ServerOf, dialect: str) -> None:
    server = await server_of(dialect=dialect)
    options: Any = {"include_usage": True}
    async with client_of(server.url) as client:
        stream = await client.chat.completions.create(
            model="sim", messages=QUESTION, n=2, max_tokens=7, stream=True, stream_options=options
        )
        chunks = [chunk async for chunk in stream]
    for index in (0, 1):
        choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert len("".join(choice.delta.content or "" for choice in choices).split()) == 7
        assert choices[-1].finish_reason == "length"
    assert chunks[-1].usage is not None and chunks[-1].usage.completion_tokens == 14


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", [None, "auto", "required", {"type": "function", "function": {"name": "get_time"}}])
async def test_tool_round_trip(server_of: ServerOf, dialect: str, stream: bool, choice: Any) -> None:
    clock = {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}}
    tools: Any = [TOOL, clock]
    more: dict[str, Any] = {"tools": tools} if choice is None else {"tools": tools, "tool_choice": choice}
    server = await server_of(dialect=dialect)
    async with client_of(server.url) as client:
        if stream:
            async with client.chat.completions.stream(model="sim", messages=QUESTION, **more) as events:
                first = (await events.get_final_completion()).choices[0]
        else:
            first = (await client.chat.completions.create(model="sim", messages=QUESTION, **more)).choices[0]
        assert first.message.tool_calls is not None
        (call,) = first.message.tool_calls
        assert call.type == "function"
        named = isinstance(choice, dict)
        assert first.finish_reason == ("stop" if named and dialect in ("vllm", "openai") else "tool_calls")
        assert call.function.name == ("get_time" if named else "get_weather")
        assert json.loads(call.function.arguments) == ({} if named else {"city": "Paris", "days": 1})
        history: list[Any] = [
            *QUESTION,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "18 degrees,  light rain"},
        ]
        second = (await client.chat.completions.create(model="sim", messages=history, **more)).choices[0]
    assert second.finish_reason == "stop" and second.message.tool_calls is None
    assert f"The tool {call.function.name} answered: 18 degrees,  light rain" in (second.message.content or "")


async def test_errors(server_of: ServerOf, dialect: str) -> None:
    server = await server_of(dialect=dialect, context=100)
    async with client_of(server.url) as client:
        create = client.chat.completions.create
        with pytest.raises(openai.BadRequestError, match="context"):
            await create(model="sim", messages=[{"role": "user", "content": "river " * 100}])
        any_model = dialect in ("llamacpp", "sglang")
        if not any_model:
            with pytest.raises(openai.NotFoundError):
                await create(model="other", messages=QUESTION)
        with pytest.raises(openai.RateLimitError) as limited:
            await create(model="sim", messages=QUESTION, extra_headers={"x-sim-fault": "status-429"})
        assert limited.value.response.headers["retry-after"] == "2"
        with pytest.raises(openai.InternalServerError):
            await create(model="sim", messages=QUESTION, extra_headers={"x-sim-fault": "status-503-loading"})
        with pytest.raises(openai.APIError, match="engine died"):
            stream = await create(
                model="sim", messages=QUESTION, stream=True, extra_headers={"x-sim-fault": "error-mid-stream"}
            )
            _ = [chunk async for chunk in stream]
    assert server.server.stats.refused == (3 if any_model else 4)
