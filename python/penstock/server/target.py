"""The request target as it was sent (RFC 9112 §3.2).

Every decision is based on it, because `request.url` is rebuilt from the Host header, which the client chooses.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import TYPE_CHECKING

from penstock._core import endpoints

if TYPE_CHECKING:
    from aiohttp import web

__all__ = [
    "ENDPOINTS",
    "HEALTH",
    "LATER",
    "MODELS",
    "asks_for_head",
    "head_line",
    "is_inference",
    "nearest",
    "path_of",
    "query_of",
]

ENDPOINTS = tuple(endpoints())
MODELS = "/v1/models"
_INTERFACE = ("/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens")
# Endpoints that are not implemented yet: a clear 501 rather than a 404.
LATER = tuple(path for path in _INTERFACE if path not in ENDPOINTS)
HEALTH = ("/livez", "/readyz", "/health")
# Characters of a path that are compared; longer ones resemble no known path, and comparing takes time.
COMPARED = 64


def is_inference(method: str, target: str) -> bool:
    """Tell whether it is an inference request, which counts in metrics and access log."""
    return method == "POST" and _path(target) in (*ENDPOINTS, *LATER)


@lru_cache(maxsize=256)
def nearest(path: str) -> str:
    """Return the known path that is most similar to another one."""
    return difflib.get_close_matches(path[:COMPARED].lower(), (*ENDPOINTS, MODELS, *LATER, *HEALTH), 1, cutoff=0.0)[0]


def head_line(head: bytes) -> tuple[str, str]:
    """Return the method and the target with which a head begins, as far as it is received."""
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    return method, rest.partition(" ")[0]


def asks_for_head(head: bytes) -> bool:
    """Tell whether an answer to the request that begins like this must have no body (RFC 9110 §9.3.2)."""
    return head_line(head)[0] == "HEAD"


def path_of(request: web.BaseRequest) -> str:
    """Return the path."""
    return _path(request.raw_path)


def _path(target: str) -> str:
    """Return the path; in the absolute form, which is sent to proxies, it follows the host (RFC 9112 §3.2.2)."""
    path = target.partition("?")[0]
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        return "/" + rest.partition("/")[2]
    return path


def query_of(request: web.BaseRequest) -> str:
    """Return the query, without the question mark."""
    return request.raw_path.partition("?")[2]
