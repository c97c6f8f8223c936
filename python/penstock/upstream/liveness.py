"""Whether the engine of one backend works, and when one that hung works again.

A hung engine is not tried with the requests of clients. It is back when a request that still runs there has something
after all, or when the engine steps, or when it answers a request of our own for a single token: that one is sent only
while the backend is down and has a slot free, so that it is never one too many.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import orjson

from penstock.upstream.client import NOT_NOW, url_of
from penstock.upstream.dialer import ConnectError
from penstock.upstream.hang import Hang, Look

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock._core import Segment
    from penstock.config.settings import Backend
    from penstock.upstream.gauges import Gauges

__all__ = ["Liveness"]

# A server that has to load its model first needs a while for a token.
TOKEN_SECONDS = 30.0
PAUSE_SECONDS = 5.0


class Liveness:
    """Looks at one backend whose server has just answered a probe."""

    def __init__(self, index: int, backend: Backend, segment: Segment, gauges: Callable[[int], Gauges]) -> None:
        """Make it. `gauges` returns what the engine says now; nothing, where it does not."""
        self._index = index
        self._backend = backend
        self._segment = segment
        self._gauges = gauges
        self._hang = Hang()
        # The last look before the engine was found hung, and why it was.
        self._hung: tuple[Look, str] | None = None
        self._asks_at = 0.0

    async def fault(self, session: aiohttp.ClientSession, serves: str, *, is_down: bool) -> str | None:
        """Return why the engine counts as hung; None if it does not.

        Args:
            session: a client of the backend.
            serves: the name of the model there.
            is_down: whether the backend gets no requests now.
        """
        look, limit = self._look()
        if self._hung is None:
            reason = self._hang.observe(look)
            if reason is not None:
                self._hung = look, reason
            return reason
        before, reason = self._hung
        if look.mark == before.mark and not (is_down and look.own < limit and await self._answers(session, serves)):
            return reason
        self._hung, self._hang = None, Hang()
        return None

    def _look(self) -> tuple[Look, int]:
        own, limit, heard, silences = self._segment.liveness(self._index)
        now, gauges = asyncio.get_running_loop().time(), self._gauges(self._index)
        longest = partial(self._segment.longest_running, self._index)
        return Look(now, own, heard, silences, gauges, longest), limit or 0

    async def _answers(self, session: aiohttp.ClientSession, serves: str) -> bool:
        """Ask for a token. True, too, if the server cannot be asked like this: then it is for its requests to tell."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._asks_at:
            return False
        ask = {"model": serves, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
        url = url_of(self._backend, "/v1/chat/completions")
        headers = {"content-type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=TOKEN_SECONDS)
        try:
            async with session.post(
                url, data=orjson.dumps(ask), headers=headers, timeout=timeout, allow_redirects=False
            ) as answer:
                return answer.status not in NOT_NOW
        except (aiohttp.ClientError, ConnectError, OSError, TimeoutError):
            return False
        finally:
            self._asks_at = loop.time() + PAUSE_SECONDS
