"""Which web pages may use the data listener (Fetch Standard, https://fetch.spec.whatwg.org/#http-cors-protocol).

A browser lets any page send requests to any server, and only keeps the answers from it. Whatever shows that a page
sends it, all but health checks are refused unless they come from a page of this very origin or of one that the
configuration names. An origin with a name is not this one by having the name of the request's Host: a page that has let
its own name resolve to this address (DNS rebinding) has both. Whoever is no browser sends none of these headers.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web
    from multidict import CIMultiDictProxy

    from penstock.config.settings import Cors

__all__ = ["Origins", "is_preflight"]

ORIGIN = re.compile(r"(https?)://([^/]+)")
PORT = re.compile(r":[0-9]*$")
PORTS = {"http": ":80", "https": ":443"}
# What a page may read of an answer besides its body.
EXPOSED = (
    *("x-request-id", "x-penstock-tier", "x-penstock-backend", "x-penstock-variant", "x-penstock-warning"),
    *("server-timing", "retry-after", "retry-after-ms", "x-should-retry"),
)
# Names of header fields in a list, as a browser asks for them.
NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")
# How long a browser may remember the answer to a preflight; more than two hours none does.
MAX_AGE_SECONDS = 600


def is_preflight(headers: CIMultiDictProxy[str]) -> bool:
    """Whether an OPTIONS request asks what a page may send."""
    return "origin" in headers and "access-control-request-method" in headers


class Origins:
    """The origins that are named, and what requests of theirs and of others get."""

    def __init__(self, cors: Cors) -> None:
        self._named = frozenset(cors.origins)

    def is_foreign(self, request: web.BaseRequest) -> bool:
        """Whether a page sends the request that is neither this server's own nor named."""
        headers = request.headers
        if self._named_origin(headers) is not None:
            return False
        # Somebody who follows a link sees what it leads to, and the page that has it does not.
        is_link = request.method in ("GET", "HEAD") and headers.get("sec-fetch-mode", "").lower() == "navigate"
        sites = headers.getall("sec-fetch-site", [])
        if not is_link and any(site.strip().lower() == "cross-site" for site in sites):
            return True
        origins = headers.getall("origin", [])
        return len(origins) > 1 or any(not _is_at(origin, headers.get("host", "")) for origin in origins)

    def lines(self, headers: CIMultiDictProxy[str]) -> bytes:
        """Return the header lines that let a named page read the answer; for all other requests none."""
        origin = self._named_origin(headers)
        if origin is None:
            return b""
        exposed = ", ".join(EXPOSED)
        return (
            f"access-control-allow-origin: {origin}\r\nvary: origin\r\naccess-control-expose-headers: {exposed}\r\n"
        ).encode()

    def preflight_lines(self, headers: CIMultiDictProxy[str], methods: Iterable[str]) -> bytes | None:
        """Return the header lines that let a page send what it asks for; None: the page is not named."""
        origin = self._named_origin(headers)
        if origin is None:
            return None
        asked = headers.get("access-control-request-headers", "")
        allowed = f"access-control-allow-headers: {asked}\r\n" if NAMES.fullmatch(asked) else ""
        return (
            f"access-control-allow-origin: {origin}\r\nvary: origin\r\n"
            f"access-control-allow-methods: {', '.join(methods)}\r\n"
            f"{allowed}access-control-max-age: {MAX_AGE_SECONDS}\r\n"
        ).encode()

    def _named_origin(self, headers: CIMultiDictProxy[str]) -> str | None:
        """Return the request's origin, or `*` for it, if it is named."""
        origins = headers.getall("origin", [])
        if len(origins) != 1:
            return None
        origin = origins[0].lower()
        return origin if origin in self._named else "*" if "*" in self._named else None


def _is_at(origin: str, host: str) -> bool:
    """Whether an origin is where a request was sent to. A proxy may have taken the encryption away: ports decide."""
    found = ORIGIN.fullmatch(origin.lower())
    if found is None:
        return False
    default = PORTS[found[1]]
    authority = _with_port(found[2], default)
    return authority == _with_port(host.lower(), default) and _is_fixed(authority)


def _is_fixed(authority: str) -> bool:
    """Whether a host is an address, or a name that browsers do not ask a name server for (RFC 6761 §6.3)."""
    host = PORT.sub("", authority)
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _with_port(authority: str, default: str) -> str:
    port = PORT.search(authority)
    return authority if port and port[0] != ":" else authority.removesuffix(":") + default
