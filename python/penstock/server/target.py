"""The request target as it was sent.

Every decision is taken on it: `request.url` is rebuilt from the Host header and can be made to say something else
(research/reliability-and-ux.md §1.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["path_of", "query_of"]


def path_of(request: web.BaseRequest) -> str:
    """Return the path. In the absolute form, which proxies are sent, it stands behind the host (RFC 9112 §3.2.2)."""
    path = request.raw_path.partition("?")[0]
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        return "/" + rest.partition("/")[2]
    return path


def query_of(request: web.BaseRequest) -> str:
    """Return what stands behind the question mark."""
    return request.raw_path.partition("?")[2]
