"""Which web pages may use the data listener (Fetch Standard, https://fetch.spec.whatwg.org/#http-cors-protocol).

A browser lets any page send requests to any server, and only withholds the answers from it. So every request that
shows by its headers that a page has sent it is refused, except health checks, unless the page is of this server's own
origin or of one that the configuration names. An origin that equals the Host header counts as our own only if it is an
address or localhost: with DNS rebinding a page can have a name of its own that resolves to this address. Clients other
than browsers send none of these headers.
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
# The response headers that a page may read.
EXPOSED = (
    *("x-request-id", "x-penstock-tier", "x-penstock-backend", "x-penstock-variant", "x-penstock-warning"),
    *("server-timing", "retry-after", "retry-after-ms", "x-should-retry"),
)
# The list of header names in a preflight request.
NAMES = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~, -]{1,1024}")
# How long a browser may cache the answer to a preflight; none caches it for more than two hours.
MAX_AGE_SECONDS = 600


def is_preflight(headers: CIMultiDictProxy[str]) -> bool:
    """Tell whether an OPTIONS request is a preflight: a browser asks what a page may send."""
    return "origin" in headers and "access-control-request-method" in headers


class Origins:
    """The origins that the configuration names, and which requests are allowed by them."""

    def __init__(self, cors: Cors) -> None:
        self._named = frozenset(cors.origins)

    def is_foreign(self, request: web.BaseRequest) -> bool:
        """Tell whether the request comes from a page of an origin that is neither this server's own nor named."""
        headers = request.headers
        if self._named_origin(headers) is not None:
            return False
        # Following a link is harmless: the page with the link cannot read the answer.
        is_link = request.method in ("GET", "HEAD") and headers.get("sec-fetch-mode", "").lower() == "navigate"
        sites = headers.getall("sec-fetch-site", [])
        if not is_link and any(site.strip().lower() == "cross-site" for site in sites):
            return True
        origins = headers.getall("origin", [])
        return len(origins) > 1 or any(not _is_at(origin, headers.get("host", "")) for origin in origins)

    def lines(self, headers: CIMultiDictProxy[str]) -> bytes:
        """Return the header lines that let a page of a named origin read the answer; empty for all other requests."""
        origin = self._named_origin(headers)
        if origin is None:
            return b""
        exposed = ", ".join(EXPOSED)
        return (
            f"access-control-allow-origin: {origin}\r\nvary: origin\r\naccess-control-expose-headers: {exposed}\r\n"
        ).encode()

    def preflight_lines(self, headers: CIMultiDictProxy[str], methods: Iterable[str]) -> bytes | None:
        """Return the header lines that allow a preflighted request; None: the origin is not named."""
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
        """Return the request's origin if it is named, or `*` if all are."""
        origins = headers.getall("origin", [])
        if len(origins) != 1:
            return None
        origin = origins[0].lower()
        return origin if origin in self._named else "*" if "*" in self._named else None


def _is_at(origin: str, host: str) -> bool:
    """Tell whether an origin is the host that a request was sent to. A proxy may end TLS: only ports are compared."""
    found = ORIGIN.fullmatch(origin.lower())
    if found is None:
        return False
    default = PORTS[found[1]]
    authority = _with_port(found[2], default)
    return authority == _with_port(host.lower(), default) and _is_fixed(authority)


def _is_fixed(authority: str) -> bool:
    """Tell whether a host is an address, or a name that no name server is asked for (RFC 6761 §6.3)."""
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
