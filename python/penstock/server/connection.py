"""One client connection: aiohttp's handler, with the limits, the framing and the orderly close that it lacks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from penstock.net.malformed import malformed
from penstock.net.private import ObservableHandler, RawRequestMessage, as_transport
from penstock.net.socket_options import set_socket_options
from penstock.server.deadlines import HEAD_SECONDS, Deadlines
from penstock.server.framing import Framing, Part
from penstock.server.linger import Linger
from penstock.server.running_request import RunningRequest
from penstock.server.target import asks_for_head, head_line, is_inference

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import StreamReader

    from penstock.server.registry import Registry

__all__ = ["ClientConnection"]

# How many bytes the framing of chunks may add to a body: some 200,000 chunks of one byte. Twice as many took aiohttp up
# to 2.8 s.
FRAMING_BYTES = 1 << 20
# Stop reading a client that has sent more than this beyond its current request, as the lane does.
AHEAD = 64 << 10
# Unsent output of a stream above which its backend is no longer read. One more read of the backend (128 KiB,
# `BACKEND_READ` of the binding's `poller`) keeps it under the 256 KiB that a stream may have unsent.
WRITE_HIGH_WATER = 64 << 10


class ClientConnection(ObservableHandler):
    """A connection of the data listener that aiohttp serves."""

    __slots__ = (
        "_closing",
        "_framing",
        "_is_head",
        "_linger",
        "_payload",
        "_registry",
        "deadlines",
        "open_transport",
        "over_limit",
        "running",
        "way_back",
    )

    def __init__(self, registry: Registry, manager: web.Server, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._registry = registry
        self.running = RunningRequest()
        self._framing = Framing(registry.limits.head)
        # The body of the request whose head was parsed last.
        self._payload: StreamReader | None = None
        # Whether a request that could not be parsed is a HEAD request.
        self._is_head = False
        self.deadlines = Deadlines()
        # aiohttp sets `transport` to None when it closes it, but unsent bytes still have to be counted.
        self.open_transport: asyncio.Transport | None = None
        self._linger = Linger()
        self._closing: asyncio.Task[None] | None = None
        # More connections are open than are allowed: only health checks are answered.
        self.over_limit = False
        # Called with the first bytes of each new request; True: the lane has taken the connection over.
        self.way_back: Callable[[ClientConnection, bytes], bool] | None = None

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, unless the lane has done so."""
        super().connection_made(transport)
        self.open_transport = as_transport(transport)
        self.open_transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        set_socket_options(self.open_transport)
        self.over_limit = not self._registry.add(self)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the connection, and end the request that runs for it."""
        self._registry.remove(self)
        self.open_transport = None
        self.running.client_gone()
        self._linger.end()
        super().connection_lost(exc)

    def eof_received(self) -> None:
        """Treat a client that has closed its side as gone, as HAProxy does in HTTP mode."""
        self.running.client_gone()
        self._linger.end()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, as far as they belong to the current request."""
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
            # aiohttp calls with no data when the parser may continue with what it held back while nobody read the body.
            self._feed(data)
        self._parse()

    def _parse(self) -> None:
        """Give the parser the bytes that it may have now."""
        was = self._framing.part
        while not self.is_parser_paused and (piece := self._framing.piece()):
            self._feed(piece)
        self._framing.trim()
        if self._framing.part is Part.HEAD:
            if was is not Part.HEAD:
                self.deadlines.begin_head()
            if self._framing.is_head_too_large:
                self.refuse_head("head_too_large", f"the head is larger than {self._registry.limits.head} bytes")
        if self._framing.ahead > AHEAD and not self.is_transport_paused:
            self.pause_transport()
        else:
            self.request_dequeued()

    def _feed(self, piece: bytes) -> None:
        count = self.parsed_count
        super().data_received(piece)
        if self.parsed_count > count:
            message, payload = self.last_parsed
            if self._framing.part is Part.BODY:
                # An error in the body: it is reported to the reader of the body.
                self.discard_last_parsed()
                self._lose(getattr(message, "exc", None))
                return
            if not isinstance(message, RawRequestMessage):
                self._is_head = asks_for_head(self._framing.head)
                self._framing.lose()
                return
            self._framing.begin_body(message)
            self._payload = payload
            self.deadlines.end_head()
        if self._payload is not None:
            self._framing.parsed(is_body_over=self._payload.is_eof(), is_paused=self.is_parser_paused)
            if self._framing.part is Part.LOST:
                self._lose(None)

    def _lose(self, cause: BaseException | None) -> None:
        """Parse nothing more, and fail the reader that waits for the rest of the body."""
        self._framing.lose()
        if self._payload is not None and not self._payload.is_eof():
            error = web.RequestPayloadError(str(cause))
            error.__cause__ = cause
            self._payload.set_exception(error)
            # A reader that was woken by earlier bytes waits again without checking for the error, so set it once more.
            asyncio.get_running_loop().call_soon(self._payload.set_exception, error)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer, then parse the next request."""
        response, is_reset = await super().finish_response(request, resp, start_time)
        if response.keep_alive and not is_reset:
            self._framing.answered()
            self._parse()
        return response, is_reset

    def request_dequeued(self) -> None:
        """Read the client again if few enough bytes wait; here they wait before the parser, not in its queue."""
        if self.is_transport_paused and self._framing.ahead <= AHEAD:
            self.resume_transport()

    def go_on(self, data: bytes, since: float) -> None:
        """Take bytes that the lane has received, the first of them at `since` (`time.monotonic()`)."""
        self.data_received(data)
        self.deadlines.take_over(since, is_in_head=self._framing.part is Part.HEAD)

    def is_mostly_framing(self, size: int) -> bool:
        """Tell whether a chunked body, of which `size` bytes were read, has too much framing around its chunks."""
        return self._framing.size - size > FRAMING_BYTES

    @property
    def _is_free(self) -> bool:
        """Whether the connection is between two requests and nothing is left to be sent."""
        return self.is_idle and self._framing.ahead == 0 and self.unsent_bytes == 0

    def leave(self) -> asyncio.Transport:
        """Give the transport away and return it; to aiohttp the connection is closed."""
        transport = self.open_transport
        assert transport is not None
        self.transport = None
        self.connection_lost(None)
        return transport

    def pause_writing(self) -> None:
        """Stop reading the backend: the client reads more slowly than its answer comes."""
        super().pause_writing()
        self.running.pause()

    def resume_writing(self) -> None:
        """Read the backend again: the client has caught up."""
        super().resume_writing()
        self.running.resume()

    # The request's side.

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to a request that aiohttp could not parse, or whose handler raised; never a traceback."""
        if status == 500:
            self._registry.log.error("request_failed", exc_info=exc)
            return self._registry.refusal("internal_error", "internal error")
        answer = self._registry.refusal(*malformed(exc))
        if self._is_head:
            answer.leave_out_body()
        return answer

    def refuse_head(self, code: str, message: str) -> None:
        """Refuse a request whose head is too large or too late, and close the connection."""
        if self._closing is not None:
            return
        head = self._framing.head
        answer = self._registry.refusal(code, message, counted=is_inference(*head_line(head)))
        if asks_for_head(head):
            answer.leave_out_body()
        self._framing.lose()
        if self.transport is not None:
            self.transport.write(answer.message)
        self.close_gently()

    def close_gently(self) -> None:
        """Answer nothing more, and close when the client has had time to read what it was sent."""
        self.keep_alive(False)
        self._closing = asyncio.get_running_loop().create_task(self._linger_and_close())

    async def _linger_and_close(self) -> None:
        await self.linger()
        self.force_close()

    async def linger(self) -> None:
        """Half-close and discard what comes, so that the client can read the answer."""
        if self.transport is not None and not self._linger.has_begun:
            self._framing.lose()
            await self._linger.wait(self.transport)

    @property
    def is_ahead(self) -> bool:
        """Whether the client has sent more than the current request."""
        return self._framing.ahead > 0 or self._framing.part is Part.LOST

    @property
    def is_whole(self) -> bool:
        """Whether the current request was received completely, so that another may follow."""
        return self._framing.part is Part.WHOLE

    # The registry's side.

    @property
    def is_finishing(self) -> bool:
        """Whether a drain waits for it: a request is being read or answered, or an answer is not sent yet."""
        return not self.is_waiting or self.unsent_bytes > 0 or self._closing is not None

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered, and the connection is not being closed already."""
        return self.is_waiting and self._framing.part is Part.NOTHING and self._closing is None

    def sweep(self, now: float) -> None:
        """Refuse a head that takes too long. `now`: `time.monotonic()`."""
        if self._framing.part is Part.HEAD and self.deadlines.is_head_late(now):
            self.refuse_head("request_timeout", f"the head did not come within {HEAD_SECONDS:.0f} s")

    def abort(self) -> None:
        """Close at once; what was not sent is lost."""
        if self.open_transport is not None:
            self.open_transport.abort()

    @property
    def unsent_bytes(self) -> int:
        """Bytes that wait in the transport; the kernel's buffer is not counted."""
        return 0 if self.open_transport is None else self.open_transport.get_write_buffer_size()
