"""Each dialect's answers: rules that every stream keeps, and the keys of the recorded servers."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.sim.dialects import DIALECTS

from .conftest import Running, Seen, ServerOf

RECORDINGS = Path(__file__).parents[2] / "recordings"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Oslo"]}, "days": {"type": "integer"}},
            "required": ["city", "days"],
        },
    },
}
dialects = pytest.mark.parametrize("dialect", list(DIALECTS))
# TGI breaks the rules of a stream, as the real one does; it has tests of its own.
CLEAN = [dialect for dialect in DIALECTS if dialect != "tgi"]


def lint(seen: Seen, *, n: int = 1, usage: bool = False) -> None:
    """Check the order of a stream."""
    assert seen.status == 200 and seen.complete
    assert seen.lines[-1] == b"[DONE]" and seen.lines.count(b"[DONE]") == 1
    chunks = seen.chunks
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    assert [chunk["choices"] == [] for chunk in chunks] == [False] * (len(chunks) - usage) + [True] * usage
    assert all(chunk.get("usage") is None for chunk in chunks[: len(chunks) - usage])
    for index in range(n):
        mine = [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
        assert ["role" in choice["delta"] for choice in mine] == [True] + [False] * (len(mine) - 1)
        assert [choice["finish_reason"] is None for choice in mine] == [True] * (len(mine) - 1) + [False]


@pytest.mark.parametrize("dialect", CLEAN)
@pytest.mark.parametrize("usage", [False, True])
@pytest.mark.parametrize("more", [{}, {"n": 3}, {"tools": [TOOL]}, {"max_tokens": 1}, {"stop": "."}])
@pytest.mark.parametrize("reasoning", [False, True])
async def test_streams_are_clean(
    server_of: ServerOf, dialect: str, usage: bool, more: dict[str, Any], reasoning: bool
) -> None:
    server = await server_of(dialect=dialect, reasoning=reasoning)
    seen = await server.chat(stream=True, stream_options={"include_usage": usage}, **more)
    lint(seen, n=more.get("n", 1), usage=usage)
    whole = json.loads((await server.chat(**more)).body)
    deltas = [choice["delta"] for chunk in seen.chunks for choice in chunk["choices"] if choice["index"] == 0]
    message = whole["choices"][0]["message"]
    assert "".join(delta.get("content") or "" for delta in deltas) == (message.get("content") or "")
    assert seen.finishes == [choice["finish_reason"] for choice in whole["choices"]]
    if usage:
        counted = seen.chunks[-1]["usage"]
        assert counted["completion_tokens"] == whole["usage"]["completion_tokens"]
        assert counted["total_tokens"] == counted["prompt_tokens"] + counted["completion_tokens"]
    await server.settled()


@dialects
async def test_a_token_is_an_event(server_of: ServerOf, dialect: str) -> None:
    seen = await (await server_of(dialect=dialect)).chat(
        "Say 30 words.", stream=True, stream_options={"include_usage": True}
    )
    pieces = [choice["delta"].get("content") for chunk in seen.chunks for choice in chunk["choices"]]
    assert len([piece for piece in pieces if piece]) == 30 == seen.chunks[-1]["usage"]["completion_tokens"]


@pytest.mark.parametrize(
    ("dialect", "key"), [("vllm", "reasoning"), ("llamacpp", "reasoning_content"), ("sglang", "reasoning_content")]
)
async def test_reasoning_comes_first(server_of: ServerOf, dialect: str, key: str) -> None:
    seen = await (await server_of(dialect=dialect, reasoning=True)).chat(stream=True)
    kinds = [
        "thought" if choice["delta"].get(key) else "text"
        for chunk in seen.chunks
        for choice in chunk["choices"]
        if choice["delta"].get(key) or choice["delta"].get("content")
    ]
    assert kinds == sorted(kinds, reverse=True) and set(kinds) == {"thought", "text"}


def recorded(server: str, name: str) -> Seen:
    return Seen((RECORDINGS / server / f"{name}.raw").read_bytes(), "eof")


def shape(value: Any) -> Any:
    """Return the keys of a value, in order, and the kinds of what they hold."""
    if isinstance(value, dict):
        return [(key, shape(part)) for key, part in value.items() if key not in ("timings", "permission")]
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


@pytest.mark.parametrize(("dialect", "folder"), [("vllm", "vllm-0.32.0"), ("llamacpp", "llama-server-b11549")])
async def test_shapes_are_the_recorded_ones(server_of: ServerOf, dialect: str, folder: str) -> None:
    server = await server_of(dialect=dialect, context=2048)
    assert shape(json.loads((await server.chat()).body)) == shape(json.loads(recorded(folder, "chat").body))
    for name, more in (("chat-stream", {}), ("chat-stream-usage", {"stream_options": {"include_usage": True}})):
        seen = await server.chat("Say 12 words.", stream=True, **more)
        assert list(map(shape, seen.chunks)) == list(map(shape, recorded(folder, name).chunks))
    for name, request in (
        ("err-too-long", {"content": "river " * 20_000}),
        ("err-too-long-stream", {"content": "river " * 20_000, "stream": True}),
        ("err-param", {"temperature": "hot"}),
    ):
        ours, theirs = await server.chat(**request), recorded(folder, name)
        assert (ours.status, shape(json.loads(ours.body))) == (theirs.status, shape(json.loads(theirs.body)))


async def test_vllm_knows_its_model(server_of: ServerOf) -> None:
    server = await server_of()
    ours, theirs = await server.chat(model="nope"), recorded("vllm-0.32.0", "err-model")
    assert (ours.status, shape(json.loads(ours.body))) == (404, shape(json.loads(theirs.body)))


async def test_llamacpp_answers_for_any_model(server_of: ServerOf) -> None:
    server = await server_of(dialect="llamacpp")
    assert (await server.chat(model="nope")).status == recorded("llama-server-b11549", "err-model").status == 200


async def chunk_sizes(server: Running) -> int:
    """Return how many events came in the first HTTP chunk."""
    seen = await server.chat(stream=True)
    size, _, left = seen.rest.partition(b"\r\n")
    return left[: int(size, 16)].count(b"data: ")


async def test_role_and_first_token_share_a_chunk_only_in_llamacpp(server_of: ServerOf) -> None:
    assert await chunk_sizes(await server_of(dialect="vllm")) == 1
    assert await chunk_sizes(await server_of(dialect="llamacpp")) == 2


async def test_tgi_has_its_recorded_shapes(server_of: ServerOf) -> None:
    server = await server_of(dialect="tgi", context=2048)
    usage = {"include_usage": True}
    for name, content, more in (
        ("chat-end", "Say 9 words.", {}),
        ("tool-forced", "Weather?", {"tools": [TOOL], "tool_choice": "required"}),
        ("n-2", "Say 9 words.", {"n": 2}),
        ("err-too-long", "river " * 20_000, {}),
    ):
        ours, theirs = await server.chat(content, **more), recorded("tgi-3.3.6", name)
        assert (ours.status, shape(json.loads(ours.body))) == (theirs.status, shape(json.loads(theirs.body)))
    for name, content, more in (
        ("chat-end-stream", "Say 9 words.", {}),
        ("chat-end-stream-usage", "Say 9 words.", {"stream_options": usage}),
        ("err-too-long-stream", "river " * 20_000, {}),
    ):
        ours, theirs = await server.chat(content, stream=True, **more), recorded("tgi-3.3.6", name)
        assert list(map(shape, ours.chunks)) == list(map(shape, theirs.chunks))
        assert ours.status == 200 and ours.lines[-1] == b"[DONE]" == theirs.lines[-1]
    assert (await server.chat(model="nope")).status == 200


async def test_tgi_swallows_the_end_of_a_tool_call(server_of: ServerOf) -> None:
    ours = await (await server_of(dialect="tgi")).chat(stream=True, tools=[TOOL], tool_choice="required")
    theirs = recorded("tgi-3.3.6", "tool-forced-stream")
    assert ours.finishes == theirs.finishes == [] and ours.lines[-1] == b"[DONE]"
    assert shape(ours.chunks[1]) == shape(theirs.chunks[1])
    calls = [chunk["choices"][0]["delta"]["tool_calls"][0]["function"] for chunk in ours.chunks]
    assert json.loads("".join(call["arguments"] for call in calls)) == {"city": "Paris", "days": 1}


async def test_tgi_has_its_recorded_manners(server_of: ServerOf) -> None:
    server = await server_of(dialect="tgi")
    unread, theirs = await server.chat(messages=None), recorded("tgi-3.3.6", "err-no-messages")
    assert unread.status == theirs.status == 422 and "text/plain" in unread.head and "text/plain" in theirs.head
    failed, theirs = (
        await server.chat(stream=True, fault="error-first-event"),
        recorded("tgi-3.3.6", "fail-first-stream"),
    )
    assert failed.status == theirs.status == 200 and failed.lines[-1] == theirs.lines[-1] == b"[DONE]"
    assert shape(failed.chunks[-1]) == shape(theirs.chunks[-1])


async def test_sglang_words_errors_flat(server_of: ServerOf) -> None:
    server = await server_of(dialect="sglang")
    refused = json.loads((await server.chat(max_tokens=0)).body)
    assert (refused["object"], refused["param"], refused["code"]) == ("error", "max_tokens", 400)
    seen = await server.chat(stream=True, fault="error-first-event")
    assert seen.chunks[0]["error"]["object"] == "error" and seen.lines[-1] == b"[DONE]"
