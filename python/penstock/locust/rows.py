"""Adds an answer to the rows of locust's statistics."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust.stats import RequestStats

    from penstock.locust.answer import Answer

__all__ = ["Row", "measured", "queue_of", "record", "three_digits"]

MICROSECONDS = 1e6
QUEUE = re.compile(r"(?:^|,)\s*queue\s*;\s*dur=(\d+(?:\.\d+)?)")


class Row(Enum):
    """A row: its name after the request's, and its unit."""

    FIRST = ("TTFT", "µs")
    GAP = ("inter-token", "µs")
    WHOLE = ("end-to-end", "µs")
    QUEUE = ("queue", "µs")
    SPEED = ("tokens/s", "1/s")

    def __init__(self, label: str, unit: str) -> None:
        self.label = label
        self.unit = unit


def measured(answer: Answer, queue: float | None) -> Iterator[tuple[Row, float]]:
    """Yield what a successful answer adds to each row, in the row's unit; ``queue`` in seconds if it is known."""
    assert answer.first is not None
    assert answer.done is not None
    whole = answer.done - answer.sent
    yield Row.FIRST, (answer.first - answer.sent) * MICROSECONDS
    for gap in answer.gaps:
        yield Row.GAP, gap * MICROSECONDS
    yield Row.WHOLE, whole * MICROSECONDS
    if queue is not None:
        yield Row.QUEUE, queue * MICROSECONDS
    yield Row.SPEED, answer.tokens / whole


def record(stats: RequestStats, name: str, answer: Answer, queue: float | None) -> None:
    """Add a successful answer to the rows of ``name``.

    It goes directly to the rows and not through locust's event ``request``, which would count every gap as a request in
    the row Aggregated.
    """
    for row, value in measured(answer, queue):
        # The parameter is annotated as int, but locust itself passes floats, which make averages more exact.
        stats.get(f"{name} {row.label}", row.unit).log(value, 0)  # type: ignore[arg-type]


def queue_of(server_timing: str) -> float | None:
    """Return the seconds that ``queue`` has in a ``server-timing`` header, where they are milliseconds."""
    found = QUEUE.search(server_timing)
    return float(found[1]) / 1000 if found else None


def three_digits(response_time: float) -> int:
    """Round to three significant digits, below 1,000 to a whole number; the parameter's name is locust's.

    That makes 900 different numbers a decade, so a row is still small where many processes send theirs to one.
    """
    step: int = 10 ** max(0, len(str(int(response_time))) - 3)
    return round(response_time / step) * step
