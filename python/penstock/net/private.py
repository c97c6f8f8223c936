"""The private API of aiohttp and uvloop that Penstock depends on. No other file names any of it.

An upgrade may remove or change each of these without notice: `tests/unit/net/test_private.py` has a test for each,
which fails with the name that is gone. (locust's is in `penstock.locust.private`, because importing locust replaces
the standard library's sockets.)

aiohttp: a subclass of `RequestHandler` is the only way to decide which bytes its parser gets and when, and the only one
to give a connection to another protocol between two requests. uvloop: its transports are not subclasses of asyncio's,
and from 0.23 on `write()` calls send(2) before it returns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import aiohttp
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.web_protocol import RequestHandler

__all__ = [
    "DialingConnector",
    "HttpProcessingError",
    "LineTooLong",
    "ObservableHandler",
    "RawRequestMessage",
    "RequestHandler",
    "ResponseHandler",
    "as_transport",
    "is_too_many_headers",
    "set_keep_alive",
]


class ObservableHandler(RequestHandler):
    """aiohttp's handler of one server connection, with public names for the state that is needed here."""

    __slots__ = ()

    @property
    def is_waiting(self) -> bool:
        """Whether every request that was parsed is answered, and the handler waits for the next one."""
        return self._waiter is not None and not self._waiter.done()

    @property
    def parsed_count(self) -> int:
        """How many requests the parser has returned, malformed ones included."""
        return self._request_count

    @property
    def last_parsed(self) -> tuple[Any, aiohttp.StreamReader]:
        """What the parser has returned last: a `RawRequestMessage` or a description of an error, and the body."""
        return self._messages[-1]

    def discard_last_parsed(self) -> None:
        """Remove what the parser has returned last from the queue of requests."""
        self._messages.pop()

    @property
    def is_parser_paused(self) -> bool:
        """Whether the parser holds bytes of a body back because its reader is slower."""
        return self._reading_paused

    @property
    def is_transport_paused(self) -> bool:
        """Whether `pause_transport` is in force."""
        return self._buffer_paused

    def pause_transport(self) -> None:
        """Stop reading from the client, whatever the parser does."""
        self._pause_reading_for_buffer()

    def resume_transport(self) -> None:
        """End `pause_transport`. The client is read again unless the parser is paused."""
        self._resume_reading_for_buffer()

    def request_dequeued(self) -> None:
        """Override it: called after a request was taken from the queue while `pause_transport` is in force."""

    def _resume_reading_if_drained(self) -> None:
        self.request_dequeued()


class DialingConnector(aiohttp.BaseConnector):
    """A client connector whose connections `dial` opens; it gets the factory of the protocol.

    aiohttp's own settings of TLS have no effect. Connections are not kept.
    """

    def __init__(self, dial: Callable[[Callable[[], ResponseHandler]], Awaitable[ResponseHandler]]) -> None:
        super().__init__(force_close=True)
        self._dial = dial

    async def _create_connection(self, *_: Any, **__: Any) -> ResponseHandler:
        return await self._dial(self._factory)


def set_keep_alive(response: web.StreamResponse, keep_alive: bool) -> None:
    """Decide whether the connection stays open after a response; aiohttp has a public way only to close it."""
    response._keep_alive = keep_alive


def is_too_many_headers(error: BaseException | None) -> bool:
    """Tell whether the parser has refused a request for the number of its header lines; it has no type for that."""
    return "Too many headers" in str(error)


def as_transport(transport: asyncio.BaseTransport) -> asyncio.Transport:
    """Return a transport under the type whose methods it has; uvloop's are not subclasses of it."""
    return cast("asyncio.Transport", transport)
