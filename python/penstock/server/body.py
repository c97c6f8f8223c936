"""Finds where the body of a request ends. Errors in it are left to aiohttp's parser."""

from __future__ import annotations

import re

__all__ = ["ChunkedBody", "LengthBody"]

# The size of a chunk (RFC 9112 §7.1).
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[;\r]")
# How much of a line between chunks is kept. A chunk size with more leading zeros counts as malformed.
LINE_BYTES = 64


class LengthBody:
    """A body with a content-length."""

    is_broken = False

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def is_over(self) -> bool:
        """Whether its last byte has been seen."""
        return self._left == 0

    def take(self, data: bytes, at: int) -> int:
        """Consume what belongs to the body in `data` from `at` on, and return where that ends."""
        size = min(self._left, len(data) - at)
        self._left -= size
        return at + size


class ChunkedBody:
    """A body with the transfer coding chunked (RFC 9112 §7.1)."""

    def __init__(self) -> None:
        # What is left of the current chunk, including the line end behind it.
        self._left = 0
        # The current line between chunks, as far as it has come.
        self._line = b""
        self._in_trailer = False
        # Whether its last byte has been seen.
        self.is_over = False
        # Whether a line has been seen that is not a chunk size.
        self.is_broken = False

    def take(self, data: bytes, at: int) -> int:
        """Consume what belongs to the body in `data` from `at` on, and return where that ends."""
        while at < len(data) and not (self.is_over or self.is_broken):
            if self._left:
                size = min(self._left, len(data) - at)
                self._left -= size
                at += size
                continue
            line_end = data.find(b"\n", at) + 1
            end = line_end or len(data)
            self._line += data[at : min(end, at + LINE_BYTES - len(self._line))]
            at = end
            if line_end:
                self._end_line()
        return at

    def _end_line(self) -> None:
        line, self._line = self._line, b""
        if self._in_trailer:
            self.is_over = line == b"\r\n"
        elif (size := CHUNK_SIZE.match(line)) is None:
            self.is_broken = True
        elif (length := int(size[1], 16)) > 0:
            self._left = length + 2
        else:
            self._in_trailer = True
