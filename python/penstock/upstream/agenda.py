"""Which pages of a server to ask, and when: a state machine without sockets or clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from penstock.upstream.gauges import Engine
from penstock.upstream.json_pages import (
    read_info,
    read_loads,
    read_models,
    read_props,
    read_server_info,
    read_slots,
    read_version,
)
from penstock.upstream.metrics_page import read_metrics

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.upstream.gauges import Reader, Reading

__all__ = ["RARE_SECONDS", "Agenda", "Cadence", "Item", "Page"]

RARE_SECONDS = 60.0
# Rounds in a row without an understood page after which it is asked rarely.
MISSES_TO_RARE = 3


class Cadence(Enum):
    """How often a page is asked."""

    ALWAYS = "always"
    """In each round."""
    WHILE_BUSY = "while_busy"
    """In each round in which requests of ours run there."""
    RARELY = "rarely"
    """Every ``RARE_SECONDS``: it says what hardly changes."""


@dataclass(frozen=True)
class Page:
    """A page under its paths, the preferred one first, each with its reader."""

    cadence: Cadence
    ways: tuple[tuple[str, Reader], ...]


METRICS = Page(Cadence.ALWAYS, (("/metrics", read_metrics),))
MODELS = Page(Cadence.RARELY, (("/v1/models", read_models),))
PROPS = Page(Cadence.RARELY, (("/props", read_props),))
INFO = Page(Cadence.RARELY, (("/info", read_info),))
SERVER_INFO = Page(Cadence.RARELY, (("/server_info", read_server_info), ("/get_server_info", read_server_info)))

PAGES: dict[Engine | None, tuple[Page, ...]] = {
    # Who is it? /props comes first because llama.cpp answers it in its sleep.
    None: (PROPS, METRICS, SERVER_INFO, INFO),
    Engine.VLLM: (METRICS, MODELS, Page(Cadence.RARELY, (("/version", read_version),))),
    # Its metrics may be switched off, and their gauges are late: the loads come first.
    Engine.SGLANG: (
        Page(Cadence.ALWAYS, (("/v1/loads?include=core", read_loads), ("/get_load", read_loads))),
        METRICS,
        SERVER_INFO,
        MODELS,
    ),
    Engine.TGI: (METRICS, INFO),
    # With --sleep-idle-seconds, these two wake it up, or keep it from sleeping.
    Engine.LLAMACPP: (Page(Cadence.WHILE_BUSY, (("/metrics", read_metrics), ("/slots", read_slots))), PROPS),
}


@dataclass
class Item:
    """A page of one server, and how it has fared."""

    page: Page
    due: float = 0.0
    """Seconds of the caller's clock."""
    misses: int = 0
    way: int = 0
    """The index of the path that was understood last; the ones before it are not tried again."""

    def ways(self) -> Iterator[tuple[int, str, Reader]]:
        """Return what to try: index, path and reader."""
        for index in range(self.way, len(self.page.ways)):
            yield (index, *self.page.ways[index])


class Agenda:
    """What to ask one server. It finds out which engine it is, and again after the pages have gone."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self._items = [Item(page) for page in PAGES[None]]

    def due(self, now: float, own: int) -> Iterator[Item]:
        """Return what to ask in this round; ``own``: our requests that run there.

        The round ends early when an answer shows that the server is another one than was thought.
        """
        items = self._items
        for item in items:
            if self._items is not items:
                return
            if item.due <= now and (own > 0 or item.page.cadence is not Cadence.WHILE_BUSY):
                yield item

    def understood(self, item: Item, way: int, reading: Reading, now: float) -> None:
        """Take note of a page that was understood under the path of that index."""
        item.misses, item.way = 0, way
        if item.page.cadence is Cadence.RARELY:
            item.due = now + RARE_SECONDS
        engine = reading.facts.engine
        if engine is not None and engine is not self.engine:
            self._meet(engine, 0.0)

    def missed(self, item: Item, now: float) -> None:
        """Take note of a page that is not there, or says nothing."""
        item.misses += 1
        if item.page.cadence is Cadence.RARELY or item.misses >= MISSES_TO_RARE:
            item.due = now + RARE_SECONDS
        lively = [item for item in self._items if item.page.cadence is not Cadence.RARELY]
        if all(item.misses >= MISSES_TO_RARE for item in lively):
            self._meet(None, now + RARE_SECONDS)

    def _meet(self, engine: Engine | None, due: float) -> None:
        self.engine = engine
        self._items = [Item(page, due) for page in PAGES[engine]]
