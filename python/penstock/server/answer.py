"""Answers whose bytes are ready: aiohttp only learns when they are done and whether the connection stays.

Whatever Penstock sends to a client was written by one place, as a whole HTTP message. aiohttp's own response writer
would add its headers and its framing, so these classes take its place behind the interface that it expects.
"""

from __future__ import annotations

import asyncio
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

    from penstock.server.connection import ClientConnection

__all__ = ["ReadyAnswer", "WrittenAnswer", "empty_message", "json_message"]


def json_message(
    status: int, body: bytes, request_id: str | None, *, keep_alive: bool, http10: bool, headers: bytes = b""
) -> bytes:
    """Return a whole HTTP/1.1 message with a JSON body. `headers`: further header lines, each ended by CRLF."""
    lines = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    return _head(status, lines + headers, request_id, keep_alive=keep_alive, http10=http10) + body


def empty_message(request_id: str | None, *, keep_alive: bool, http10: bool, headers: bytes) -> bytes:
    """Return a whole HTTP/1.1 message that says all in its head. `headers` as of `json_message`."""
    return _head(204, headers, request_id, keep_alive=keep_alive, http10=http10)


def _head(status: int, lines: bytes, request_id: str | None, *, keep_alive: bool, http10: bool) -> bytes:
    named = "" if request_id is None else f"x-request-id: {request_id}\r\n"
    # HTTP/1.0 closes unless told otherwise, HTTP/1.1 stays open (RFC 9112 §9.3).
    connection = "" if keep_alive != http10 else f"connection: {'keep-alive' if keep_alive else 'close'}\r\n"
    begin = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ndate: {formatdate(usegmt=True)}\r\n"
    return begin.encode("ascii") + lines + f"{named}{connection}\r\n".encode("ascii")


class _Answer(web.StreamResponse):
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Make no head, but wait for a client that does not read: its next request is not begun before."""
        await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the body is its own end."""

    def close_connection(self, *, keep_alive: bool) -> None:
        self._keep_alive = keep_alive

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


class WrittenAnswer(_Answer):
    """An answer that others write to the transport: `done` says that they have."""

    def __init__(self) -> None:
        super().__init__()
        self._over: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def done(self, keep_alive: bool) -> None:
        """Say that the last byte is written."""
        if not self._over.done():
            self._over.set_result(keep_alive)

    async def wait(self) -> None:
        """Wait for the last byte, or for the client to leave."""
        self.close_connection(keep_alive=await self._over)


class ReadyAnswer(_Answer):
    """One whole message. `refusal`: bytes of the request may still come, so the connection must linger."""

    def __init__(self, message: bytes, *, keep_alive: bool, refusal: bool = False) -> None:
        super().__init__()
        self.message = message
        self._refusal = refusal
        self.close_connection(keep_alive=keep_alive and not refusal)

    def leave_out_body(self) -> None:
        """Keep the head alone, which is the answer to a HEAD request (RFC 9110 §9.3.2)."""
        head, separator, _ = self.message.partition(b"\r\n\r\n")
        self.message = head + separator

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the message."""
        connection: ClientConnection | Any = request.protocol
        if connection.transport is not None:
            if request.method == "HEAD":
                self.leave_out_body()
            connection.transport.write(self.message)
            if self._refusal:
                await connection.linger()
        return await super().prepare(request)
