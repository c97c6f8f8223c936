"""One abuse of HTTP, and what must become of it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.backend import Peer
from tests.conftest import ask, post
from tests.observation import End, Observation, Request

# The content of a request, and of the one behind it or within it.
OUTER, INNER = "outer", "inner"
BOTH = (OUTER, INNER)
BODY = json.dumps(ask(OUTER)).encode()
SIZE = len(BODY)
LENGTH = f"content-length: {SIZE}"
CHUNKED = "transfer-encoding: chunked"
CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, BODY)
GOOD = post(ask(OUTER))
NEXT = post(ask(INNER))
CHAT = "POST /v1/chat/completions HTTP/1.1"
OLD = CHAT.replace("1.1", "1.0")
SERVED = "200"
MALFORMED = "400 invalid_value"
HEAD_TOO_LARGE = "431 head_too_large"


@dataclass(frozen=True)
class Verdict:
    """Status and error code of each answer, the state of the connection behind them, and the content of each request
    that reaches a backend.
    """

    answers: tuple[str, ...]
    end: End
    reached: tuple[str, ...]

    @classmethod
    def of(cls, seen: Observation) -> Verdict:
        bodies = (json.loads(request.partition(b"\r\n\r\n")[2]) for request in seen.upstream)
        contents = tuple(body["messages"][0]["content"] for body in bodies)
        return cls(tuple(f"{answer.status} {answer.code}".strip() for answer in seen.answers), seen.end, contents)


@dataclass(frozen=True)
class Abuse:
    """A request and the verdict on it."""

    request: Request
    verdict: Verdict


def request_of(*lines: str, line: str = CHAT, host: str | None = "host: x", body: bytes = BODY) -> bytes:
    """Return a request with these header lines as they are."""
    head = [line, *([] if host is None else [host]), *lines]
    return "\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body


def abuse(
    name: str,
    *pieces: bytes,
    answers: tuple[str, ...],
    end: End = "open",
    reached: tuple[str, ...] = (),
    pause: float = 0.001,
) -> Abuse:
    return Abuse(Request(name, pieces, answers=len(answers), pause=pause), Verdict(answers, end, reached))


def served(name: str, *pieces: bytes, reached: tuple[str, ...] = (OUTER,), end: End = "open") -> Abuse:
    """All is well: every request gets its answer."""
    return abuse(name, *pieces, answers=(SERVED,) * len(reached), end=end, reached=reached)


def refused(name: str, *pieces: bytes, answer: str = MALFORMED) -> Abuse:
    """One refusal, behind which nothing is read any more."""
    return abuse(name, *pieces, answers=(answer,), end="closed")


def unheard(name: str, *pieces: bytes, pause: float = 0.05, reached: tuple[str, ...] = ()) -> Abuse:
    """The client closes its side before it has an answer, so it gets none: it has left (fault row 25)."""
    request = Request(name, pieces, hold, answers=0, pause=pause, leaves=True)
    return Abuse(request, Verdict((), "closed", reached))


def bytewise(data: bytes) -> tuple[bytes, ...]:
    """Return every byte alone."""
    return tuple(data[at : at + 1] for at in range(len(data)))


async def hold(peer: Peer) -> None:
    """Never answer."""
    await peer.gone()
    peer.writer.close()
