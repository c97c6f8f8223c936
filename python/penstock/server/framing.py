"""Where each request ends among the bytes that a client sends, and how much of them the parser may have now.

aiohttp's parser does not say how many bytes belonged to what it returns, and goes on with what is behind that. So it
gets its bytes in pieces that never hold bytes of two requests, and nothing of a request before the one in front of it
is answered. Where the two disagree on an end, nothing more is read.
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
# Empty lines in front of a request are no part of it (RFC 9112 §2.2).
LINE_ENDS = re.compile(rb"[\r\n]*")


class Part(Enum):
    """How much of the request in hand the parser has been given."""

    NOTHING = "nothing: it stands between two requests"
    HEAD = "a part of the head"
    BODY = "the head, but not all of the body"
    WHOLE = "all of it: it is to be answered before more is parsed"
    LOST = "nobody knows: nothing more is parsed"


class Framing:
    """The bytes that have come from a client and are not parsed, and the request in hand."""

    def __init__(self, head_limit: int) -> None:
        """Take the largest size of a head, in bytes."""
        self.part = Part.NOTHING
        # Bytes of the request's head that were parsed, then of its body with all that is around chunks.
        self.size = 0
        self._head_limit = head_limit
        self._body: LengthBody | ChunkedBody = LengthBody(0)
        # What has come. Before `_at` it is parsed; a head that is not whole stays in it from `_start` on.
        self._came = b""
        self._start = self._at = 0

    @property
    def ahead(self) -> int:
        """How many bytes wait to be parsed."""
        return len(self._came) - self._at

    @property
    def head(self) -> bytes:
        """What is parsed of a head that is not whole."""
        return self._came[self._start : self._at]

    @property
    def is_head_too_large(self) -> bool:
        """Whether a head that is not whole goes on behind the limit."""
        return self.part is Part.HEAD and self.size == self._head_limit and self.ahead > 0

    def keep(self, data: bytes) -> None:
        """Add what has come."""
        if self.part is Part.LOST:
            return
        kept = self._start if self.part is Part.HEAD else self._at
        self._came = self._came[kept:] + data
        self._start, self._at = 0, self._at - kept

    def trim(self) -> None:
        """Hold no memory for what is parsed."""
        if self.ahead == 0 and self.part is not Part.HEAD:
            self._came = b""
            self._start = self._at = 0

    def piece(self) -> bytes:
        """Take what the parser is to be given next; empty: it must wait."""
        match self.part:
            case Part.WHOLE | Part.LOST:
                return b""
            case Part.BODY:
                end = self._body.take(self._came, self._at)
            case Part.NOTHING:
                # Always a match, if an empty one.
                self._start = self._at = LINE_ENDS.match(self._came, self._at).end()  # type: ignore[union-attr]
                self.size = 0
                end = self._head_piece_end()
            case Part.HEAD:
                end = self._head_piece_end()
        piece = self._came[self._at : end]
        self._at = end
        self.size += len(piece)
        if piece and self.part is Part.NOTHING:
            self.part = Part.HEAD
        return piece

    def _head_piece_end(self) -> int:
        """Return where the head ends at the earliest: behind the first empty line."""
        found = self._came.find(HEAD_END, max(self._start, self._at - len(HEAD_END) + 1))
        end = len(self._came) if found < 0 else found + len(HEAD_END)
        return min(end, self._at + self._head_limit - self.size)

    def begin_body(self, message: RawRequestMessage) -> None:
        """The parser has found a whole head."""
        is_at_end = self.part is Part.HEAD and self.head.endswith(HEAD_END)
        self.part = Part.BODY if is_at_end else Part.LOST
        self.size = 0
        length = message.headers.get("content-length", "0")
        self._body = ChunkedBody() if message.chunked else LengthBody(int(length))

    def parsed(self, *, is_body_over: bool, is_paused: bool) -> None:
        """The parser has taken a piece of a body, which it says is over or not. `is_paused`: it has kept some of it."""
        if self.part is not Part.BODY:
            return
        is_late = self._body.is_over and not is_body_over and not is_paused
        if self._body.is_broken or is_late or (is_body_over and not self._body.is_over):
            self.part = Part.LOST
        elif is_body_over:
            self.part = Part.WHOLE

    def lose(self) -> None:
        """Parse nothing more, and forget what has come."""
        self.part = Part.LOST
        self._at = len(self._came)
        self.trim()

    def answered(self) -> None:
        """The request in hand is answered, and the connection stays open."""
        self.part = Part.NOTHING if self.part is Part.WHOLE else Part.LOST
