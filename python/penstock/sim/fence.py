"""The engine's own limit on requests (`--fence`), and how it refuses those beyond it."""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.sim.engine import Engine

__all__ = ["Fence", "Refusal"]


class Fence(Enum):
    """What an engine counts to decide whether it accepts one more request."""

    NONE = "nothing"
    """llama.cpp defers without bound."""
    IN_FLIGHT = "running and waiting"
    """vLLM's max_num_queued_reqs, which in spite of its name counts both; TGI's max_concurrent_requests."""
    WAITING = "waiting"
    """SGLang's max_queued_requests."""

    def turns_away(self, engine: Engine, limit: int | None, sequences: int) -> bool:
        """Tell whether a request of so many sequences exceeds the limit."""
        if limit is None or self is Fence.NONE:
            return False
        waiting = max(engine.stats.waiting, engine.batch.waiting)
        counted = waiting if self is Fence.WAITING else engine.stats.running + engine.stats.waiting
        return counted + sequences > limit


class Refusal(StrEnum):
    """Where a streaming client is told that the engine is full."""

    STATUS = "status"
    EVENT = "event"
    """The answer is 200, and its first event is the error."""
