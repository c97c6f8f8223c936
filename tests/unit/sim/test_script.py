"""What the model says, and the arguments it makes up."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from penstock.sim.arguments import value_for
from penstock.sim.request import ChatRequest
from penstock.sim.script import plan

from .conftest import ask


def said(content: str = "Tell me.", seed: int = 0, choice: int = 0, room: int = 10_000, **more: Any) -> Any:
    request = msgspec.convert(ask(content, **more), ChatRequest)
    return plan(request, choice, seed, room, reasoning=False)


def test_the_same_words_for_the_same_request() -> None:
    assert said() == said()
    others = [said(seed=1), said(choice=1), said("Tell us."), said(**{"seed_": 0}, max_tokens=5)]
    assert all(other != said() for other in others)


@given(st.integers(1, 300), st.integers(1, 300), st.booleans())
def test_length(words: int, cap: int, ignore_eos: bool) -> None:
    reply = said(f"Say {words} words.", max_tokens=cap, ignore_eos=ignore_eos)
    assert len(reply.pieces) == (cap if ignore_eos else min(words, cap))
    assert reply.finish == ("length" if ignore_eos or cap < words else "stop")
    assert len(reply.text("content").split()) == len(reply.pieces)


def test_the_newer_name_of_the_cap_wins_and_the_context_caps_all() -> None:
    assert len(said(max_tokens=3, max_completion_tokens=5).pieces) == 5
    reply = said("Say 500 words.", room=30)
    assert (len(reply.pieces), reply.finish) == (30, "length")


def test_stop_strings() -> None:
    text = said("Say 50 words.").text("content")
    for stop in (text[:1], text[20:25], [text[40:44], text[10:12]]):
        reply = said("Say 50 words.", stop=stop)
        strings = [stop] if isinstance(stop, str) else stop
        assert reply.text("content") == text[: min(text.find(string) for string in strings)]
        assert reply.finish == "stop"
    assert said("Say 50 words.", stop=["never said"]).text("content") == text


SCHEMAS: list[Any] = [
    {"type": "object"},
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "boolean"}}},
    {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "null"}}, "required": ["b"]},
    {"type": "object", "properties": {"a": {"enum": [3, 4]}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": ["integer", "null"], "minimum": 12}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "number", "exclusiveMinimum": 0.5}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 30, "maxLength": 31}}, "required": ["a"]},
    {"type": "object", "properties": {"name": {"type": "string", "maxLength": 3}}, "required": ["name"]},
    {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}, "minItems": 3}}},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}, "required": ["a"]},
    {"type": "object", "properties": {"a": {"allOf": [{"type": "integer"}, {"minimum": 9}]}}, "required": ["a"]},
    {
        "type": "object",
        "properties": {"a": {"$ref": "#/$defs/day"}},
        "required": ["a"],
        "$defs": {"day": {"type": "string", "enum": ["Monday"]}},
    },
]


@pytest.mark.parametrize("schema", SCHEMAS)
def test_arguments_fit_their_schema(schema: Any) -> None:
    Draft202012Validator(schema).validate(value_for(schema))


def test_a_schema_that_refers_to_itself_ends() -> None:
    value_for({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]})
