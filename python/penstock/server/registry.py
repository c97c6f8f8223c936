"""All client connections of a worker: the limit on them, the sweep, and closing idle ones."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from penstock.net.answer import ReadyAnswer
from penstock.server.stall import StallDetector
from penstock.server.sweep import THOROUGH_ROUND, Sweep

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock._core import Gateway
    from penstock.config.settings import Limits
    from penstock.server.open_connection import OpenConnection

__all__ = ["Registry"]

# At the end of a worker clients may take so long to read the rest of their answers.
CLOSE_SECONDS = 0.5
# Bytes of unsent output of a worker, above which the clients with most of it are cut off.
UNSENT_BYTES = 256 << 20


class Registry:
    """The open connections. `sweep` looks at each once a second."""

    def __init__(self, gateway: Gateway, limits: Limits, log: FilteringBoundLogger) -> None:
        self.gateway = gateway
        self.limits = limits
        self.log = log
        self._open: set[OpenConnection] = set()
        # Connections that exceeded the limit when they were opened.
        self._over_limit: set[OpenConnection] = set()
        self._stalls = StallDetector()
        self._sweep = Sweep([], self._stalls, log, time.monotonic())
        self._rounds = 0

    def __len__(self) -> int:
        return len(self._open)

    def connections(self) -> list[OpenConnection]:
        """Return the open connections."""
        return list(self._open)

    def add(self, connection: OpenConnection) -> bool:
        """Register a connection unless it is registered. False: it exceeded the limit when it was opened."""
        if connection not in self._open:
            self._open.add(connection)
            if len(self._open) > self.limits.connections:
                self._over_limit.add(connection)
        return connection not in self._over_limit

    def swap(self, old: OpenConnection, new: OpenConnection) -> None:
        """Let the protocol `new` take over the connection of `old`; whether it is over the limit stays as it was."""
        self._open.add(new)
        if old in self._over_limit:
            self._over_limit.add(new)
        self.remove(old)

    def remove(self, connection: OpenConnection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._over_limit.discard(connection)
        self._stalls.forget(connection)

    def sweep(self) -> None:
        """Look at some of the connections, at each once a second: refuse late heads, cut off clients that do not read.

        To be called at every tick. Looking at ten thousand streams at once would delay new requests.
        """
        now = time.monotonic()
        if self._sweep.left:
            self._sweep.go_on(self._open, now)
            if not self._sweep.left and self._sweep.unsent > UNSENT_BYTES:
                self._cut_slowest()
        elif self._sweep.is_past(now):
            self._rounds += 1
            is_thorough = self._rounds % THOROUGH_ROUND == 0
            self._sweep = Sweep(self.connections(), self._stalls, self.log, now, thorough=is_thorough)

    def _cut_slowest(self) -> None:
        unsent = sum(connection.unsent_bytes for connection in self._open)
        for connection in sorted(self._open, key=lambda c: c.unsent_bytes, reverse=True):
            if unsent <= UNSENT_BYTES:
                break
            unsent -= connection.unsent_bytes
            connection.abort()

    def is_finishing(self) -> bool:
        """Tell whether a drain has to wait for any connection."""
        return any(connection.is_finishing for connection in self._open)

    def close_idle(self) -> None:
        """Close every connection without a request."""
        for connection in self.connections():
            if connection.is_idle:
                connection.force_close()

    async def close_all(self) -> None:
        """Close every connection; clients that have not read their answer within `CLOSE_SECONDS` are cut off."""
        for connection in self.connections():
            connection.force_close()
        for _ in range(int(CLOSE_SECONDS / 0.01)):
            if not self._open:
                return
            await asyncio.sleep(0.01)
        for connection in self.connections():
            connection.abort()

    def refusal(
        self, code: str, message: str, *, counted: bool = False, request_id: str | None = None, **extra: Any
    ) -> ReadyAnswer:
        """Return an error answer after which the connection closes."""
        text = self.gateway.error_answer(
            code, message, request_id=request_id, keep_alive=False, http10=False, counted=counted, **extra
        )
        return ReadyAnswer(text, keep_alive=False, refusal=True)
