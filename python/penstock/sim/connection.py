"""One connection of the simulated server: an asyncio protocol that reacts at once when its peer leaves."""

from __future__ import annotations

import asyncio
import socket
import struct
from email.utils import formatdate
from typing import TYPE_CHECKING, NoReturn, cast

import orjson

from penstock.sim.faults import SLOW_BYTES, SLOW_SECONDS, Fault
from penstock.sim.http import MalformedRequestError, Request, RequestReader, head

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.sim.dialects.openai import Page
    from penstock.sim.engine import Generation
    from penstock.sim.model import SimModel

__all__ = ["Connection"]

KEEP_ALIVE_SECONDS = 5.0
"""After that an idle connection is closed: uvicorn's and cpp-httplib's default."""


class Connection(asyncio.Protocol):
    """Reads requests one after the other and has `answer` answer each in a task of its own.

    `answer` returns whether the connection may stay open. `connections` holds this one while it is open.

    A peer that closes or half-closes ends the answer in progress: the slots are free, the abort is counted and our side
    is closed before the event loop turns again.
    """

    def __init__(
        self,
        model: SimModel,
        answer: Callable[[Request, Connection], Awaitable[bool]],
        connections: set[Connection],
    ) -> None:
        self._model = model
        self._answer_request = answer
        self._connections = connections
        self._reader = RequestReader()
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._writable: asyncio.Future[None] | None = None
        self._answered = 0
        self.request: Request | None = None
        """The request being answered."""
        self.generation: Generation | None = None
        """What runs in the engine for it."""
        self.slow = False
        """Send the answer in small pieces."""

    # The protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection; refuse it if that is the fault."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._model.stats.connections += 1
        self._model.stats.accepted += 1
        if self._model.fault is Fault.REFUSE:
            self.reset()

    def data_received(self, data: bytes) -> None:
        """Take bytes; answer the next request if none is being answered."""
        self._reader.feed(data)
        self._next()

    def eof_received(self) -> None:
        """Treat a half-close as model servers do: the client is gone."""
        self._peer_left()
        if self._transport.get_write_buffer_size():
            self._transport.abort()  # the peer may never read the rest, and close() would wait for that
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer in progress."""
        self._peer_left()
        self._model.stats.connections -= 1
        self._connections.discard(self)

    def pause_writing(self) -> None:
        """Make senders wait."""
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let senders go on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # One request after the other

    def _next(self) -> None:
        if self._task is not None or self._transport.is_closing():
            return
        try:
            self.request = self._reader.next()
        except MalformedRequestError:
            self._model.stats.refused += 1
            self._transport.write(self.head(400, "content-length: 0", closing=True))
            self.close()
            return
        if self.request is None:
            return
        if self._idle is not None:
            self._idle.cancel()
        self._task = asyncio.get_running_loop().create_task(self._answer(self.request))

    async def _answer(self, request: Request) -> None:
        try:
            keep = await self._answer_request(request, self)
        except Exception as error:
            self.reset()
            context = {"message": "the simulated server failed", "exception": error, "protocol": self}
            asyncio.get_running_loop().call_exception_handler(context)
            return
        keep = keep and not self.last
        self._task = self.generation = None
        self._answered += 1
        if not keep:
            self.close()
            return
        self._idle = asyncio.get_running_loop().call_later(KEEP_ALIVE_SECONDS, self.close)
        self._next()

    def _peer_left(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._task is None:
            return
        stage = self.generation.abandon() if self.generation is not None else None
        if stage is not None:
            peer = self._transport.get_extra_info("peername")
            self._model.stats.abort(self.request_id, peer[1] if peer else 0, stage)
        self._task.cancel()
        self._task = None

    # Writing an answer

    @property
    def request_id(self) -> str:
        """The request's own id, or empty."""
        return self.request.headers.get("x-request-id", "") if self.request is not None else ""

    @property
    def last(self) -> bool:
        """Whether this answer is the connection's last."""
        most = self._model.dialect.requests_per_connection
        return not (self.request and self.request.keep_alive) or (most is not None and self._answered + 1 >= most)

    def head(self, status: int, *lines: str, closing: bool = False) -> bytes:
        """Return the head of an answer, with the lines that every answer of this server has."""
        dialect = self._model.dialect
        date = (f"date: {formatdate(usegmt=True)}",) if dialect.sends_date else ()
        close = ("connection: close",) if closing or self.last else ()
        return head(status, *date, *dialect.headers, *lines, *close)

    async def send(self, data: bytes) -> None:
        """Write, and wait while the peer does not read."""
        if not self.slow:
            await self._write(data)
            return
        for start in range(0, len(data), SLOW_BYTES):
            await self._write(data[start : start + SLOW_BYTES])
            await asyncio.sleep(SLOW_SECONDS)

    async def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)
        if self._writable is not None:
            await self._writable

    async def respond(self, status: int, body: Page, *lines: str) -> bool:
        """Send a whole answer; returns True, as the connection may stay open."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        is_text = isinstance(body, bytes)
        kind = "text/plain; version=0.0.4; charset=utf-8" if is_text else self._model.dialect.json_type
        head = self.head(status, f"content-type: {kind}", f"content-length: {len(data)}", *lines)
        await self.send(head + data)
        return True

    async def refuse(self, status: int, body: Page, *lines: str) -> bool:
        """Send an error, and count it."""
        self._model.stats.refused += 1
        return await self.respond(status, body, *lines)

    async def stall(self) -> NoReturn:
        """Wait until the peer leaves (which cancels the caller)."""
        while True:
            await asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """Close after what is written has been sent."""
        self._transport.close()

    def reset(self) -> None:
        """Close at once with RST: with a linger of 0 s the kernel sends that instead of FIN (socket(7))."""
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def stop(self) -> None:
        """Drop the connection because the server stops."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self._transport.abort()
