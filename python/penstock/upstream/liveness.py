"""Whether the engine of one backend works, and whether one that hung works again.

A hung engine is not tested with clients' requests. It has recovered when a request that still runs there receives
something after all, when the engine makes a step, or when it answers a request of our own for a single token. That one
is sent only while the backend is down and has a free slot, so that the limit is kept.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import aiohttp
import orjson

from penstock.upstream.client import NOT_NOW, url_of
from penstock.upstream.dialer import ConnectError
from penstock.upstream.engine_hang import EngineHangDetector, Observation

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock._core import Segment
    from penstock.config.settings import Backend
    from penstock.upstream.gauges import Gauges

__all__ = ["Liveness"]

# How long a token may take; some servers load their model first.
TOKEN_SECONDS = 30.0
PAUSE_SECONDS = 5.0


class Liveness:
    """Checks one backend whose server has just answered a probe."""

    def __init__(self, index: int, backend: Backend, segment: Segment, gauges: Callable[[int], Gauges]) -> None:
        """Make it. `gauges` returns the engine's gauges; empty if they are not known."""
        self._index = index
        self._backend = backend
        self._segment = segment
        self._gauges = gauges
        self._detector = EngineHangDetector()
        # The observation with which the engine was found hung, and the reason.
        self._hung: tuple[Observation, str] | None = None
        self._next_ask = 0.0

    async def hang(self, session: aiohttp.ClientSession, serves: str, *, is_down: bool) -> str | None:
        """Return why the engine counts as hung; None if it does not.

        Args:
            session: a client of the backend.
            serves: the name of the model there.
            is_down: whether the backend gets no requests now.
        """
        seen, limit = self._observe()
        if self._hung is None:
            reason = self._detector.observe(seen)
            if reason is not None:
                self._hung = seen, reason
            return reason
        before, reason = self._hung
        if seen.progress == before.progress and not (
            is_down and seen.own < limit and await self._answers(session, serves)
        ):
            return reason
        self._hung, self._detector = None, EngineHangDetector()
        return None

    def _observe(self) -> tuple[Observation, int]:
        own, limit, heard, silences = self._segment.liveness(self._index)
        now, gauges = asyncio.get_running_loop().time(), self._gauges(self._index)
        longest = partial(self._segment.longest_running, self._index)
        return Observation(now, own, heard, silences, gauges, longest), limit or 0

    async def _answers(self, session: aiohttp.ClientSession, serves: str) -> bool:
        """Ask for one token. Also True for an error that is none of overload: then only clients' requests can tell."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._next_ask:
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
            self._next_ask = loop.time() + PAUSE_SECONDS
