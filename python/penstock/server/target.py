"""The request target as it was sent.

Every decision is taken on it: `request.url` is rebuilt from the Host header and can be made to say something else.
"""

from __future__ import annotations

import difflib
from functools import lru_cache
from typing import TYPE_CHECKING

from penstock._core import endpoints

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["ENDPOINTS", "HEALTH", "LATER", "MODELS", "head_line", "is_inference", "nearest", "path_of", "query_of"]

ENDPOINTS = tuple(endpoints())
MODELS = "/v1/models"
_INTERFACE = ("/v1/completions", "/v1/embeddings", "/v1/responses", "/v1/messages", "/v1/messages/count_tokens")
# Endpoints of the interface that are not there yet: a clear 501 rather than a 404.
LATER = tuple(path for path in _INTERFACE if path not in ENDPOINTS)
HEALTH = ("/livez", "/readyz", "/health")
# Longer ones are like none of ours, and to compare takes time.
COMPARED = 64


def is_inference(method: str, target: str) -> bool:
    """Whether it is a request that counts in metrics and log."""
    return method == "POST" and _path(target) in (*ENDPOINTS, *LATER)


@lru_cache(maxsize=256)
def nearest(path: str) -> str:
    """Return the path of ours that is most like another one."""
    return difflib.get_close_matches(path[:COMPARED].lower(), (*ENDPOINTS, MODELS, *LATER, *HEALTH), 1, cutoff=0.0)[0]


def head_line(head: bytes) -> tuple[str, str]:
    """Return the method and the target with which a head begins, as far as they have come."""
    method, _, rest = head.partition(b"\r\n")[0].decode("latin-1").partition(" ")
    return method, rest.partition(" ")[0]


def path_of(request: web.BaseRequest) -> str:
    """Return the path."""
    return _path(request.raw_path)


def _path(target: str) -> str:
    """Return the path. In the absolute form, which proxies are sent, it stands behind the host (RFC 9112 §3.2.2)."""
    path = target.partition("?")[0]
    scheme, separator, rest = path.partition("://")
    if separator and scheme.lower() in ("http", "https"):
        return "/" + rest.partition("/")[2]
    return path


def query_of(request: web.BaseRequest) -> str:
    """Return what stands behind the question mark."""
    return request.raw_path.partition("?")[2]
