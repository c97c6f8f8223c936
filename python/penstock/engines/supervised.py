"""An engine that is restarted when it has died."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from penstock.engines.embedded import EngineError
from penstock.process.backoff import Backoff

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Restartable", "SupervisedEngine"]


class Restartable(Protocol):
    """A model server that may end by itself. It has the same URL after each start."""

    async def start(self) -> str:
        """Return the base URL once it is healthy."""
        ...

    async def stop(self) -> None:
        """End it, whether it runs or not."""
        ...

    async def ended(self) -> str:
        """Wait until it has ended by itself; return how."""
        ...


class SupervisedEngine:
    """Restarts its engine until it is stopped, after a pause that grows while it dies soon after its start."""

    def __init__(self, name: str, engine: Restartable, log: FilteringBoundLogger) -> None:
        """Take an engine that does not run yet. `name` is for the log."""
        self._engine = engine
        self._log = log.bind(engine=name)
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Start it, and return its base URL once it is healthy.

        Raises:
            EngineError: it cannot run. Only this first start is not tried again.
        """
        url = await self._engine.start()
        self._watch = asyncio.create_task(self._keep(time.monotonic()))
        return url

    async def stop(self) -> None:
        """End it for good."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self._engine.stop()

    async def _keep(self, born: float) -> None:
        backoff = Backoff()
        while True:
            cause = await self._engine.ended()
            lived = time.monotonic() - born
            self._log.warning("engine_ended", cause=cause, lived_seconds=round(lived, 3))
            await self._engine.stop()
            while not await self._restarted(backoff.pause(lived)):
                lived = 0.0
            born = time.monotonic()
            self._log.info("engine_restarted")

    async def _restarted(self, pause: float) -> bool:
        await asyncio.sleep(pause)
        try:
            await self._engine.start()
        except (EngineError, OSError) as error:
            self._log.warning("engine_failed", reason=str(error))
            return False
        return True
