"""A run: backends, a gateway in front of them, and clients for a bounded time."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from tests.conftest import LANE
from tests.mixed.backend import Backend
from tests.mixed.book import Book
from tests.mixed.census import Cap
from tests.mixed.clients import Client
from tests.mixed.connection import Connection
from tests.mixed.fault import Fault

# All of the suite, one way.
SECONDS = float(os.environ.get("PENSTOCK_MIXED_SECONDS", "60"))
# For clients to come to their end behind that.
PATIENCE = 60.0


def seed_of(name: str) -> int:
    """Return the seed of a test, new each time unless it is given, and print it."""
    given = os.environ.get("PENSTOCK_MIXED_SEED")
    seed = int(given) if given else random.randrange(1 << 32)
    print(f"{name}: PENSTOCK_MIXED_SEED={seed}")
    return seed


class Stage:
    """What is run, and what was seen of it."""

    def __init__(self, seed: int) -> None:
        self.book = Book(seed)
        self.port = 0
        self.has_lane = LANE == "on"
        self.backends: dict[str, Backend] = {}
        self.caps: list[Cap] = []
        self._end = 0.0

    def cap(self, name: str, limit: int) -> Cap:
        self.caps.append(Cap(name, limit, lambda text: self.book.fault(name, text)))
        return self.caps[-1]

    def backend(self, name: str, limit: int, *shared: Cap, **options: Any) -> None:
        self.backends[name] = Backend(name, self.book, (self.cap(name, limit), *shared), **options)

    @property
    def is_over(self) -> bool:
        return asyncio.get_running_loop().time() >= self._end

    async def play(
        self, clients: Mapping[str, tuple[int, Client]], seconds: float, *, restarts: str | None = None
    ) -> None:
        """Let so many clients of each kind work for some seconds. `restarts`: a backend that dies and comes back."""
        self._end = asyncio.get_running_loop().time() + seconds
        working = [
            self._work(f"{kind} {number}", client)
            for kind, (count, client) in clients.items()
            for number in range(count)
        ]
        restarting = asyncio.create_task(self._restart(restarts))
        try:
            async with asyncio.timeout(seconds + PATIENCE):
                await asyncio.gather(*working)
        finally:
            restarting.cancel()
            await asyncio.gather(restarting, return_exceptions=True)

    async def _work(self, name: str, client: Client) -> None:
        dice = random.Random(f"{self.book.seed}/{name}")
        await asyncio.sleep(dice.random() * 0.2)
        while not self.is_over:
            connection = await Connection.open(self.port, dice.choice((None, None, None, 4096)))
            try:
                await client(self, connection, dice)
            except Fault as fault:
                self.book.fault(name, fault)
            finally:
                connection.close()

    async def _restart(self, name: str | None) -> None:
        if name is None:
            return
        dice = random.Random(f"{self.book.seed}/restart")
        while True:
            await asyncio.sleep(dice.uniform(1.0, 4.0))
            await self.backends[name].restart(dice.choice((0.0, 0.05, 0.4)))

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """Run the backends."""
        for backend in self.backends.values():
            await backend.start()
        try:
            yield
        finally:
            for backend in self.backends.values():
                await backend.stop()

    def assert_right(self) -> None:
        """Say what was seen; it must have been right."""
        peaks = ", ".join(f"{cap.name} {cap.peak} of {cap.limit}" for cap in self.caps)
        restarts = sum(backend.restarts for backend in self.backends.values())
        print(f"{self.book.verdict()}; most at once: {peaks}; restarts: {restarts}")
        assert not self.book.faults, self.book.summary()
