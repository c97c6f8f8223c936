"""The log of what is tested, line by line."""

from __future__ import annotations

from typing import Any

import orjson

from penstock.config.settings import Log as Settings
from penstock.metrics.log import make_logger


class Log:
    """Keeps what is written; it takes the place of a `LogWriter`."""

    def __init__(self) -> None:
        self.written: list[dict[str, Any]] = []
        self.logger = make_logger(self, Settings())  # type: ignore[arg-type]

    def write(self, lines: bytes) -> None:
        self.written += map(orjson.loads, lines.splitlines())

    def lines(self, event: str) -> list[dict[str, Any]]:
        """Return the lines of one event."""
        return [line for line in self.written if line["event"] == event]
