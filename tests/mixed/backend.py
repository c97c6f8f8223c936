"""A model server on raw sockets: it does to each request what its prompt says, and counts what runs."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from tests.mixed.book import Book
from tests.mixed.census import Cap
from tests.mixed.turn import Connection


class Backend:
    """Listens on one port for all its lives."""

    def __init__(
        self,
        name: str,
        book: Book,
        caps: Sequence[Cap],
        *,
        idle: tuple[float, float] | None = None,
        keep_alive: float = 3.0,
        streams_whole: bool = False,
    ) -> None:
        """Take what counts its sequences, its own limit first.

        `idle`: after how many seconds it closes a kept connection, least and most. `keep_alive`: for how many the
        gateway may keep one. `streams_whole`: the gateway asks it for streams alone.
        """
        self.name = name
        self.book = book
        self.caps = caps
        self.port = 0
        self.requests = 0
        self.restarts = 0
        self.dice = random.Random(f"{book.seed}/{name}")
        self.connections: set[Connection] = set()
        self.keep_alive = keep_alive
        self.streams_whole = streams_whole
        self._idle = idle
        self._numbers = 0
        self._server: asyncio.Server | None = None

    def config(self, more: str = "") -> str:
        """Return its part of the configuration, for the gateway to keep exactly the limits that are counted here."""
        # It notices every abort, so none is let go before.
        return (
            f'url: "http://127.0.0.1:{self.port}", serves: served, concurrency: {self.caps[0].limit}, '
            f"keep_alive: {self.keep_alive * 1000:.0f}ms, abort_grace: 20s, "
            f"stream_whole: {str(self.streams_whole).lower()}{more}"
        )

    def next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def idle_seconds(self) -> float | None:
        return None if self._idle is None else self.dice.uniform(*self._idle)

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), "127.0.0.1", self.port, backlog=1024)
        self.port = self._server.sockets[0].getsockname()[1]

    async def restart(self, pause: float) -> None:
        """Die with all connections, and come back on the same port."""
        self.book.note_death(self.name)
        await self.stop()
        await asyncio.sleep(pause)
        self.restarts += 1
        await self.start()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        connections = list(self.connections)
        for connection in connections:
            connection.reset()
        await asyncio.gather(*(connection.stopped() for connection in connections))
