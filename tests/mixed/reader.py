"""A strict reader of HTTP/1.1 answers, written from RFC 9112 alone: bytes in, answers out.

Penstock writes every answer itself, so whatever is unusual in one is a fault, also where a lenient reader could go on.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass, field

from tests.mixed.fault import Fault

VERSION = b"HTTP/1.1 "
# RFC 9112 §4: version, three digits, a reason in words.
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9]{2}) [A-Z][A-Za-z -]*")
# RFC 9112 §5: no blank before the colon, no fold, no empty value, printable ASCII only.
HEADER = re.compile(rb"([A-Za-z0-9!#$%&'*+.^_`|~-]+): ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")
# RFC 9112 §7.1, without extensions and leading zeros.
CHUNK_SIZE = re.compile(rb"[1-9A-Fa-f][0-9A-Fa-f]{0,7}|0")
LENGTH = re.compile(r"[1-9][0-9]{0,11}|0")
DATE = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3][0-9] [A-Z][a-z]{2} 20[0-9]{2} [0-2][0-9]:[0-5][0-9]:[0-6][0-9] GMT"
)
# RFC 9110 §5.3: what is no list may stand once.
ONCE = frozenset({"content-length", "transfer-encoding", "content-type", "connection", "date", "x-request-id"})
LINE_LIMIT = 8192
# What is remembered of earlier bytes, to be shown.
PAST = 512

Steps = Generator[None, None, None]


@dataclass
class Answer:
    """One answer: its body grows while it comes."""

    status: int
    headers: dict[str, str]
    # Where it begins on its connection.
    offset: int
    body: bytearray = field(default_factory=bytearray)
    is_complete: bool = False

    def __str__(self) -> str:
        body = bytes(self.body[:100])
        return f"status {self.status} at byte {self.offset}, {self.headers}, {len(self.body)} bytes that begin {body!r}"

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


class Reader:
    """Reads the answers of one connection, in the order of the requests."""

    def __init__(self) -> None:
        self.answers: deque[Answer] = deque()
        # The one that is coming.
        self.current: Answer | None = None
        self._due: deque[str] = deque()
        self._data = bytearray()
        self._at = 0
        self._offset = 0
        # An answer has said that it is the last.
        self.is_ending = False
        self._steps = self._run()
        next(self._steps)

    def expect(self, method: str) -> None:
        """A request was sent, or the beginning of one: one more answer is due."""
        self._due.append(method)

    def feed(self, data: bytes) -> None:
        """Read what has come.

        Raises:
            Fault: a byte is not what it has to be.
        """
        self._data += data
        next(self._steps)

    def end(self) -> None:
        """The connection has ended in an orderly way.

        Raises:
            Fault: within an answer.
        """
        if self.current is not None or self._at < len(self._data):
            raise self._fault("the rest of the answer, not the end of the connection", len(self._data))

    @property
    def read(self) -> int:
        """How many bytes have come."""
        return self._offset + len(self._data)

    def _run(self) -> Steps:
        last: Answer | None = None
        while True:
            yield from self._need(1)
            if self.is_ending:
                raise self._fault("nothing behind an answer with `connection: close`")
            if not self._due:
                raise self._fault(f"nothing while no request is unanswered, behind {last}")
            answer = self.current = yield from self._head()
            yield from self._body(answer, self._due.popleft())
            answer.is_complete, self.current = True, None
            self.is_ending = answer.closes
            self.answers.append(answer)
            last = answer
            self._forget()

    def _head(self) -> Generator[None, None, Answer]:
        start = self._at
        line = yield from self._line(VERSION)
        if (found := STATUS_LINE.fullmatch(line)) is None:
            raise self._fault(f"a status line, not {line[:64]!r}", start)
        headers: dict[str, str] = {}
        while True:
            begin = self._at
            line = yield from self._line()
            if not line:
                break
            if (header := HEADER.fullmatch(line)) is None:
                raise self._fault(f"a header line, not {line[:64]!r}", begin)
            name, value = header[1].decode().lower(), header[2].decode()
            if name in headers and name in ONCE:
                raise self._fault(f"one {name}, not two", begin)
            headers[name] = value
        self._check(headers, start)
        return Answer(int(found[1]), headers, self._offset + start)

    def _check(self, headers: dict[str, str], start: int) -> None:
        """Hold the headers that frame a message against each other."""
        length, coding = headers.get("content-length"), headers.get("transfer-encoding")
        if (length is None) == (coding is None):
            raise self._fault("either content-length or transfer-encoding", start)
        if length is not None and not LENGTH.fullmatch(length):
            raise self._fault(f"a content-length in digits, not {length!r}", start)
        if coding not in (None, "chunked"):
            raise self._fault(f"the transfer coding chunked, not {coding!r}", start)
        if headers.get("connection") not in (None, "close"):
            raise self._fault(f"`connection: close` or none, not {headers['connection']!r}", start)
        if not DATE.fullmatch(headers.get("date", "")):
            raise self._fault(f"a date as in RFC 9110 §5.6.7, not {headers.get('date')!r}", start)

    def _body(self, answer: Answer, method: str) -> Steps:
        if method == "HEAD":
            return
        if "content-length" in answer.headers:
            yield from self._bytes(int(answer.headers["content-length"]), answer)
            return
        while True:
            begin = self._at
            line = yield from self._line(limit=8)
            if not CHUNK_SIZE.fullmatch(line):
                raise self._fault(f"the size of a chunk, not {line!r}", begin)
            size = int(line, 16)
            yield from self._bytes(size, answer)
            yield from self._exactly(b"\r\n", "CRLF behind a chunk")
            if size == 0:
                return

    def _bytes(self, count: int, answer: Answer) -> Steps:
        while count:
            yield from self._need(1)
            piece = self._data[self._at : self._at + count]
            answer.body += piece
            self._at += len(piece)
            count -= len(piece)

    def _line(self, begins: bytes = b"", limit: int = LINE_LIMIT) -> Generator[None, None, bytes]:
        """Return a line without its CRLF. What cannot become one is refused at once, and not waited for."""
        searched = self._at
        while True:
            known = bytes(self._data[self._at : self._at + len(begins)])
            if not begins.startswith(known):
                raise self._fault(f"{begins!r}")
            if (end := self._data.find(b"\r\n", searched, self._at + limit + 2)) >= 0:
                break
            if len(self._data) - self._at > limit + 1:
                raise self._fault(f"a line of at most {limit} bytes")
            searched = max(self._at, len(self._data) - 1)
            yield
        line = bytes(self._data[self._at : end])
        self._at = end + 2
        return line

    def _exactly(self, wanted: bytes, what: str) -> Steps:
        while (known := bytes(self._data[self._at : self._at + len(wanted)])) != wanted:
            if not wanted.startswith(known):
                raise self._fault(what)
            yield
        self._at += len(wanted)

    def _need(self, count: int) -> Steps:
        while len(self._data) - self._at < count:
            yield

    def _forget(self) -> None:
        if (gone := self._at - PAST) > 0:
            del self._data[:gone]
            self._at -= gone
            self._offset += gone

    def _fault(self, expected: str, at: int | None = None) -> Fault:
        return Fault(f"expected {expected}", self._data, self._at if at is None else at, self._offset)
