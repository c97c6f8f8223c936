"""Closes a connection whose client may still be sending, so that it can read its last answer (RFC 9112 §9.6).

Closing at once would reset the connection, and the client would lose the part of the answer that it has not read.
"""

from __future__ import annotations

import asyncio

__all__ = ["Linger"]

# The close is delayed until the client closes, at most for so long and for so many bytes.
LINGER_SECONDS = 2.0
LINGER_BYTES = 32 << 20


class Linger:
    """Half-closes a connection, and discards what is still received."""

    def __init__(self) -> None:
        self._over: asyncio.Future[None] | None = None
        self._bytes = 0

    @property
    def has_begun(self) -> bool:
        """Whether received bytes are to be discarded."""
        return self._over is not None

    def discard(self, data: bytes) -> None:
        """Count received bytes; too many end the wait."""
        self._bytes += len(data)
        if self._bytes > LINGER_BYTES:
            self.end()

    def end(self) -> None:
        """End the wait."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def wait(self, transport: asyncio.Transport) -> None:
        """Half-close, and return when `end` was called or the time is over."""
        loop = asyncio.get_running_loop()
        self._over = loop.create_future()
        if transport.can_write_eof():
            transport.write_eof()
        transport.resume_reading()
        timer = loop.call_later(LINGER_SECONDS, self.end)
        try:
            await self._over
        finally:
            timer.cancel()
