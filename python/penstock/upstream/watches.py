"""Tasks that go on until they are stopped, one for each backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["Watches"]

# Between a failure that nobody has thought of and the next try: it may fail again at once, each time.
PAUSE_SECONDS = 1.0
MOST_SECONDS = 60.0


class Watches:
    """Start them, and later stop them all."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, watches: Mapping[str, Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Let each run as a task on the running loop, under its backend's name."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(name, watch)) for name, watch in watches.items()]

    async def stop(self) -> None:
        """Cancel them, and wait until the last has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, backend: str, watch: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let a watch run, and begin it anew when it fails: a backend that nobody watches stays as it is for ever."""
        pause = PAUSE_SECONDS
        while True:
            try:
                await watch()
            except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a panic of the core is no Exception
                sentence = f"{type(error).__name__}: {error}"
                self._log.error("watch_failed", backend=backend, error=sentence)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_SECONDS)
