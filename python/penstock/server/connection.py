"""One client connection: aiohttp's handler, with the limits and the manners that it leaves to others."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from penstock.net.malformed import malformed
from penstock.net.socket_options import set_socket_options
from penstock.server.framing import Framing, Part
from penstock.server.linger import Linger
from penstock.server.target import head_line, is_inference

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import StreamReader

    from penstock._core import Call
    from penstock.server.answer import WrittenAnswer
    from penstock.server.registry import Registry

__all__ = ["ClientConnection"]

# A whole head must come within this time, and a whole body: whoever sends slower holds a connection for nothing.
HEAD_SECONDS = 10.0
BODY_SECONDS = 30.0
# What chunks may add to a body: some 200,000 of one byte each. Twice as many took aiohttp up to 2.8 s.
FRAMING_BYTES = 1 << 20
# A client that sends ahead is read no further than this beyond the request in hand, as on the lane.
AHEAD = 64 << 10
# Unsent output of a stream above which the backend is no longer read. With what one read of the backend may bring on
# top (128 KiB, `ROOM` in the binding's `poller`) it stays under the 256 KiB that a stream may have unsent.
WRITE_HIGH_WATER = 64 << 10


class ClientConnection(RequestHandler):
    """A connection of the data listener."""

    __slots__ = (
        "_answer",
        "_begun",
        "_call",
        "_closing",
        "_framing",
        "_head_since",
        "_is_head",
        "_linger",
        "_payload",
        "_registry",
        "head_came",
        "over_limit",
        "way_back",
        "wire",
    )

    def __init__(self, registry: Registry, manager: web.Server, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._registry = registry
        self._call: Call | None = None
        self._answer: WrittenAnswer | None = None
        self._framing = Framing(registry.limits.head)
        # The body of the request whose head came last.
        self._payload: StreamReader | None = None
        # When a head that is not whole began, by `time.monotonic()`.
        self._head_since = 0.0
        # Whether what could not be parsed is a HEAD request.
        self._is_head = False
        # When the first request began, if somebody else had read the beginning of it.
        self._begun: float | None = None
        # When the last head was complete, by `time.monotonic()`.
        self.head_came = 0.0
        # aiohttp forgets its transport when it closes it; the bytes that are still to leave do not forget.
        self.wire: asyncio.Transport | None = None
        self._linger = Linger(self._loop)
        self._closing: asyncio.Task[None] | None = None
        # More connections are open than are allowed: only health checks are answered.
        self.over_limit = False
        # Asked before each new request: whether somebody else goes on with the connection and these bytes.
        self.way_back: Callable[[ClientConnection, bytes], bool] | None = None

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register, unless the lane has; the limit counts this connection too."""
        super().connection_made(transport)
        # uvloop's transports are no subclasses of asyncio's.
        self.wire = cast(asyncio.Transport, transport)
        self.wire.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        set_socket_options(self.wire)
        self.over_limit = not self._registry.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone, whatever it was waiting for."""
        self._registry.remove(self)
        self.wire = None
        self._client_gone()
        self._linger.end()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """A client that closes its side has left, as HAProxy has it for HTTP (fault row 25)."""
        self._client_gone()
        self._linger.end()

    def data_received(self, data: bytes) -> None:
        """Parse what comes, as far as it belongs to the request in hand."""
        if self._linger.has_begun:
            self._linger.discard(data)
            return
        if self._closing is not None:
            return
        if data:
            if self.way_back is not None and self._is_free and self.way_back(self, data):
                return
            self._framing.keep(data)
        elif self._framing.part is Part.BODY:
            # The parser goes on with what it has kept while nobody read the body.
            self._feed(data)
        self._parse()

    def _parse(self) -> None:
        """Give the parser what it may have."""
        was = self._framing.part
        while not self._reading_paused and (piece := self._framing.piece()):
            self._feed(piece)
        self._framing.trim()
        if self._framing.part is Part.HEAD:
            if was is not Part.HEAD:
                self._head_since = time.monotonic()
            if self._framing.is_head_too_large:
                self.refuse_head("head_too_large", f"the head is larger than {self._registry.limits.head} bytes")
        if self._framing.ahead > AHEAD and not self._buffer_paused:
            self._pause_reading_for_buffer()
        else:
            self._resume_reading_if_drained()

    def _feed(self, piece: bytes) -> None:
        count = self._request_count
        super().data_received(piece)
        if self._request_count > count:
            message, payload = self._messages[-1]
            if self._framing.part is Part.BODY:
                # Something is wrong with the body: that is for who reads it.
                self._messages.pop()
                self._lose(getattr(message, "exc", None))
                return
            if not isinstance(message, RawRequestMessage):
                self._is_head = _asks_for_head(self._framing.head)
                self._framing.lose()
                return
            self._framing.begin_body(message)
            self._payload = payload
            self.head_came = time.monotonic()
        if self._payload is not None:
            self._framing.parsed(is_body_over=self._payload.is_eof(), is_paused=self._reading_paused)
            if self._framing.part is Part.LOST:
                self._lose(None)

    def _lose(self, cause: BaseException | None) -> None:
        """Read nothing more, and let nobody wait for the rest of the body."""
        self._framing.lose()
        if self._payload is not None and not self._payload.is_eof():
            error = web.RequestPayloadError(str(cause))
            error.__cause__ = cause
            self._payload.set_exception(error)
            # A reader that the bytes before have woken begins to wait again without looking for it.
            self._loop.call_soon(self._payload.set_exception, error)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, and go on with what is behind the request."""
        response, is_reset = await super().finish_response(request, resp, start_time)
        if response.keep_alive and not is_reset:
            self._framing.answered()
            self._parse()
        return response, is_reset

    def _resume_reading_if_drained(self) -> None:
        # aiohttp asks when it has taken a request from its queue; here what waits is in front of the parser.
        if self._buffer_paused and self._framing.ahead <= AHEAD:
            self._resume_reading_for_buffer()

    def go_on(self, data: bytes, since: float) -> None:
        """Go on with what somebody else has read, and which began at `since` (`time.monotonic()`)."""
        self._begun = since
        self.data_received(data)
        if self._framing.part is Part.HEAD:
            self._head_since = since
        else:
            self.head_came = since

    def is_mostly_framing(self, size: int) -> bool:
        """Whether a chunked body, `size` bytes of which were read, has more around its chunks than is borne."""
        return self._framing.size - size > FRAMING_BYTES

    @property
    def body_due(self) -> float:
        """When a body that is read from now on must have come, by `time.monotonic()`."""
        is_first = self._request_count == 1 and self._begun is not None
        return (self.head_came if is_first else time.monotonic()) + BODY_SECONDS

    @property
    def _is_free(self) -> bool:
        """Whether it stands between two requests, and nothing of the last answer is left to be written."""
        return self.is_idle and self._framing.ahead == 0 and self.unsent == 0

    def leave(self) -> asyncio.Transport:
        """Give up the transport, as if it was lost, and return it."""
        transport = self.wire
        assert transport is not None
        self.transport = None
        self.connection_lost(None)
        return transport

    def pause_writing(self) -> None:
        """The client reads slower than its answer comes."""
        super().pause_writing()
        if self._call is not None:
            self._call.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self._call is not None:
            self._call.resume()

    # The request's side.

    def attach(self, call: Call | None, answer: WrittenAnswer) -> None:
        """From now on this request is the client's: if it leaves, the call ends."""
        self._call, self._answer = call, answer
        if self._paused and call is not None:
            call.pause()

    def detach(self) -> None:
        """The answer is complete."""
        self._call = self._answer = None

    def _client_gone(self) -> None:
        call, answer = self._call, self._answer
        self.detach()
        if call is not None:
            call.gone()
        if answer is not None:
            answer.done(False)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what aiohttp could not parse, or what a handler raised: four keys, never a traceback."""
        if status == 500:
            self._registry.log.error("request_failed", exc_info=exc)
            return self._registry.refusal("internal_error", "internal error")
        answer = self._registry.refusal(*malformed(exc))
        if self._is_head:
            answer.leave_out_body()
        return answer

    def refuse_head(self, code: str, message: str) -> None:
        """Refuse before there is a request, and let go of the connection."""
        if self._closing is not None:
            return
        head = self._framing.head
        answer = self._registry.refusal(code, message, counted=is_inference(*head_line(head)))
        if _asks_for_head(head):
            answer.leave_out_body()
        self._framing.lose()
        if self.transport is not None:
            self.transport.write(answer.message)
        self.close_gently()

    def close_gently(self) -> None:
        """Answer nothing more, and close when the client has had the time to read what it was sent."""
        self.keep_alive(False)
        self._closing = self._loop.create_task(self._linger_and_close())

    async def _linger_and_close(self) -> None:
        await self.linger()
        self.force_close()

    async def linger(self) -> None:
        """Half-close and discard, so that the client can read the answer."""
        if self.transport is not None and not self._linger.has_begun:
            self._framing.lose()
            await self._linger.wait(self.transport)

    @property
    def is_ahead(self) -> bool:
        """Whether the client has sent more than the request in hand."""
        return self._framing.ahead > 0 or self._framing.part is Part.LOST

    @property
    def is_whole(self) -> bool:
        """Whether all of the request in hand has come, so that another may follow."""
        return self._framing.part is Part.WHOLE

    # The registry's side.

    @property
    def is_finishing(self) -> bool:
        """Whether a drain waits for it: a request is being read or answered, or an answer is still leaving or read."""
        return self._busy or self.unsent > 0 or self._closing is not None

    @property
    def _busy(self) -> bool:
        # aiohttp waits on `_waiter` exactly when it has nothing to do.
        return self._waiter is None or self._waiter.done()

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered, and it is not being closed already."""
        return not self._busy and self._framing.part is Part.NOTHING and self._closing is None

    def sweep(self, now: float) -> None:
        """Refuse a head that takes too long. `now`: `time.monotonic()`."""
        if self._framing.part is Part.HEAD and now - self._head_since > HEAD_SECONDS:
            self.refuse_head("request_timeout", f"the head did not come within {HEAD_SECONDS:.0f} s")

    def abort(self) -> None:
        """Drop the connection and whatever was not sent."""
        if self.wire is not None:
            self.wire.abort()

    @property
    def unsent(self) -> int:
        """Bytes that the client has not taken yet, the kernel's buffer not counted."""
        return 0 if self.wire is None else self.wire.get_write_buffer_size()


def _asks_for_head(head: bytes) -> bool:
    """Whether an answer to this request must have no body (RFC 9110 §9.3.2)."""
    return head_line(head)[0] == "HEAD"
