"""What is wrong with requests that are not well-formed HTTP/1.1: code and message for both planes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from penstock.net.private import LineTooLong, is_too_many_headers

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["fault_of", "malformed"]

# RFC 9110 §7.2: uri-host and an optional port, by RFC 3986 §3.2.2.
HOST = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?")


def malformed(error: BaseException | None) -> tuple[str, str]:
    """Return the error code and the message for an exception of aiohttp's parser."""
    if isinstance(error, LineTooLong) or is_too_many_headers(error):
        return "head_too_large", "the request line or a header line is too long, or there are too many"
    return "invalid_value", "the request is not well-formed HTTP/1.1"


def fault_of(request: web.BaseRequest) -> str | None:
    """Return what is wrong with a request that aiohttp's parser accepts; None: nothing."""
    if request.version.major != 1:
        return f"HTTP/{request.version.major}.{request.version.minor} is not served here"
    host = request.headers.get("host")
    if host is not None and not HOST.fullmatch(host):
        return "the Host header names no host"
    coding = request.headers.get("transfer-encoding")
    if coding is not None and coding.strip().lower() != "chunked":
        return "the only transfer coding that is read here is chunked"
    return None
