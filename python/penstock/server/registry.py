"""All client connections of a worker, and what they share."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from penstock.net.answer import ReadyAnswer
from penstock.server.stall import Stalls
from penstock.server.sweep import THOROUGH_ROUND, Sweep

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock._core import Gateway
    from penstock.config.settings import Limits
    from penstock.server.open_connection import OpenConnection

__all__ = ["Registry"]

CLOSE_SECONDS = 0.5
# Unsent output of a worker; above, the slowest client is closed.
UNSENT_BYTES = 256 << 20


class Registry:
    """The open connections, the limit on them, and the sweep of those that take too long."""

    def __init__(self, gateway: Gateway, limits: Limits, log: FilteringBoundLogger) -> None:
        self.gateway = gateway
        self.limits = limits
        self.log = log
        self._open: set[OpenConnection] = set()
        # Those that were one too many when they came.
        self._surplus: set[OpenConnection] = set()
        self._stalls = Stalls()
        self._sweep = Sweep([], self._stalls, log, time.monotonic())
        self._rounds = 0

    def __len__(self) -> int:
        return len(self._open)

    def connections(self) -> list[OpenConnection]:
        """Return the open connections."""
        return list(self._open)

    def add(self, connection: OpenConnection) -> bool:
        """Register a connection, unless it is. False: it was one too many when it came."""
        if connection not in self._open:
            self._open.add(connection)
            if len(self._open) > self.limits.connections:
                self._surplus.add(connection)
        return connection not in self._surplus

    def swap(self, old: OpenConnection, new: OpenConnection) -> None:
        """Let `new` go on with the connection of `old`, as what it was when it came."""
        self._open.add(new)
        if old in self._surplus:
            self._surplus.add(new)
        self.remove(old)

    def remove(self, connection: OpenConnection) -> None:
        """Forget a connection."""
        self._open.discard(connection)
        self._surplus.discard(connection)
        self._stalls.forget(connection)

    def sweep(self) -> None:
        """Look after a part of the connections, each once a second: cut slow heads and clients that do not read.

        To be called every tick. All at once would make new requests wait behind ten thousand open streams.
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
        unsent = sum(connection.unsent for connection in self._open)
        for connection in sorted(self._open, key=lambda c: c.unsent, reverse=True):
            if unsent <= UNSENT_BYTES:
                break
            unsent -= connection.unsent
            connection.abort()

    def is_finishing(self) -> bool:
        """Whether any connection has something that a drain waits for."""
        return any(connection.is_finishing for connection in self._open)

    def close_idle(self) -> None:
        """Close every connection on which nothing is going on."""
        for connection in self.connections():
            if connection.is_idle:
                connection.force_close()

    async def close_all(self) -> None:
        """Close every connection; who does not take the rest of its answer within a moment is cut."""
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
        """Return an error answer behind which the connection closes."""
        text = self.gateway.error_answer(
            code, message, request_id=request_id, keep_alive=False, http10=False, counted=counted, **extra
        )
        return ReadyAnswer(text, keep_alive=False, refusal=True)
