"""The answer to an inference request, whose bytes the core writes to the client's transport."""

from __future__ import annotations

import asyncio

from penstock.net.answer import Answer

__all__ = ["CoreAnswer"]


class CoreAnswer(Answer):
    """Tells aiohttp when the core has written the last byte; the core calls `done`."""

    def __init__(self) -> None:
        super().__init__()
        self._is_done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def done(self, keep_alive: bool) -> None:
        """Take note that the last byte is written, or that the client has left. Only the first call counts."""
        if not self._is_done.done():
            self._is_done.set_result(keep_alive)

    async def wait(self) -> None:
        """Return when `done` was called."""
        self.set_keep_alive(await self._is_done)
