"""The recorded streams of real servers, held against a plain reading of their bytes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from penstock.locust.answer import Answer
from penstock.locust.events import EventReader

RECORDINGS = Path(__file__).parents[2] / "recordings"
OUTPUT = ("content", "reasoning_content", "reasoning", "refusal", "tool_calls")


def chat_streams() -> list[Path]:
    """Return the recordings of chat completions that were answered with a stream."""
    return [
        file
        for file in sorted(RECORDINGS.glob("*/*.raw"))
        if file.with_suffix(".http").read_bytes().startswith(b"POST /v1/chat/completions ")
        and file.read_bytes().startswith(b"HTTP/1.1 200")
        and b"text/event-stream" in head_and_body(file)[0]
    ]


def head_and_body(file: Path) -> tuple[bytes, bytes]:
    """Return the head in lower case, and the body without its framing."""
    head, _, rest = file.read_bytes().partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" not in head.lower():
        return head.lower(), rest
    left, body = io.BytesIO(rest), b""
    while size := int(left.readline() or b"0", 16):
        body += left.read(size)
        left.readline()
    return head.lower(), body


def answer_of(body: bytes) -> Answer:
    reader, answer = EventReader(), Answer(sent=0.0)
    for now, line in enumerate(io.BytesIO(body)):
        data = reader.read(line)
        if data is not None:
            answer.read(data, float(now))
    return answer


@pytest.mark.parametrize("file", chat_streams(), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_recorded_stream(file: Path) -> None:
    _, body = head_and_body(file)
    blocks = body.replace(b"\r\n", b"\n").split(b"\n\n")
    data = [block.removeprefix(b"data:").strip() for block in blocks if block.startswith(b"data:")]
    values = [json.loads(text) for text in data if text != b"[DONE]"]
    deltas = [choice["delta"] for value in values for choice in value.get("choices", [])[:1]]
    usage = [value["usage"]["completion_tokens"] for value in values if value.get("usage")]
    with_output = sum(any(delta.get(name) for name in OUTPUT) for delta in deltas)

    answer = answer_of(body)
    if any("error" in value for value in values):
        assert answer.failure is not None
        assert answer.failure.startswith("error event: ")
        return
    # A stream of TGI 3.3.6 in which a tool call is cut off, and one with empty arguments, say nothing but [DONE].
    finished = any(choice.get("finish_reason") for value in values for choice in value.get("choices", []))
    ended = None if with_output or finished else "empty answer"
    assert answer.failure == (ended if b"[DONE]" in data else "no [DONE]")
    assert len(answer.gaps) == max(0, with_output - 1)
    assert answer.tokens == (usage[-1] if usage else with_output)


def test_there_are_recordings() -> None:
    assert len(chat_streams()) > 20
