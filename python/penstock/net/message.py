"""Whole HTTP/1.1 messages, and the JSON body of an error."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus

import orjson

__all__ = ["empty_message", "error_body", "json_message"]


def json_message(
    status: int, body: bytes, request_id: str | None, *, keep_alive: bool, http10: bool, headers: bytes = b""
) -> bytes:
    """Return a whole HTTP/1.1 message with a JSON body. `headers`: further header lines, each ended by CRLF."""
    lines = b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
    return _head(status, lines + headers, request_id, keep_alive=keep_alive, http10=http10) + body


def empty_message(request_id: str | None, *, keep_alive: bool, http10: bool, headers: bytes) -> bytes:
    """Return a whole HTTP/1.1 message without a body (204). `headers` as of `json_message`."""
    return _head(204, headers, request_id, keep_alive=keep_alive, http10=http10)


def error_body(kind: str, code: str, message: str) -> bytes:
    """Return the body of an error: an object with the keys message, type, param (null) and code."""
    return orjson.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def _head(status: int, lines: bytes, request_id: str | None, *, keep_alive: bool, http10: bool) -> bytes:
    named = "" if request_id is None else f"x-request-id: {request_id}\r\n"
    # HTTP/1.0 closes unless told otherwise, HTTP/1.1 stays open (RFC 9112 §9.3).
    connection = "" if keep_alive != http10 else f"connection: {'keep-alive' if keep_alive else 'close'}\r\n"
    begin = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ndate: {formatdate(usegmt=True)}\r\n"
    return begin.encode("ascii") + lines + f"{named}{connection}\r\n".encode("ascii")
