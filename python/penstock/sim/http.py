"""The part of HTTP/1.1 (RFC 9112) that a model server needs: requests with a content-length, heads and chunks."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["LAST_CHUNK", "MalformedRequestError", "Request", "RequestReader", "chunk", "head"]

HEAD_LIMIT = 64 * 1024
"""Bytes; uvicorn's h11 limit."""
BODY_LIMIT = 64 * 1024 * 1024
LAST_CHUNK = b"0\r\n\r\n"


class MalformedRequestError(Exception):
    """Bytes that this reader cannot parse as a request. The connection cannot be used any further."""


@dataclass(frozen=True, slots=True)
class Request:
    """One whole request."""

    method: str
    path: str
    query: str
    """What follows the question mark, or empty."""
    headers: dict[str, str]
    """Names in lower case; of repeated ones the last."""
    body: bytes

    @property
    def keep_alive(self) -> bool:
        """Whether the client lets the connection stay open (HTTP/1.1 is the only version spoken)."""
        return "close" not in self.headers.get("connection", "").lower()


class RequestReader:
    """Cuts the bytes of a connection into requests, however they arrive."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take received bytes."""
        self._buffer += data

    def next(self) -> Request | None:
        """Return the next whole request, or None if bytes are missing. Raises MalformedRequestError."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise MalformedRequestError("the head is too long")
            return None
        method, path, headers = _read_head(self._buffer[:end].decode("latin-1"))
        if "transfer-encoding" in headers:
            raise MalformedRequestError("a request body needs a content-length here")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length) > BODY_LIMIT:
            raise MalformedRequestError("the content-length is not usable")
        start = end + 4
        if len(self._buffer) < start + int(length):
            return None
        body = bytes(self._buffer[start : start + int(length)])
        del self._buffer[: start + int(length)]
        path, _, query = path.partition("?")
        return Request(method, path, query, headers, body)


def _read_head(text: str) -> tuple[str, str, dict[str, str]]:
    first, *lines = text.split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or words[2] != "HTTP/1.1":
        raise MalformedRequestError("the first line is no HTTP/1.1 request line")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise MalformedRequestError("a header line has no name")
        headers[name.lower()] = value.strip()
    return words[0], words[1], headers


def head(status: int, *lines: str) -> bytes:
    """Return the head of an answer."""
    return "\r\n".join((f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *lines, "", "")).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Return `data`, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)
