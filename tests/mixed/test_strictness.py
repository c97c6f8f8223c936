"""The suite's own readers: what must be refused is refused, for a check that never fails shows nothing."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest

from tests.mixed.book import Ask, Attempt
from tests.mixed.chat import check_whole, error_of
from tests.mixed.fault import Fault
from tests.mixed.oracle import Outcome, judge
from tests.mixed.reader import Answer, Reader
from tests.mixed.stream import Stream

pytestmark = pytest.mark.once

DATE = "date: Mon, 30 Nov 2026 06:13:34 GMT\r\n"
TOP = f"HTTP/1.1 200 OK\r\n{DATE}"
WHOLE = f"{TOP}content-type: application/json\r\ncontent-length: 5\r\n\r\nhello".encode()
CHUNKED = f"{TOP}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1a\r\n{'x' * 26}\r\n0\r\n\r\n".encode()
HEAD = f"{TOP}content-length: 15\r\n\r\n".encode()
DIALOGUE = ((WHOLE, "POST"), (CHUNKED, "POST"), (HEAD, "HEAD"), (WHOLE, "GET"))
BYTES = b"".join(data for data, _ in DIALOGUE)


def read(*pieces: bytes, methods: tuple[str, ...] = ("POST",)) -> list[tuple[int, dict[str, str], bytes]]:
    """Return all answers to these requests; they have to be all."""
    reader = Reader()
    for method in methods:
        reader.expect(method)
    for piece in pieces:
        reader.feed(piece)
    reader.end()
    if len(reader.answers) != len(methods):
        raise Fault(f"{len(methods)} answers")
    return [(answer.status, answer.headers, bytes(answer.body)) for answer in reader.answers]


def read_dialogue(*pieces: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    return read(*pieces, methods=tuple(method for _, method in DIALOGUE))


def test_a_good_dialogue_is_read_at_every_split() -> None:
    wanted = read_dialogue(BYTES)
    assert [body for _, _, body in wanted] == [b"hello", b"hello" + b"x" * 26, b"", b"hello"]
    for at in range(len(BYTES)):
        assert read_dialogue(BYTES[:at], BYTES[at:]) == wanted
    assert read_dialogue(*(BYTES[at : at + 1] for at in range(len(BYTES)))) == wanted


@pytest.mark.parametrize("fresh", [b"", b"x", b"0", b"\r\n"])
def test_no_byte_more_less_or_other_goes_unseen(fresh: bytes) -> None:
    wanted = read_dialogue(BYTES)
    reasons = [at + len(b"HTTP/1.1 200 ") + byte for at in starts() for byte in range(len("OK"))]
    for at in range(len(BYTES)):
        for end in (at, at + 1):
            changed = BYTES[:at] + fresh + BYTES[end:]
            # The words of a reason mean nothing.
            if changed == BYTES or {at, at - 1} & set(reasons):
                continue
            with suppress(Fault):
                assert read_dialogue(changed) != wanted, (at, changed[at - 20 : at + 20])


def starts() -> list[int]:
    return [at for at in range(len(BYTES)) if BYTES.startswith(b"HTTP/1.1", at)]


ODD = {
    "two framings": f"{TOP}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\nhello",
    "no framing": f"{TOP}\r\nhello",
    "two lengths": f"{TOP}content-length: 5\r\ncontent-length: 5\r\n\r\nhello",
    "a length with a sign": f"{TOP}content-length: +5\r\n\r\nhello",
    "another coding": f"{TOP}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "no date": "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "HTTP/1.0": f"HTTP/1.0 200 OK\r\n{DATE}content-length: 5\r\n\r\nhello",
    "a status of two digits": f"HTTP/1.1 20 OK\r\n{DATE}content-length: 5\r\n\r\nhello",
    "a blank line in front": f"\r\n{TOP}content-length: 5\r\n\r\nhello",
    "bare LF": f"{TOP}content-length: 5\n\r\n\r\nhello",
    "a folded header": f"{TOP}x-a: b\r\n c\r\ncontent-length: 5\r\n\r\nhello",
    "a blank before the colon": f"{TOP}content-length : 5\r\n\r\nhello",
    "an extension": f"{TOP}transfer-encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\n\r\n",
    "a leading zero": f"{TOP}transfer-encoding: chunked\r\n\r\n05\r\nhello\r\n0\r\n\r\n",
    "a trailer": f"{TOP}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    "a chunk that is longer": f"{TOP}transfer-encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
    "no last chunk": f"{TOP}transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "half a body": f"{TOP}content-length: 6\r\n\r\nhello",
    "a byte behind": f"{TOP}content-length: 4\r\n\r\nhello",
    "bytes behind a close": f"{TOP}connection: close\r\ncontent-length: 4\r\n\r\nhell" + WHOLE.decode(),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_is_refused(name: str) -> None:
    with pytest.raises(Fault, match="expected"):
        read(ODD[name].encode(), methods=("POST", "POST") if "close" in name else ("POST",))


def test_an_answer_to_nothing_is_refused() -> None:
    with pytest.raises(Fault, match="no request is unanswered"):
        read(WHOLE, methods=())


ID = "chatcmpl-" + "0" * 32
IDENTITY = {"id": ID, "object": "chat.completion.chunk", "created": 1_800_000_000, "model": "fast"}


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return f"data: {json.dumps({**IDENTITY, 'choices': [choice], **more})}\n\n"


ROLE = chunk({"role": "assistant", "content": ""})
TEXT = chunk({"content": "hello"})
STOP = chunk({}, "stop")
DONE = "data: [DONE]\n\n"
USAGE = f"data: {json.dumps({**IDENTITY, 'choices': [], 'usage': {}})}\n\n"
ERROR = 'data: {"error":{"message":"m","type":"server_error","param":null,"code":"upstream_reset"}}\n\n'
GOOD = ROLE + TEXT + STOP + DONE
HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "transfer-encoding": "chunked",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}


def stream_of(text: str, *, include_usage: bool = False, **headers: str) -> Stream:
    answer = Answer(200, {**HEADERS, **headers}, 0, bytearray(text.encode()), is_complete=True)
    return Stream(answer, "fast", 1, include_usage)


def test_good_streams_are_read() -> None:
    assert stream_of(GOOD).contents == ["hello"]
    assert stream_of(ROLE + TEXT + ERROR).error == "upstream_reset"
    null = [chunk(delta, finish, usage=None) for delta, finish in (({"role": "assistant"}, None), ({}, "stop"))]
    assert stream_of("".join(null) + USAGE + DONE, include_usage=True).usage == {}


WRONG_STREAMS = {
    "no [DONE]": ROLE + TEXT + STOP,
    "[DONE] twice": GOOD + DONE,
    "[DONE] before the reason": ROLE + TEXT + DONE,
    "[DONE] behind an error": ROLE + TEXT + ERROR + DONE,
    "no role": TEXT + STOP + DONE,
    "two roles": ROLE + ROLE + TEXT + STOP + DONE,
    "text behind the reason": ROLE + STOP + TEXT + DONE,
    "a delta that says nothing": ROLE + chunk({}) + STOP + DONE,
    "two ids": ROLE + TEXT.replace(ID, ID[:-1] + "1") + STOP + DONE,
    "another model": GOOD.replace("fast", "served"),
    "the backend's id": GOOD.replace(ID, "backend-1"),
    "usage unasked": ROLE + TEXT + STOP + USAGE + DONE,
    "a comment": ROLE + ": ping\n\n" + TEXT + STOP + DONE,
    "an event name": ROLE + "event: x\n" + TEXT + STOP + DONE,
    "CRLF": GOOD.replace("\n\n", "\r\n\r\n"),
    "half an event behind": GOOD + "data: ",
    "no JSON": ROLE + "data: {\n\n" + STOP + DONE,
    "a key twice": GOOD.replace('"model"', '"model": "fast", "model"'),
    "an error of three keys": ROLE + TEXT + ERROR.replace('"param":null,', ""),
    "an unknown code": ROLE + TEXT + ERROR.replace("upstream_reset", "oops"),
    "chunks in each other": GOOD.replace("hello", 'hello\n\ndata: {"id'),
}


@pytest.mark.parametrize("name", WRONG_STREAMS)
def test_a_wrong_stream_is_refused(name: str) -> None:
    with pytest.raises(Fault, match="expected"):
        stream_of(WRONG_STREAMS[name])


def test_wrong_heads_and_whole_answers_are_refused() -> None:
    with pytest.raises(Fault, match="cache-control"):
        stream_of(GOOD, **{"cache-control": "public"})
    json_head = {"content-type": "application/json"}
    error = bytearray(ERROR.removeprefix("data: ").strip().encode())
    assert error_of(Answer(502, json_head, 0, error)) == "upstream_reset"
    for status in (200, 400, 503):
        with pytest.raises(Fault, match="status"):
            error_of(Answer(status, json_head, 0, error))
    message = {"role": "assistant", "content": "x"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    value = {**IDENTITY, "object": "chat.completion", "choices": [choice]}
    assert check_whole(Answer(200, json_head, 0, bytearray(json.dumps(value).encode())), "fast")[1] == ["x"]
    for wrong in ({**value, "object": "list"}, {**value, "model": "served"}, {**value, "extra": 1}):
        with pytest.raises(Fault, match="expected"):
            check_whole(Answer(200, json_head, 0, bytearray(json.dumps(wrong).encode())), "fast")


def ask_of(*attempts: Attempt, stream: bool = False) -> Ask:
    words = tuple(attempt.word for attempt in attempts) or ("good",)
    return Ask("m", "fast", words, stream, None, 1, False, 0, "p", list(attempts))


def attempt_of(word: str, backend: str = "a", *, reused: bool = False, told: str = "", end: Any = "died") -> Attempt:
    has_begun = bool(told) or word in ("echo", "full", "half_head")
    return Attempt(
        backend, word, reused, 1, [told], None, has_begun, bool(told), end, is_stale=reused and end == "died"
    )


WELL = attempt_of("good", "b", told="hello", end="answered")
SERVED = Outcome(None, contents=["hello"], backend="b")


def test_what_is_right_is_right() -> None:
    judge(ask_of(WELL), SERVED)
    judge(ask_of(attempt_of("die"), WELL), SERVED)
    judge(ask_of(attempt_of("die", "b", reused=True), WELL), SERVED)
    judge(ask_of(attempt_of("die"), attempt_of("hang_up", "b")), Outcome("upstream_reset"))
    judge(ask_of(attempt_of("echo", end="answered")), Outcome("invalid_value"))
    judge(ask_of(*[attempt_of("full", end="answered")] * 3), Outcome("upstream_overloaded"))
    reset = attempt_of("reset_stream", told="hel")
    judge(ask_of(reset, stream=True), Outcome("upstream_reset", True, ["he"], None, "a"))
    judge(ask_of(reset, WELL, stream=True), SERVED)
    cut = attempt_of("cut_stream", told="hel")
    judge(ask_of(cut, stream=True), Outcome("upstream_truncated", True, ["hel"], None, "a"))


WRONG_OUTCOMES = {
    "not asked": (ask_of(), Outcome("upstream_connect")),
    "another's answer": (ask_of(WELL), Outcome(None, contents=["hallo"], backend="b")),
    "a part of the answer": (ask_of(WELL), Outcome(None, contents=["hell"], backend="b")),
    "under another name": (ask_of(WELL), Outcome(None, contents=["hello"], backend="a")),
    "failed though it was answered": (ask_of(WELL), Outcome("upstream_reset")),
    "given up after one backend": (ask_of(attempt_of("die")), Outcome("upstream_reset")),
    "given up after one backend twice": (
        ask_of(attempt_of("die", reused=True), attempt_of("die")),
        Outcome("upstream_reset"),
    ),
    "given up after a stale connection and one backend": (
        ask_of(attempt_of("die", reused=True), attempt_of("die", "b")),
        Outcome("upstream_reset"),
    ),
    "reset before anything began, and given up after one backend": (
        ask_of(attempt_of("reset_stream", told="hel"), stream=True),
        Outcome("upstream_reset"),
    ),
    "tried again where it had failed": (ask_of(attempt_of("die", "b"), WELL), SERVED),
    "tried again though it was refused": (ask_of(attempt_of("echo", end="answered"), WELL), SERVED),
    "refused as something else": (ask_of(attempt_of("echo", end="answered")), Outcome("context_length_exceeded")),
    "given up after one bounce": (ask_of(attempt_of("full", end="answered")), Outcome("upstream_overloaded")),
    "text lost before the cut": (
        ask_of(attempt_of("cut_stream", told="hel"), stream=True),
        Outcome("upstream_truncated", True, ["he"], None, "a"),
    ),
}


@pytest.mark.parametrize("name", WRONG_OUTCOMES)
def test_a_wrong_outcome_is_refused(name: str) -> None:
    with pytest.raises(Fault):
        judge(*WRONG_OUTCOMES[name])
