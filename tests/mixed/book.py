"""What is asked for, what became of it at the backends, and what clients have seen: one book for all of a run."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.mixed.fault import Fault
from tests.mixed.text import content_of

# Faults that are shown in full, beside the first of each kind.
SHOWN = 3


@dataclass
class Attempt:
    """One request as a backend has had it."""

    backend: str
    word: str
    # The connection had carried a request before.
    reused: bool
    sequences: int
    # What has been said of each choice, by whole events.
    told: list[str]
    usage: dict[str, int] | None = None
    # Some byte of an answer was sent; something for the client was sent.
    has_begun: bool = False
    has_told: bool = False
    # Died: as its word says; restarted: with the whole server; left: the gateway has closed.
    end: Literal["running", "answered", "died", "restarted", "left"] = "running"
    # A connection that dies within its keep-alive time of its last use was a stale one; later, its server has failed.
    # Near that time it is neither for sure.
    is_stale: bool = False
    is_late: bool = False
    # A reset came so soon behind the answer, or behind an orderly end within it, that it may have overtaken that.
    may_be_lost: bool = False

    def __str__(self) -> str:
        reused = ", reused" if self.reused else ""
        lost = ", perhaps lost" if self.may_be_lost else ""
        begun = "told" if self.has_told else "begun" if self.has_begun else "no byte"
        return f"{self.backend}: {self.word} ({begun}, {self.end}{reused}{lost})"


@dataclass(frozen=True)
class Model:
    """A name that clients send, and how many choices an answer has whose request says nothing of it.

    `is_forced`: also where it says something.
    """

    name: str
    choices: int = 1
    is_forced: bool = False

    def choices_of(self, n: int | None) -> int:
        return self.choices if n is None or self.is_forced else n


FAST = Model("fast")


@dataclass
class Ask:
    """A chat request. Its words say what each attempt at it is to meet; the last one holds for all further ones."""

    marker: str
    model: str
    words: tuple[str, ...]
    stream: bool
    # As sent, and as many choices as its answer has.
    n: int | None
    choices: int
    include_usage: bool
    size: int
    prompt: str
    attempts: list[Attempt] = field(default_factory=list)
    # The client has really asked for it: all of it is on its way.
    is_sent: bool = False
    # Backends that died meanwhile, each perhaps with an attempt in its backlog: no backend knows of that one.
    died: set[str] = field(default_factory=set)

    def body(self) -> bytes:
        value: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": self.prompt}]}
        if self.stream:
            value["stream"] = True
            value |= {"stream_options": {"include_usage": True}} if self.include_usage else {}
        value |= {} if self.n is None else {"n": self.n}
        return json.dumps(value).encode()

    def content(self, backend: str, attempt: int, index: int) -> str:
        return content_of(f"{self.marker}/{backend}/{attempt}/{index}", self.size)

    def close(self) -> None:
        """It has its answer: what comes of it from now on is a fault."""
        self.is_sent, self.prompt = False, ""

    def __str__(self) -> str:
        kind = "stream" if self.stream else "whole"
        history = "; ".join(map(str, self.attempts)) or "none"
        return f"{kind} {self.marker} of {self.model} ({' '.join(self.words)}); attempts: {history}"


class Book:
    """All requests of a run by their marker, and every fault."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.asks: dict[str, Ask] = {}
        self.ids: set[str] = set()
        self.outcomes: Counter[str] = Counter()
        self.faults: list[str] = []
        # Inference requests: sent in full, and those of them whose whole answer was read.
        self.posted = 0
        self.answered = 0

    def note_death(self, backend: str) -> None:
        """Note that a backend dies: what is asked now may have been tried there unseen."""
        for ask in self.asks.values():
            if ask.is_sent:
                ask.died.add(backend)

    def ask(
        self,
        kind: str,
        dice: random.Random,
        *,
        model: Model = FAST,
        words: tuple[str, ...] = ("good",),
        stream: bool = False,
        n: int | None = None,
        size: int | None = None,
    ) -> Ask:
        """Enter a request."""
        marker = f"{kind}-{len(self.asks)}"
        size = dice.choice((0, 20, 300, 2000)) if size is None else size
        prompt = f"{marker} {' '.join(words)}\n{content_of(marker, dice.choice((0, 30, 1000, 5000)))}"
        include_usage = stream and dice.random() < 0.5
        ask = Ask(marker, model.name, words, stream, n, model.choices_of(n), include_usage, size, prompt)
        self.asks[marker] = ask
        return ask

    def fault(self, where: str, fault: BaseException | str) -> None:
        """Enter a fault."""
        text = str(fault) if isinstance(fault, (Fault, str)) else f"{type(fault).__name__}: {fault}"
        self.faults.append(f"[{where}] {text}")

    def unique(self, chat_id: str, ask: Ask) -> None:
        """An id belongs to one answer."""
        if chat_id in self.ids:
            raise Fault(f"the id {chat_id} of {ask.marker} was another answer's")
        self.ids.add(chat_id)

    def summary(self) -> str:
        """Return what was seen, and the first faults in full."""
        kinds = Counter(map(kind_of, self.faults))
        by_kind = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        firsts = {kind_of(fault): fault for fault in reversed(self.faults)}.values()
        shown = "".join(f"\n- {fault}" for fault in dict.fromkeys((*self.faults[:SHOWN], *firsts)))
        counts = "".join(f"  {count:7} {what}\n" for what, count in sorted(self.outcomes.items()))
        return f"{counts}{self.verdict()}\nfaults by kind: {by_kind}{shown}"

    def verdict(self) -> str:
        right = sum(self.outcomes.values())
        return f"PENSTOCK_MIXED_SEED={self.seed}: {right} as it should be, {len(self.faults)} faults"


def kind_of(fault: str) -> str:
    """Return whose fault it is, without the number."""
    return fault[1:].partition("]")[0].partition(" ")[0]
