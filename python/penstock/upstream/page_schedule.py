"""Which pages of a server to ask for, and when: a state machine without sockets or clock."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from penstock.upstream.gauges import EngineFamily
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

__all__ = ["RARE_SECONDS", "Cadence", "Page", "PageSchedule", "ScheduledPage"]

RARE_SECONDS = 60.0
# Consecutive rounds in which a page was not understood, after which it is asked for rarely.
MISSES_TO_RARE = 3


class Cadence(Enum):
    """How often a page is asked for."""

    ALWAYS = "always"
    """In each round."""
    WHILE_BUSY = "while_busy"
    """In each round in which our requests run there."""
    RARELY = "rarely"
    """Every ``RARE_SECONDS``: its content hardly changes."""


@dataclass(frozen=True)
class Page:
    """A page and the paths that servers have it at, the preferred one first, each with its reader."""

    cadence: Cadence
    paths: tuple[tuple[str, Reader], ...]


METRICS = Page(Cadence.ALWAYS, (("/metrics", read_metrics),))
MODELS = Page(Cadence.RARELY, (("/v1/models", read_models),))
PROPS = Page(Cadence.RARELY, (("/props", read_props),))
INFO = Page(Cadence.RARELY, (("/info", read_info),))
SERVER_INFO = Page(Cadence.RARELY, (("/server_info", read_server_info), ("/get_server_info", read_server_info)))

PAGES: dict[EngineFamily | None, tuple[Page, ...]] = {
    # The family is not known yet. /props comes first because a sleeping llama.cpp answers it without waking up.
    None: (PROPS, METRICS, SERVER_INFO, INFO),
    EngineFamily.VLLM: (METRICS, MODELS, Page(Cadence.RARELY, (("/version", read_version),))),
    # The loads come first: SGLang's metrics may be switched off, and their gauges are older.
    EngineFamily.SGLANG: (
        Page(Cadence.ALWAYS, (("/v1/loads?include=core", read_loads), ("/get_load", read_loads))),
        METRICS,
        SERVER_INFO,
        MODELS,
    ),
    EngineFamily.TGI: (METRICS, INFO),
    # With --sleep-idle-seconds, asking for the first two would wake it up or keep it awake.
    EngineFamily.LLAMACPP: (Page(Cadence.WHILE_BUSY, (("/metrics", read_metrics), ("/slots", read_slots))), PROPS),
}


@dataclass
class ScheduledPage:
    """A page of one server, when it is due, and whether it was understood."""

    page: Page
    due: float = 0.0
    """Seconds of the caller's clock."""
    misses: int = 0
    path: int = 0
    """The index of the path that was understood last; the ones before it are not tried again."""

    def paths(self) -> Iterator[tuple[int, str, Reader]]:
        """Yield what to try: index, path and reader."""
        for index in range(self.path, len(self.page.paths)):
            yield (index, *self.page.paths[index])


class PageSchedule:
    """What to ask one server for. It learns the server's family, and learns it again when the pages disappear."""

    def __init__(self) -> None:
        self.engine: EngineFamily | None = None
        self._items = [ScheduledPage(page) for page in PAGES[None]]

    def due(self, now: float, own: int) -> Iterator[ScheduledPage]:
        """Yield what to ask for in this round. ``own``: how many of our requests run there.

        The round ends early when an answer shows that the server is of another family than was assumed.
        """
        items = self._items
        for item in items:
            if self._items is not items:
                return
            if item.due <= now and (own > 0 or item.page.cadence is not Cadence.WHILE_BUSY):
                yield item

    def understood(self, item: ScheduledPage, path: int, reading: Reading, now: float) -> None:
        """Take note that a page was understood; `path` is the index of its path."""
        item.misses, item.path = 0, path
        if item.page.cadence is Cadence.RARELY:
            item.due = now + RARE_SECONDS
        engine = reading.facts.engine
        if engine is not None and engine is not self.engine:
            self._switch_to(engine, 0.0)

    def missed(self, item: ScheduledPage, now: float) -> None:
        """Take note that a page does not exist, or was not understood."""
        item.misses += 1
        if item.page.cadence is Cadence.RARELY or item.misses >= MISSES_TO_RARE:
            item.due = now + RARE_SECONDS
        frequent = [item for item in self._items if item.page.cadence is not Cadence.RARELY]
        if all(item.misses >= MISSES_TO_RARE for item in frequent):
            self._switch_to(None, now + RARE_SECONDS)

    def _switch_to(self, engine: EngineFamily | None, due: float) -> None:
        self.engine = engine
        self._items = [ScheduledPage(page, due) for page in PAGES[engine]]
