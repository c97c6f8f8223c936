"""Reads the body of a request."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from aiohttp import HttpVersion10, web

from penstock.net.malformed import malformed
from penstock.net.private import HttpProcessingError
from penstock.server.deadlines import BODY_SECONDS
from penstock.server.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.server.connection import ClientConnection

__all__ = ["drop_body", "read_body"]


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """Return the body, of at most `limit` bytes.

    Raises:
        Refused: it is too large, too slow or not well-formed.
        ConnectionError: the client has left.
    """
    if _expects(request) and (request.content_length or 0) <= limit and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    pieces: list[bytes] = []
    await _take(request, limit, pieces.append)
    return b"".join(pieces)


async def drop_body(request: web.BaseRequest, limit: int) -> None:
    """Read and discard a body that is not needed, so that the connection can stay open.

    It is not read if the client waits for 100 (Continue), as it may never send it, or if it is over the limit.
    """
    if request.body_exists and not _expects(request):
        with contextlib.suppress(Refused, ConnectionError):
            await _take(request, limit, lambda _: None)


async def _take(request: web.BaseRequest, limit: int, take: Callable[[bytes], None]) -> None:
    too_large = f"the request body is larger than {limit} bytes"
    if (request.content_length or 0) > limit:
        raise Refused("request_too_large", too_large, closes=True)
    connection: ClientConnection = request.protocol  # type: ignore[assignment]
    is_chunked = request.content_length is None
    size = 0
    try:
        # Ending the wait here is simpler than having the sweep fail the parser's body stream.
        async with asyncio.timeout_at(connection.deadlines.body_due):
            async for piece in request.content.iter_any():
                size += len(piece)
                if size > limit:
                    raise Refused("request_too_large", too_large, closes=True)
                if is_chunked and connection.is_mostly_framing(size):
                    raise Refused("request_too_large", "the request body is in too small chunks", closes=True)
                take(piece)
    except TimeoutError:
        message = f"the request body did not come within {BODY_SECONDS:.0f} s"
        raise Refused("request_timeout", message, closes=True) from None
    except (web.RequestPayloadError, HttpProcessingError) as error:
        # The second kind is what aiohttp's parser in Python raises.
        raise Refused(*malformed(error.__cause__ or error), closes=True) from None


def _expects(request: web.BaseRequest) -> bool:
    """Tell whether the client waits for 100 (Continue) before it sends the body (RFC 9110 §10.1.1)."""
    return request.version != HttpVersion10 and request.headers.get("expect", "").lower() == "100-continue"
