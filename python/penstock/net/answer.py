"""Answers whose bytes exist already: aiohttp only learns when they are written and whether the connection stays open.

aiohttp's own response writer would add its headers and its framing, so these classes take its place behind the
interface that it expects.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from aiohttp import web

from penstock.net.private import set_keep_alive

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter

__all__ = ["Answer", "ReadyAnswer"]


class Answer(web.StreamResponse):
    """An answer of which aiohttp writes nothing."""

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write no head, but wait for a client that reads slowly: its next request is not handled before."""
        await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing: the framing of the bytes shows where they end."""

    def set_keep_alive(self, keep_alive: bool) -> None:
        """Decide whether the connection stays open after this answer."""
        set_keep_alive(self, keep_alive)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


class LingeringConnection(Protocol):
    """A connection that can half-close and wait, so that a client that still sends reads its answer."""

    transport: asyncio.Transport | None

    async def linger(self) -> None:
        """Half-close, and return when the client has closed its side or the time is over."""


class ReadyAnswer(Answer):
    """One whole message. `refusal`: bytes of the request may still come, so the connection must linger."""

    def __init__(self, message: bytes, *, keep_alive: bool, refusal: bool = False) -> None:
        super().__init__()
        self.message = message
        self._refusal = refusal
        self.set_keep_alive(keep_alive and not refusal)

    def leave_out_body(self) -> None:
        """Keep only the head, which is the answer to a HEAD request (RFC 9110 §9.3.2)."""
        head, separator, _ = self.message.partition(b"\r\n\r\n")
        self.message = head + separator

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the message."""
        connection = cast("LingeringConnection", request.protocol)
        if connection.transport is not None:
            if request.method == "HEAD":
                self.leave_out_body()
            connection.transport.write(self.message)
            if self._refusal:
                await connection.linger()
        return await super().prepare(request)
