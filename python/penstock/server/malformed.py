"""What is said of a request that aiohttp could not parse."""

from __future__ import annotations

from aiohttp.http_exceptions import LineTooLong

__all__ = ["malformed"]


def malformed(error: BaseException | None) -> tuple[str, str]:
    """Return the error code (contract §6) and the message for what aiohttp's parser has raised."""
    if isinstance(error, LineTooLong) or "Too many headers" in str(error):
        return "head_too_large", "the request line or a header line is too long, or there are too many"
    return "invalid_value", "the request is not well-formed HTTP/1.1"
