"""How a connection ends whose client may still be sending: it is to read its last answer first.

To close at once would reset the connection, and the client would lose what it has not read.
"""

from __future__ import annotations

import asyncio

__all__ = ["Linger"]

# An early refusal waits this long, or for this many bytes, so that the client reads it.
LINGER_SECONDS = 2.0
LINGER_BYTES = 32 << 20


class Linger:
    """Half-closes a connection, and discards what still comes."""

    def __init__(self) -> None:
        self._over: asyncio.Future[None] | None = None
        self._bytes = 0

    @property
    def has_begun(self) -> bool:
        """Whether what comes is to be discarded."""
        return self._over is not None

    def discard(self, data: bytes) -> None:
        """Count what has come; it ends when that is too much."""
        self._bytes += len(data)
        if self._bytes > LINGER_BYTES:
            self.end()

    def end(self) -> None:
        """Wait no longer."""
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    async def wait(self, transport: asyncio.Transport) -> None:
        """Half-close, and wait until it has ended or the time is over."""
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
