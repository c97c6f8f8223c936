"""What a backend puts on the wire: heads, chunks and events, and the chat answers in them."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.mixed.book import Ask, Attempt

EVENT_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"
IDENTITY = {"id": "backend-1", "created": 7, "model": "served"}


def head(status: str, length: int | None, more: str = "") -> bytes:
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{framing}\r\n{more}\r\n".encode()


def answer(status: str, value: Any, more: str = "") -> bytes:
    body = json.dumps(value).encode()
    return head(status, len(body), more) + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def cut(data: bytes, dice: random.Random, most: int = 4) -> list[bytes]:
    """Cut into up to `most` pieces, none of them empty."""
    places = sorted({dice.randrange(1, len(data)) for _ in range(dice.randrange(most))}) if len(data) > 1 else []
    ends = [*places, len(data)]
    return [data[start:end] for start, end in zip([0, *places], ends, strict=True)]


def usage_of(ask: Ask) -> dict[str, int]:
    # A number of this request alone.
    prompt = len(ask.prompt)
    return {"prompt_tokens": prompt, "completion_tokens": ask.size + 1, "total_tokens": prompt + ask.size + 1}


def whole_of(ask: Ask, attempt: Attempt, dice: random.Random, finish: str | None = "stop") -> bytes:
    """Return the JSON of a whole answer, and note what it says."""
    texts = texts_of(ask, attempt)
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        for index, text in enumerate(texts)
    ]
    attempt.told, attempt.usage = texts, usage_of(ask)
    value = {**IDENTITY, "object": "chat.completion", "choices": choices, "usage": attempt.usage}
    return json.dumps(value, ensure_ascii=dice.random() < 0.5).encode()


def texts_of(ask: Ask, attempt: Attempt) -> list[str]:
    number = len(ask.attempts)
    return [ask.content(attempt.backend, number, index) for index in range(attempt.sequences)]


class Event:
    """One event of a stream, and what it says: the text of a choice, or nothing."""

    def __init__(self, delta: dict[str, str] | None, index: int = 0, finish: str | None = None, **more: Any) -> None:
        self.index = index
        self.text = (delta or {}).get("content", "")
        self.is_meaningful = bool(self.text) or finish is not None
        choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
        self.value = {**IDENTITY, "object": "chat.completion.chunk", "choices": choices, **more}

    def data(self, dice: random.Random) -> bytes:
        """Return it as SSE, in one of the forms that servers use."""
        text = json.dumps(self.value, ensure_ascii=dice.random() < 0.5).encode()
        colon, end = dice.choice(((b": ", b"\n"), (b": ", b"\n"), (b":", b"\n"), (b": ", b"\r\n")))
        return b"data" + colon + text + end + end


def swallowed(ask: Ask, dice: random.Random) -> Event:
    """Return an event of which a client gets nothing."""
    return dice.choice((Event({}), Event({"content": ""}), Event(None, usage=usage_of(ask))))


def events_of(ask: Ask, attempt: Attempt, dice: random.Random, merged: float = 0.2) -> list[Event]:
    """Return the events of a whole stream, all but [DONE].

    `merged`: the chance that a choice says its finish_reason together with its last text.
    """
    attempt.usage = usage_of(ask)
    texts = texts_of(ask, attempt)
    rows = [_choice_events(text, index, dice, merged) for index, text in enumerate(texts)]
    events = []
    while any(rows):
        row = dice.choice([row for row in rows if row])
        events.append(row.pop(0))
    if dice.random() < 0.3:
        events[-1].value["usage"] = attempt.usage
    else:
        events.append(Event(None, usage=attempt.usage))
    return events


def _choice_events(text: str, index: int, dice: random.Random, merged: float) -> list[Event]:
    size = max(1, len(text) // dice.randrange(1, 12))
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = [Event({"role": "assistant", "content": ""}, index)]
    events += [Event({"content": piece}, index) for piece in pieces[:-1]]
    if dice.random() < merged:
        events.append(Event({"content": pieces[-1]}, index, "stop"))
    else:
        events += [Event({"content": pieces[-1]}, index), Event({}, index, "stop")]
    return events
