"""What a client measures of a streamed answer, and when the answer is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.locust.answer import Answer

DONE = b"[DONE]"


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": choices, **more}).encode()


def text(content: str = "a") -> bytes:
    return chunk({"content": content})


END = chunk({}, "stop")
ROLE = chunk({"role": "assistant", "content": ""})


def answer_of(*events: tuple[float, bytes]) -> Answer:
    """Return the answer to a request that was sent at 100."""
    answer = Answer(sent=100.0)
    for now, data in events:
        answer.read(data, now)
    return answer


def test_a_good_answer() -> None:
    usage = chunk(usage={"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12})
    output = [(103.0, text()), (104.0, text()), (106.5, text())]
    answer = answer_of((101, ROLE), *output, (107, END), (107, usage), (108, DONE))
    assert answer.failure is None
    assert answer.first == 103
    assert answer.gaps == [1.0, 2.5]
    assert answer.done == 108
    assert answer.tokens == 7


def test_without_usage_the_events_with_output_are_counted() -> None:
    assert answer_of((101, ROLE), (102, text()), (103, text()), (104, END), (105, DONE)).tokens == 2


def test_usage_that_is_null_until_the_end_is_none() -> None:
    answer = answer_of((101, chunk({"content": "a"}, usage=None)), (102, chunk({"content": "b"}, usage=None)))
    assert answer.tokens == 2


@pytest.mark.parametrize(
    "delta",
    [
        {"content": "a"},
        {"reasoning_content": "a"},
        {"reasoning": "a"},
        {"refusal": "a"},
        {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": ""}}]},
    ],
    ids=lambda delta: next(iter(delta)),
)
def test_output_is_meaningful(delta: dict[str, Any]) -> None:
    answer = answer_of((101, ROLE), (102, chunk(delta)), (105, chunk(delta)))
    assert (answer.first, answer.gaps, answer.tokens) == (102, [3.0], 2)


@pytest.mark.parametrize(
    "data",
    [
        ROLE,
        chunk({}),
        chunk({"content": None, "tool_calls": []}),
        chunk(usage={"completion_tokens": 0}),
        b'{"choices": null}',
        b'{"prompt_progress": {"total": 9}}',
    ],
)
def test_nothing_else_is(data: bytes) -> None:
    answer = answer_of((101, data), (102, text()))
    assert (answer.first, answer.gaps) == (102, [])


def test_a_finish_reason_is_meaningful_but_no_output() -> None:
    answer = answer_of((101, text()), (102, END), (103, DONE))
    assert answer.gaps == []
    empty = answer_of((101, ROLE), (102, END), (103, DONE))
    assert (empty.failure, empty.first, empty.tokens) == (None, 102, 0)


def test_output_in_any_choice_counts() -> None:
    data = b'{"choices": [{"delta": {}, "finish_reason": "stop"}, {"delta": {"content": "a"}}]}'
    assert answer_of((101, data)).tokens == 1


@pytest.mark.parametrize(
    ("events", "failure"),
    [
        pytest.param([], "no [DONE]", id="nothing at all"),
        pytest.param([text(), END], "no [DONE]", id="no end"),
        pytest.param([DONE], "empty answer", id="an end only"),
        pytest.param([ROLE, chunk(usage={"completion_tokens": 0}), DONE], "empty answer", id="nothing meaningful"),
        pytest.param(
            [text(), b'{"error": {"message": "m", "type": "server_error", "param": null, "code": "upstream_reset"}}'],
            "error event: upstream_reset",
            id="an error",
        ),
        pytest.param(
            [text(), b'{"error": {"message": "m", "type": "server_error", "code": "draining"}}', DONE],
            "error event: draining",
            id="an error and then an end",
        ),
        pytest.param(
            [b'{"error": {"message": "m", "code": 500}}'], "error event: unknown error", id="a number as its code"
        ),
        pytest.param(
            [b'{"error": {"message": "m", "type": "InternalServerError", "code": 500}}'],
            "error event: InternalServerError",
            id="a number as its code, and a type",
        ),
        pytest.param([b'{"error": {"message": "m", "type": "overloaded"}}'], "error event: overloaded", id="no code"),
        pytest.param([b'{"error": "Model is overloaded"}'], "error event: Model is overloaded", id="a string"),
        pytest.param([b'{"error": 5}'], "error event: unknown error", id="a number"),
        pytest.param([text(), b'{"choices": [', DONE], "malformed event", id="no JSON"),
        pytest.param([text(), b'{"choices": 1}', DONE], "malformed event", id="another type"),
        pytest.param([text(), b"\xff", DONE], "malformed event", id="no UTF-8"),
        pytest.param([b"", DONE], "malformed event", id="empty data"),
    ],
)
def test_an_answer_that_is_none(events: list[bytes], failure: str) -> None:
    assert answer_of(*((101.0, data) for data in events)).failure == failure


def test_what_follows_the_end_does_not_count() -> None:
    answer = answer_of((101, text()), (102, DONE), (103, text()), (104, b'{"error": {}}'), (105, DONE))
    assert (answer.failure, answer.done, answer.gaps, answer.tokens) == (None, 102, [], 1)


def test_the_first_error_is_the_failure() -> None:
    events = [(101.0, b'{"error": {"code": "first"}}'), (102.0, b'{"error": {"code": "second"}}')]
    assert answer_of(*events).failure == "error event: first"
