"""What a model server reports about itself: its load now (`Gauges`), and how it was started (`Facts`).

A field is None where the server does not report it. The numbers correct Penstock's own counts; no request is admitted
or held back by them alone, because they are always a little old.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import TypeVar

__all__ = ["Counted", "EngineFamily", "Facts", "Gauges", "Reader", "Reading", "number"]

# Tokens or requests. Doubles, and so numbers in JSON, are exact up to here; no real server reports more.
MAX_NUMBER = 1 << 53


def number(value: object) -> int | float | None:
    """Return a page's value if it is plausible: a number from 0 to `MAX_NUMBER`, so neither NaN nor a boolean."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if 0 <= value <= MAX_NUMBER else None


class EngineFamily(Enum):
    """The model servers whose pages are understood."""

    VLLM = "vllm"
    SGLANG = "sglang"
    TGI = "tgi"
    LLAMACPP = "llamacpp"


class Counted(Enum):
    """When the server has counted ``running`` and ``waiting``."""

    NOW = "now"
    """While it made the page."""
    STEP = "step"
    """At the engine's last step: after all requests are aborted they stay up until the next step (vLLM)."""
    LOGGED = "logged"
    """At the engine's last log line, which an idle engine writes every 30 s (SGLang's metrics)."""


def _bound(record: Gauges | Facts) -> None:
    """Set implausible numbers to None; a sum or a product of plausible ones may be implausible."""
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, int | float) and number(value) is None:
            object.__setattr__(record, field.name, None)


@dataclass(frozen=True, slots=True)
class Gauges:
    """The load of one server, over all its data-parallel ranks. An implausible number is None."""

    running: int | None = None
    """Requests in the batch; one with ``n`` choices counts n times, as a slot does."""
    waiting: int | None = None
    """Requests in the server's own queue; where it reports the reasons, only those that wait for room."""
    kv_usage: float | None = None
    """Used part of the KV memory, 0 to 1, of the fullest rank, which preempts first."""
    preemptions: int | None = None
    """Requests preempted for lack of KV memory, since the server's start."""
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
    """What does not change while a server runs. An implausible number is None."""

    engine: EngineFamily | None = None
    version: str | None = None
    kv_tokens: int | None = None
    """Tokens that its KV memory can hold, over all ranks."""
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
    """What was read from one page, or from several: ``a | b`` has the fields of b where those of a are None."""

    gauges: Gauges = Gauges()
    facts: Facts = Facts()

    def __or__(self, other: Reading) -> Reading:
        return Reading(self.gauges | other.gauges, self.facts | other.facts)


Reader = Callable[[bytes], Reading | None]
"""Reads the body of a page; None: it is not a page of a known server."""

Record = TypeVar("Record", Gauges, Facts)


def _filled(first: Record, second: Record) -> Record:
    absent = [field.name for field in fields(first) if getattr(first, field.name) is None]
    return replace(first, **{name: getattr(second, name) for name in absent})
