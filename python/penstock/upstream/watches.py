"""Tasks that go on until they are stopped, one for each backend."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

__all__ = ["Watches"]


class Watches:
    """Start them, and later stop them all."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, watches: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Let each run as a task on the running loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(watch) for watch in watches]

    async def stop(self) -> None:
        """Cancel them, and wait until the last has ended. One that has failed keeps nobody from ending."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
