"""HTTP requests of our own to a backend: its pages about itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

from penstock.net.private import DialingConnector
from penstock.upstream.dialer import ConnectError, Dialer

if TYPE_CHECKING:
    from penstock.config.settings import Backend

__all__ = ["NOT_NOW", "page_of", "session_for", "url_of", "whole"]

MAX_PAGE_BYTES = 1 << 20
# Statuses after which it is worth asking again soon: the server is busy, loading or restarting. (llama.cpp answers 501
# for a page that is switched off, which is not among them.)
NOT_NOW = {408, 425, 429, 500, 502, 503, 504}


def session_for(backend: Backend, seconds: float) -> aiohttp.ClientSession:
    """Return a client of one backend, for one page at a time, each within so many seconds.

    It closes each connection, because an idle one would occupy one of the few threads of llama.cpp's server.

    Raises:
        OSError, ssl.SSLError: a configured file cannot be read.
    """
    return aiohttp.ClientSession(
        connector=DialingConnector(Dialer(backend).dial),
        timeout=aiohttp.ClientTimeout(total=seconds),
        # Compressing a page of 60 KB every second would cost the server more than sending it.
        headers={**dict(backend.request_headers), "accept-encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(),
    )


def url_of(backend: Backend, path: str) -> str:
    """Return the whole URL of a path of a backend."""
    url = backend.url
    authority = "localhost" if url.path is not None else url.host_header
    scheme = "https" if url.scheme == "https" else "http"
    return f"{scheme}://{authority}{url.prefix}{path}"


async def page_of(session: aiohttp.ClientSession, backend: Backend, path: str) -> bytes | None:
    """Return the body of a page; empty: there is no such page (or one over 1 MiB); None: no answer for now."""
    try:
        async with session.get(url_of(backend, path), allow_redirects=False) as answer:
            if answer.status != 200:
                return None if answer.status in NOT_NOW else b""
            return await whole(answer)
    except (aiohttp.ClientError, ConnectError, OSError, TimeoutError):
        return None


async def whole(answer: aiohttp.ClientResponse) -> bytes:
    """Read a body to its end; empty if it is longer than 1 MiB."""
    body = bytearray()
    async for piece in answer.content.iter_any():
        body += piece
        if len(body) > MAX_PAGE_BYTES:
            return b""
    return bytes(body)
