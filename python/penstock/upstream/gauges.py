"""What a model server says of itself: its load now (`Gauges`), and what it was started with (`Facts`).

A field is None where the server does not tell. The numbers correct what Penstock counts itself; no request is let in or
held back by them alone, because they are late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import TypeVar

__all__ = ["Counted", "Engine", "Facts", "Gauges", "Reader", "Reading", "number"]

# Tokens or requests. No honest server shows more, doubles are exact up to here, and so is everyone's JSON.
LARGEST = 1 << 53


def number(value: object) -> int | float | None:
    """Return what a page shows if it can be true: a number from 0 to `LARGEST`, and so neither NaN nor a boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if 0 <= value <= LARGEST else None


class Engine(Enum):
    """The model servers whose pages are understood."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    LLAMACPP = "llamacpp"


class Counted(Enum):
    """To which moment ``running`` and ``waiting`` belong."""

    NOW = "now"
    """The server counts them for the answer."""
    STEP = "step"
    """They are of the engine's last step: after an abort of everything they stay up until it steps again (vLLM)."""
    LOGGED = "logged"
    """They are of the engine's last log line, which an idle engine writes every 30 s (SGLang's metrics)."""


def _bound(record: Gauges | Facts) -> None:
    """Forget what cannot be true: also a sum or a product of numbers each of which could."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, int | float) and number(value) is None:
            object.__setattr__(record, field.name, None)


@dataclass(frozen=True, slots=True)
class Gauges:
    """The load of one server, over all its data-parallel ranks. A number that cannot be true is None."""

    running: int | None = None
    """Requests in the batch; one with ``n`` choices counts n times, as a slot does."""
    waiting: int | None = None
    """Requests in the server's own queue; where it tells why, those that wait for room."""
    kv_usage: float | None = None
    """Used part of the KV memory, 0 to 1, of the fullest rank: that is the one which preempts."""
    preemptions: int | None = None
    """Requests thrown out of the batch for lack of KV memory, since the server's start."""
    prefix_queries: int | None = None
    """Prompt tokens looked up in the prefix cache, since the server's start."""
    prefix_hits: int | None = None
    """Prompt tokens found there."""
    steps: int | None = None
    """Rises whenever the engine steps."""
    counted: Counted | None = None

    def __post_init__(self) -> None:
        _bound(self)

    def __or__(self, other: Gauges) -> Gauges:
        return _filled(self, other)


@dataclass(frozen=True, slots=True)
class Facts:
    """What does not change while a server runs. A number that cannot be true is None."""

    engine: Engine | None = None
    version: str | None = None
    kv_tokens: int | None = None
    """Tokens that its KV memory holds, over all ranks."""
    slots: int | None = None
    """Requests that it runs at once; TGI: that it accepts at once."""
    context: int | None = None
    """Tokens of prompt and answer together that one request may have."""

    def __post_init__(self) -> None:
        _bound(self)

    def __or__(self, other: Facts) -> Facts:
        return _filled(self, other)


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read from one page, or from several: ``a | b`` is a, and b where a is silent."""

    gauges: Gauges = Gauges()
    facts: Facts = Facts()

    def __or__(self, other: Reading) -> Reading:
        return Reading(self.gauges | other.gauges, self.facts | other.facts)


Reader = Callable[[bytes], Reading | None]
"""Reads the body of a page; None: it is no page of a server that is understood."""

Record = TypeVar("Record", Gauges, Facts)


def _filled(first: Record, second: Record) -> Record:
    absent = [field.name for field in fields(first) if getattr(first, field.name) is None]
    return replace(first, **{name: getattr(second, name) for name in absent})
