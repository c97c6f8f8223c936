"""Decodes the data of an event."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

import msgspec

__all__ = ["Chunk", "Meaning", "code_in", "code_of", "decode"]


class Meaning(Enum):
    """What a chunk contains for its reader."""

    NOTHING = auto()
    """Only a role, usage, progress or an empty delta."""
    OUTPUT = auto()
    """Text, reasoning, a refusal or part of a tool call."""
    FINISH = auto()
    """A finish_reason without output."""


class Delta(msgspec.Struct):
    """The fields of a delta that can hold output."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None

    def has_output(self) -> bool:
        """Whether any of them does."""
        return bool(self.content or self.reasoning_content or self.reasoning or self.refusal or self.tool_calls)


class Choice(msgspec.Struct):
    """One choice of a chunk."""

    delta: Delta | None = None
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """The tokens of the whole answer."""

    completion_tokens: int | None = None


class Chunk(msgspec.Struct):
    """A chat completion chunk, or an error in its place. Fields that no row needs are not decoded."""

    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: Any = None

    @property
    def meaning(self) -> Meaning:
        """The most meaningful content of any of its choices."""
        choices = self.choices or ()
        if any(choice.delta is not None and choice.delta.has_output() for choice in choices):
            return Meaning.OUTPUT
        return Meaning.FINISH if any(choice.finish_reason for choice in choices) else Meaning.NOTHING


_DECODER = msgspec.json.Decoder(Chunk)


def decode(data: bytes) -> Chunk:
    """Decode an event.

    Raises:
        msgspec.DecodeError: it is not JSON, or has other types than the API's reference gives.
    """
    return _DECODER.decode(data)


def code_in(body: bytes | None) -> str:
    """Return the code of the error in a response's body."""
    try:
        value = msgspec.json.decode(body or b"")
    except msgspec.DecodeError:
        return "no JSON"
    return code_of(value.get("error") if isinstance(value, dict) else None)


def code_of(error: Any) -> str:
    """Return an error's code, or what engines have in its place when they are asked without a gateway.

    That is the type for vLLM, whose code only repeats the status, and for TGI the error itself, which is a string.
    """
    names = (error.get("code"), error.get("type")) if isinstance(error, dict) else (error,)
    return next((name for name in names if isinstance(name, str) and name), "unknown error")
