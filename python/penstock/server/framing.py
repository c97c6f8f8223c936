"""Finds where each request ends in the bytes of a client, and decides which bytes the parser gets next.

aiohttp's parser does not report how many bytes a request had, and parses the next request at once. So it gets pieces
that never contain bytes of two requests, and nothing of a request before the previous one is answered. If parser and
framing disagree on where a request ends, nothing more of the connection is read.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from penstock.server.body import ChunkedBody, LengthBody

if TYPE_CHECKING:
    from penstock.net.private import RawRequestMessage

__all__ = ["Framing", "Part"]

HEAD_END = b"\r\n\r\n"
# Empty lines before a request are ignored (RFC 9112 §2.2).
LINE_ENDS = re.compile(rb"[\r\n]*")


class Part(Enum):
    """How much of the current request the parser has been given."""

    NOTHING = "nothing: the connection is between two requests"
    HEAD = "a part of the head"
    BODY = "the head, but not all of the body"
    WHOLE = "all of it: it must be answered before more is parsed"
    LOST = "unknown: nothing more is parsed"


class Framing:
    """The bytes of a client that are not parsed yet, and how far its current request is."""

    def __init__(self, head_limit: int) -> None:
        """Take the maximum size of a head, in bytes."""
        self.part = Part.NOTHING
        # Parsed bytes of the head, later of the body including the framing of chunks.
        self.size = 0
        self._head_limit = head_limit
        self._body: LengthBody | ChunkedBody = LengthBody(0)
        # Received bytes. Those before `_at` are parsed; an incomplete head is kept from `_start` on.
        self._received = b""
        self._start = self._at = 0

    @property
    def ahead(self) -> int:
        """How many received bytes are not parsed yet."""
        return len(self._received) - self._at

    @property
    def head(self) -> bytes:
        """The parsed part of an incomplete head."""
        return self._received[self._start : self._at]

    @property
    def is_head_too_large(self) -> bool:
        """Whether an incomplete head has reached its limit and more of it has come."""
        return self.part is Part.HEAD and self.size == self._head_limit and self.ahead > 0

    def keep(self, data: bytes) -> None:
        """Add received bytes."""
        if self.part is Part.LOST:
            return
        kept = self._start if self.part is Part.HEAD else self._at
        self._received = self._received[kept:] + data
        self._start, self._at = 0, self._at - kept

    def trim(self) -> None:
        """Release the memory of parsed bytes."""
        if self.ahead == 0 and self.part is not Part.HEAD:
            self._received = b""
            self._start = self._at = 0

    def piece(self) -> bytes:
        """Return the bytes that the parser gets next; empty: none for now."""
        match self.part:
            case Part.WHOLE | Part.LOST:
                return b""
            case Part.BODY:
                end = self._body.take(self._received, self._at)
            case Part.NOTHING:
                # The pattern always matches, if only the empty string.
                self._start = self._at = LINE_ENDS.match(self._received, self._at).end()  # type: ignore[union-attr]
                self.size = 0
                end = self._head_piece_end()
            case Part.HEAD:
                end = self._head_piece_end()
        piece = self._received[self._at : end]
        self._at = end
        self.size += len(piece)
        if piece and self.part is Part.NOTHING:
            self.part = Part.HEAD
        return piece

    def _head_piece_end(self) -> int:
        """Return where the next piece of the head ends: behind the first empty line, or where bytes or limit end."""
        found = self._received.find(HEAD_END, max(self._start, self._at - len(HEAD_END) + 1))
        end = len(self._received) if found < 0 else found + len(HEAD_END)
        return min(end, self._at + self._head_limit - self.size)

    def begin_body(self, message: RawRequestMessage) -> None:
        """Take note that the parser has returned a complete head."""
        is_at_end = self.part is Part.HEAD and self.head.endswith(HEAD_END)
        self.part = Part.BODY if is_at_end else Part.LOST
        self.size = 0
        length = message.headers.get("content-length", "0")
        self._body = ChunkedBody() if message.chunked else LengthBody(int(length))

    def parsed(self, *, is_body_over: bool, is_paused: bool) -> None:
        """Take note that the parser has consumed a piece of a body.

        Args:
            is_body_over: whether it says that the body has ended.
            is_paused: whether it holds some of the piece back.
        """
        if self.part is not Part.BODY:
            return
        is_late = self._body.is_over and not is_body_over and not is_paused
        if self._body.is_broken or is_late or (is_body_over and not self._body.is_over):
            self.part = Part.LOST
        elif is_body_over:
            self.part = Part.WHOLE

    def lose(self) -> None:
        """Parse nothing more, and drop the received bytes."""
        self.part = Part.LOST
        self._at = len(self._received)
        self.trim()

    def answered(self) -> None:
        """Take note that the current request is answered and the connection stays open."""
        self.part = Part.NOTHING if self.part is Part.WHOLE else Part.LOST
