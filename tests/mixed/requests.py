"""What clients send, in the many forms of it, and what each has to be answered with."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.mixed.book import Ask
from tests.mixed.chat import error_of, json_of, require
from tests.mixed.reader import Answer

PATH = "/v1/chat/completions"
LINE = f"POST {PATH} HTTP/1.1"
MODELS = ("brief", "fast", "wide")
# Forms of a head that say the same; some of them are not for the lane.
TYPES = ("content-type: application/json", "Content-Type: application/json; charset=utf-8", "")
EXTRAS = ("", "", "connection: keep-alive", "user-agent: mixed/1.0", "Accept: */*", "x-session-id: s1", "TE: trailers")


@dataclass
class Sent:
    """One request on the wire: a chat request, or another with what its answer has to be."""

    data: bytes
    method: str = "GET"
    ask: Ask | None = None
    check: Callable[[Answer], None] | None = None
    # An inference request, which counts.
    counts: bool = False
    # Where its head may be taken apart so that what follows looks like another request.
    seam: int | None = None

    def __str__(self) -> str:
        return f"{self.data[:300]!r} ({len(self.data)} bytes; {self.ask})"


def post(ask: Ask, dice: random.Random) -> Sent:
    """Return a chat request as bytes."""
    body = ask.body()
    chunked = dice.random() < 0.1
    lines = ["host: x", dice.choice(TYPES), f"x-request-id: {ask.marker}", dice.choice(EXTRAS)]
    lines.append("transfer-encoding: chunked" if chunked else f"content-length: {len(body)}")
    if dice.random() < 0.3:
        dice.shuffle(lines)
    if chunked:
        at = dice.randrange(1, len(body))
        body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (body[:at], body[at:])) + b"0\r\n\r\n"
    return Sent(message(LINE, *lines, body=body), "POST", ask, counts=True)


def message(line: str, *lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join([line, *filter(None, lines)]).encode() + b"\r\n\r\n" + body


def get(path: str, check: Callable[[Answer], None], method: str = "GET") -> Sent:
    return Sent(message(f"{method} {path} HTTP/1.1", "host: x"), method, check=check)


def alive(answer: Answer) -> None:
    require((answer.status, bytes(answer.body)) == (200, b'{"status":"ok"}'), "status ok", answer)


def no_body(answer: Answer) -> None:
    require((answer.status, bytes(answer.body)) == (200, b""), "status 200 and no body", answer)


def models(answer: Answer) -> None:
    value = json_of(answer.body)
    require(answer.status == 200 and value["object"] == "list", "a list of models", answer)
    require(tuple(sorted(model["id"] for model in value["data"])) == MODELS, f"the models {MODELS}", value)


def one_model(answer: Answer) -> None:
    require(answer.status == 200 and json_of(answer.body)["id"] == "fast", "the model fast", answer)


def refused(code: str, *, closes: bool = False) -> Callable[[Answer], None]:
    """Return a check for this error, and for whether the connection ends with it."""

    def check(answer: Answer) -> None:
        require(error_of(answer) == code, f"the error {code}", answer)
        require(answer.closes == closes, f"`connection: close`: {closes}", answer)

    return check


def hidden(smuggled: Ask) -> Sent:
    """Return a GET whose header and body are a chat request of their own, if read from the wrong place."""
    body = smuggled.body()
    outer = b"GET /livez HTTP/1.1\r\nx-note: "
    inner = message(LINE, "host: x", "content-type: application/json", f"content-length: {len(body)}", body=body)
    return Sent(outer + inner, check=alive, seam=len(outer))


def other(dice: random.Random, smuggle: Callable[[], Ask]) -> Sent:
    """Return a request that is no chat, or a chat that is refused: the connection goes on behind each."""
    bad_json = b'{"model": "fast", "messages": ['
    unknown = b'{"model": "nobody", "messages": [{"role": "user", "content": "x"}]}'
    twice = b'{"model": "fast", "model": "fast", "messages": []}'
    kind = dice.randrange(9)
    if kind < 3:
        return get("/livez", alive)
    if kind == 3:
        return get("/health", no_body, "HEAD")
    if kind == 4:
        return get("/v1/models", models)
    if kind == 5:
        return get("/v1/models/fast", one_model)
    if kind == 6:
        return hidden(smuggle())
    body, code = dice.choice(((bad_json, "invalid_json"), (unknown, "model_not_found"), (twice, "duplicate_key")))
    head = message(LINE, "host: x", f"content-length: {len(body)}")
    return Sent(head + body, "POST", check=refused(code), counts=True)


def malformed(dice: random.Random, behind: bytes) -> Sent:
    """Return bytes that are no request, with one behind that must not be read as one."""
    length = f"content-length: {len(behind)}"
    data, counts = dice.choice(
        (
            (b"NONSENSE\r\n\r\n", False),
            (message(LINE, "host: x", "content-length: 5", "content-length: 6"), False),
            (message(LINE, "host: x", length, "transfer-encoding: chunked", body=b"0\r\n\r\n"), False),
            (message(LINE, "host: x", "content-length: -1"), False),
            (message(LINE, "host: x", "x-a: b\nx-b: c", length), False),
            (message(LINE, "host: x", "x a: b", length), False),
            (message(LINE, length), False),
            (message(LINE.replace("1.1", "1.9"), "host: x", length), False),
            # Its head is good, so it is a request, and a bad one.
            (message(LINE, "host: x", "transfer-encoding: chunked", body=b"zz\r\n"), True),
        )
    )
    return Sent(data + behind, "POST", check=refused("invalid_value", closes=True), counts=counts)


def plain(ask: Ask) -> bytes:
    """Return a chat request in the form that the lane serves."""
    body = ask.body()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-request-id: {ask.marker}\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def cut_up(batch: list[Sent], data: bytes, dice: random.Random) -> list[bytes]:
    """Cut at the ends of requests, at their seams, and anywhere."""
    places, at = set(), 0
    for sent in batch:
        if sent.seam is not None and dice.random() < 0.8:
            places.add(at + sent.seam)
        at += len(sent.data)
        if dice.random() < 0.2:
            places.add(at)
    places |= {dice.randrange(1, len(data)) for _ in range(dice.choice((0, 0, 1, 3)))}
    ends = sorted(places - {0, len(data)})
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
