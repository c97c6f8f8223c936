"""Requests that chance makes of all that clients send, and of all that goes wrong on the way; by a seed."""

from __future__ import annotations

import json
import random
from typing import Any

from tests.backend import LAST_CHUNK, SSE_HEAD, Peer, Script, answer, chunk
from tests.observation import Request

TEXTS = ["river", "Grüße", "你好", "😀", "\u2028", '"', "\\", "\n", "\t", "\x00", "</script>", "data: ", "%0d%0a", " "]
MODELS = ["fast"] * 8 + ["org/slow", "loose", "nope", "FAST"]
PARAMETERS: dict[str, list[Any]] = {
    "stream": [True, True, False, None],
    "n": [1, 2, 4, 5],
    "temperature": [0, 0.7, 1.5, 3],
    "top_p": [0.1, 1],
    "max_tokens": [1, 50, 100, 1000],
    "max_completion_tokens": [1, 100, 1000, None],
    "stop": ["x", ["a", "b"], [], None],
    "seed": [1, -1, 2**53],
    "presence_penalty": [0, 2, -2],
    "logprobs": [True, False],
    "user": ["u", ""],
    "tools": [[], [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]],
    "stream_options": [{"include_usage": True}, {"include_usage": False}],
    "response_format": [{"type": "json_object"}],
    "metadata": [{"a": "b"}],
    "top_k": [5],
    "made_up": [None, [1, {"a": []}]],
}
HEADERS: dict[str, list[str]] = {
    "content-type": ["application/json", "application/json;charset=utf-8", "Application/Json", "text/plain"],
    "connection": ["keep-alive", "Keep-Alive", "close"],
    "x-request-id": ["own", "no id", "a.b_c-9"],
    "x-tenant": ["blue", "red", ""],
    "x-priority": ["high", "LOW", "none"],
    "x-session-id": ["s1", "s2"],
    "authorization": ["Bearer x"],
    "accept": ["*/*", "text/event-stream"],
    "accept-encoding": ["gzip, deflate"],
    "user-agent": ["curl/8", "x (y; z) \xe9"],
    "x-filler": ["a" * 500],
    "te": ["trailers"],
    "expect": ["x"],
    "content-encoding": ["identity", "gzip"],
}
TARGETS = ["/v1/chat/completions"] * 12 + ["/v1/completions", "/v1/embeddings"] * 3
TARGETS += ["/v1/chat/completions?a=b", "/v1/models", "/v1/responses", "/nope"]
METHODS = ["POST"] * 16 + ["GET", "PUT"]


def generated(seed: int, count: int) -> list[Request]:
    """Return so many requests."""
    chance = random.Random(seed)
    return [_request(chance, f"generated {at}") for at in range(count)]


def _request(chance: random.Random, name: str) -> Request:
    body = _body(chance)
    head = _head(chance, len(body))
    sent = head + body
    cuts = sorted(chance.sample(range(1, len(sent)), chance.choice([0, 0, 0, 1, 2, 5])))
    pieces = tuple(sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True))
    return Request(name, pieces, _script(chance.randrange(1 << 32)))


def _text(chance: random.Random) -> str:
    return "".join(chance.choices(TEXTS, k=chance.randrange(1, 12)))


def _body(chance: random.Random) -> bytes:
    messages = [{"role": chance.choice(["system", "user", "assistant"]), "content": _text(chance)} for _ in range(3)]
    fields = [("model", chance.choice(MODELS)), ("messages", messages[: chance.randrange(1, 4)])]
    prompt: list[Any] = [_text(chance), [_text(chance), "x"], [1, 2], [[1], [2]], ["x", 1], []]
    fields += [("prompt", chance.choice(prompt)), ("input", chance.choice(prompt))]
    fields += [(name, chance.choice(PARAMETERS[name])) for name in chance.sample(list(PARAMETERS), chance.randrange(5))]
    chance.shuffle(fields)
    style: dict[str, Any] = {
        "ensure_ascii": chance.random() < 0.5,
        "separators": chance.choice([(",", ":"), (", ", ": "), (" ,\n", "\t:  ")]),
        "indent": chance.choice([None, None, 2]),
    }
    return _spoilt(chance, json.dumps(dict(fields), **style).encode())


def _spoilt(chance: random.Random, body: bytes) -> bytes:
    """Return the body, or in one case of six one that somebody has damaged."""
    at = chance.randrange(len(body))
    match chance.randrange(30):
        case 0:
            return body[:at]
        case 1:
            return body[:at] + bytes([chance.randrange(256)]) + body[at + 1 :]
        case 2:
            return body[:at] + body[at + 1 :]
        case 3:
            return body + b"}"
        case 4:
            return body[:1] + b'"model":"fast",' + body[1:]
    return body


def _head(chance: random.Random, length: int) -> bytes:
    version = "HTTP/1.0" if chance.random() < 0.04 else "HTTP/1.1"
    names = chance.sample(list(HEADERS), chance.choice([0, 1, 2, 2, 3, 5]))
    headers = [("host", "test"), ("content-length", str(length))] + [
        (name, chance.choice(HEADERS[name])) for name in names
    ]
    chance.shuffle(headers)
    line = f"{chance.choice(METHODS)} {chance.choice(TARGETS)} {version}\r\n"
    return (line + "".join(_header(chance, *header) for header in headers) + "\r\n").encode("latin-1")


def _header(chance: random.Random, name: str, value: str) -> str:
    cased = chance.choice([str.lower, str.title, str.upper])(name)
    return f"{cased}:{chance.choice(['', ' ', ' ', '  ', chr(9)])}{value}{chance.choice(['', '', ' '])}\r\n"


def _script(seed: int) -> Script:
    """Return a script that answers as it was asked, in a way that the seed decides: the same each time."""

    async def script(peer: Peer) -> None:
        chance = random.Random(seed)
        if chance.random() < 0.1:
            status = chance.choice(["400 Bad Request", "422 Unprocessable Content"])
            data = answer(json.dumps({"error": {"message": _text(chance), "param": "top_p"}}).encode(), status)
        elif peer.body.get("stream"):
            data = _streamed(chance, peer.body.get("n") or 1)
        else:
            data = _whole(chance, peer.body.get("n") or 1)
        while data:
            size = chance.choice([1, 20, 300, 100_000])
            peer.send(data[:size])
            await peer.writer.drain()
            data = data[size:]

    return script


def _whole(chance: random.Random, count: int) -> bytes:
    choices = [
        {"index": index, "message": {"role": "assistant", "content": _text(chance)}, "finish_reason": "stop"}
        for index in range(count)
    ]
    value = {"id": "x", "object": "chat.completion", "created": 1, "model": "served", "choices": choices}
    return answer(json.dumps(value, ensure_ascii=chance.random() < 0.5).encode())


def _streamed(chance: random.Random, count: int) -> bytes:
    events = [chunk({"role": "assistant", "content": ""}, index=index) for index in range(count)]
    events += [chunk({"content": _text(chance)}, index=chance.randrange(count)) for _ in range(chance.randrange(1, 9))]
    events += [chunk({}, "stop", index) for index in range(count)] + [b"[DONE]"]
    line_end = chance.choice([b"\n", b"\n", b"\r\n"])
    text = b"".join(b"data: " + event + 2 * line_end for event in events)
    size = chance.choice([1, 17, 200, 100_000])
    pieces = (text[at : at + size] for at in range(0, len(text), size))
    return SSE_HEAD + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + LAST_CHUNK
