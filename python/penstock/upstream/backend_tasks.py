"""Background tasks that are restarted when they fail, one for each backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

__all__ = ["BackendTasks"]

# The pause before a failed task is restarted; it doubles, as the task may fail at once each time.
PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 60.0


class BackendTasks:
    """Starts the tasks, keeps them running, and stops them all."""

    def __init__(self, log: FilteringBoundLogger) -> None:
        self._log = log
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, tasks: Mapping[str, Callable[[], Coroutine[Any, Any, None]]]) -> None:
        """Run each as a task on the running loop; the keys are the backends' names."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep(name, task)) for name, task in tasks.items()]

    async def stop(self) -> None:
        """Cancel all, and wait until the last has ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, backend: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a task, and restart it when it fails: without it nothing would ever update the backend's state."""
        pause = PAUSE_SECONDS
        while True:
            try:
                await run()
            except (asyncio.CancelledError, GeneratorExit, KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a panic of the core is not a subclass of Exception
                sentence = f"{type(error).__name__}: {error}"
                self._log.error("watch_failed", backend=backend, error=sentence)
            await asyncio.sleep(pause)
            pause = min(2 * pause, MAX_PAUSE_SECONDS)
