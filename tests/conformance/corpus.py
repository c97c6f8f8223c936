"""Requests of every kind, written by hand: what both ways to the core must treat alike."""

from __future__ import annotations

import json
from typing import Any

from tests.conformance.answers import ANSWERS, BODY_LIMIT, HEAD_LIMIT
from tests.conftest import ask, post
from tests.observation import Request

USER = {"role": "user", "content": "x"}


def _bodies() -> list[Request]:
    texts = {
        "empty": b"",
        "a list": b"[]",
        "a string": b'"fast"',
        "blanks": b" \t\r\n",
        "cut": b'{"model": "fast", ',
        "text behind": json.dumps(ask()).encode() + b" {}",
        "blanks around": b"\r\n\t " + json.dumps(ask()).encode() + b" \n",
        "a byte order mark": b"\xef\xbb\xbf" + json.dumps(ask()).encode(),
        "a trailing comma": json.dumps(ask()).encode()[:-1] + b",}",
        "a comment": b"/* x */" + json.dumps(ask()).encode(),
        "NaN": b'{"model":"fast","messages":[{"role":"user","content":"x"}],"temperature":NaN}',
        "1e999": b'{"model":"fast","messages":[{"role":"user","content":"x"}],"temperature":1e999}',
        "a long number": b'{"model":"fast","messages":[{"role":"user","content":"x"}],"seed":' + b"9" * 400 + b"}",
        "bad utf-8": b'{"model":"fast","messages":[{"role":"user","content":"\xff"}]}',
        "an overlong form": b'{"model":"fast","messages":[{"role":"user","content":"\xc0\xaf"}]}',
        "a raw line end": b'{"model":"fast","messages":[{"role":"user","content":"a\nb"}]}',
        "a raw NUL": b'{"model":"fast","messages":[{"role":"user","content":"a\x00b"}]}',
        "escapes": b'{"model":"f\\u0061st","messages":[{"role":"user","content":"\\u0000\\ud83d\\ude00\\/\\n"}]}',
        "half a pair": b'{"model":"fast","messages":[{"role":"user","content":"\\ud83d"}]}',
        "a bad escape": b'{"model":"fast","messages":[{"role":"user","content":"\\x41"}]}',
        "a key twice": b'{"model":"fast","model":"fast","messages":[]}',
        "a key twice, escaped": b'{"model":"fast","mod\\u0065l":"fast","messages":[]}',
        "a key twice, deeper": b'{"model":"fast","messages":[{"role":"user","role":"user","content":"x"}]}',
        "an escaped key": b'{"mod\\u0065l":"fast","messages":[{"role":"user","content":"x"}]}',
        "single quotes": b"{'model': 'fast'}",
        "latin-1": '{"model":"fast","messages":[{"role":"user","content":"\xe9"}]}'.encode("latin-1"),
        "utf-16": json.dumps(ask()).encode("utf-16"),
        "128 deep": b'{"model":"fast","messages":[{"role":"user","content":"x"}],"x":' + _deep(127) + b"}",
        "129 deep": b'{"model":"fast","messages":[{"role":"user","content":"x"}],"x":' + _deep(128) + b"}",
        "1,000 deep": b'{"model":"fast","messages":' + _deep(1000) + b"}",
        **{f"{size} bytes": json.dumps(ask()).encode().ljust(size) for size in range(BODY_LIMIT - 1, BODY_LIMIT + 2)},
        "unicode": json.dumps(ask("Grüße, 你好, 😀, \u2028"), ensure_ascii=False).encode(),
    }
    return [Request(f"body: {name}", (post(text),)) for name, text in texts.items()]


def _deep(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


VALUES: dict[str, list[Any]] = {
    "model": ["org/slow", "loose", "nope", "FAST", "served", "", "f\u00e4st", None, 5, ["fast"], "x" * 400],
    "messages": [
        [],
        "hi",
        None,
        [1],
        [{"role": "user"}],
        [{"content": "x"}],
        [{"role": "", "content": "x"}],
        [{"role": "wizard", "content": "x"}],
        [{"role": "system", "content": ""}, USER, {"role": "assistant", "content": None}, USER],
        [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}],
        [USER, {"role": "tool", "tool_call_id": "1", "content": "12"}],
    ],
    "stream": [True, None, "yes", 1],
    "n": [0, -1, 1, 1.5, 5, None, "2"],
    "temperature": [0, 2, 2.5, -1, "hot", None],
    "top_p": [0.5, 2, None],
    "max_tokens": [1, 100, 101, 0, -1, 1e9, "10", None],
    "max_completion_tokens": [10, 101, None, -1],
    "stop": ["x", ["a", "b"], [], ["a"] * 5, None, 5, [None]],
    "tools": [[], {}, [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}], [1]],
    "tool_choice": ["auto", {"type": "function", "function": {"name": "f"}}],
    "stream_options": [{"include_usage": True}, {"include_usage": "yes"}, {}, None, 1],
    "chat_template": ["{{ x }}"],
    "chat_template_kwargs": [{"enable_thinking": False}, {"x": 1}, {"enable_thinking": {}}, 1],
    "response_format": [{"type": "json_object"}, {"type": "text"}],
    "logprobs": [True],
    "top_logprobs": [5, -1],
    "logit_bias": [{"5": -100}],
    "frequency_penalty": [1, "x"],
    "seed": [5, 2**63],
    "user": ["somebody", 5],
    "best_of": [2],
    "top_k": [5],
    "guided_json": [{"type": "object"}],
    "nobody_knows": [1, {"a": [1, 2, {"b": None}]}],
    "": [1],
}


def _values() -> list[Request]:
    pairs = [(key, value) for key, values in VALUES.items() for value in values]
    return [
        Request(f"value {at}: {key} = {str(value)[:40]}", (post({**ask(), key: value}),))
        for at, (key, value) in enumerate(pairs)
    ]


def _without(key: str) -> bytes:
    return post({name: value for name, value in ask().items() if name != key})


# Each beside those that `post` gives; an empty value takes a header away.
HEADERS: list[dict[str, str]] = [
    *({"content-type": value} for value in ("", "application/json; charset=utf-8", "Application/JSON", "text/plain")),
    *({"content-type": value} for value in ("application/jsonx", "application/json;", "application/json, text/plain")),
    *(
        {"content-type": value}
        for value in ("application / json", "application/json ;x", "x", ";", "multipart/form-data")
    ),
    *({"content-encoding": value} for value in ("identity", "gzip", "Identity", "x")),
    *({"connection": value} for value in ("close", "Close", "keep-alive", "Keep-Alive", "keep-alive, close", "x-a")),
    *({"host": value} for value in ("", "x:80", "[::1]", "X.Example", "a" * 300)),
    *(
        {"x-request-id": value}
        for value in ("own-1", "a" * 128, "a" * 129, "has space", "semi;colon", "Ä", "-", "own_2.3")
    ),
    *({"x-tenant": value} for value in ("blue", "b" * 300, "two words")),
    *({"x-priority": value} for value in ("high", "HIGH", "low", "normal", "bogus", "high, low")),
    *({"x-session-id": value} for value in ("s1", "s" * 300)),
    {
        "authorization": "Bearer secret",
        "cookie": "a=b",
        "host": "localhost",
        "origin": "http://localhost",
        "referer": "http://x",
    },
    *({"origin": origin} for origin in ("http://evil.example", "null", "http://test:80", "http://127.0.0.1")),
    *({"sec-fetch-site": site} for site in ("cross-site", "same-site", "same-origin", "none")),
    {"accept": "text/event-stream", "accept-encoding": "gzip, br", "accept-language": "de"},
    {"user-agent": "OpenAI/Python 3.54.0", "x-stainless-retry-count": "1", "x-stainless-read-timeout": "600"},
    {"x-forwarded-for": "10.0.0.1", "x-forwarded-proto": "https", "forwarded": "for=10.0.0.1", "via": "1.1 x"},
    {"proxy-connection": "close"},
    {"keep-alive": "timeout=5", "proxy-connection": "keep-alive", "trailer": "x-t", "te": "trailers"},
    {
        "x-api-key": "secret",
        "openai-organization": "o",
        "idempotency-key": "1",
        "x-tenant": "blue",
        "x-priority": "low",
    },
    {"range": "bytes=0-1", "if-none-match": "*", "date": "x", "content-md5": "x", "content-language": "de"},
]


def _headers() -> list[Request]:
    given = [post(ask(), **headers) for headers in HEADERS]
    line, _, rest = post(ask()).partition(b"\r\n")
    for extra in (
        *(b"%s: %s\r\n%s: %s\r\n" % (name, first, name, second) for name, first, second in _TWICE),
        *(b"%s:\r\n" % name for name in _READ),
        *(b"%s: a\xff\xfe\r\n" % name for name in _READ),
        b"x-a:none\r\nX-B:  \t two \t \r\n",
        b"x-request-id: \t own-3 \t\r\n",
        *(b"x-a: b\r\n" * count for count in (59, 60, 61, 62, 63, 64, 120)),
    ):
        given.append(line + b"\r\n" + extra + rest)
    given += [
        *_heads(),
        *(_padded(size) for size in (HEAD_LIMIT - 1, HEAD_LIMIT, HEAD_LIMIT + 1, HEAD_LIMIT + 60, 2 * HEAD_LIMIT)),
        *(_padded(size, lines=9) for size in (HEAD_LIMIT - 1, HEAD_LIMIT, HEAD_LIMIT + 1, HEAD_LIMIT + 60)),
    ]
    return [Request(f"header {at}", (request,)) for at, request in enumerate(given)]


_READ = (b"x-request-id", b"x-tenant", b"x-priority", b"x-session-id", b"x-a")
_TWICE = [
    (b"x-request-id", b"own-4", b"own-5"),
    (b"x-tenant", b"blue", b"red"),
    (b"x-priority", b"bogus", b"high"),
    (b"x-priority", b"high", b"bogus"),
    (b"x-session-id", b"s1", b"s2"),
    (b"content-type", b"application/json", b"application/json"),
    (b"content-type", b"text/plain", b"application/json"),
    (b"connection", b"keep-alive", b"close"),
    (b"content-encoding", b"identity", b"gzip"),
    (b"x-a", b"1", b"2"),
]


def _heads() -> list[bytes]:
    """Return a request with its head written in other ways."""
    head, _, body = post(ask()).partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    pairs = [header.split(b": ") for header in headers]
    written = [
        *([rename(name) + b": " + value for name, value in pairs] for rename in (bytes.upper, bytes.title)),
        *([name + b":" + blank + value for name, value in pairs] for blank in (b"", b" \t ")),
        [name + b": " + value + b" \t" for name, value in pairs],
        headers[::-1],
    ]
    return [b"\r\n".join([line, *lines]) + b"\r\n\r\n" + body for lines in written]


def _padded(size: int, lines: int = 1) -> bytes:
    """Return a request with a head of so many bytes."""
    line, _, rest = post(ask()).partition(b"\r\n")
    missing = size - len(line) - 2 - rest.index(b"\r\n\r\n") - 4
    each, left = divmod(missing, lines)
    padding = b"".join(b"x-a: " + b"a" * (each + (left if at == 0 else 0) - 7) + b"\r\n" for at in range(lines))
    return line + b"\r\n" + padding + rest


def _targets() -> list[Request]:
    chat = post(ask())
    paths = ("?a=b", "?", "?a=/v1/models&b=%0d%0a", "#x", "/", "%20", ";a", "/../models")
    given = [chat.replace(b"completions ", f"completions{path} ".encode(), 1) for path in paths]
    others = ("/", "/v1", "//v1/chat/completions", "/v1/chat%2fcompletions", "/v1/Chat/completions")
    given += [post(ask(), path) for path in others]
    given += [post(ask(), f"/v1/{path}") for path in ("completions", "embeddings", "responses", "messages", "models")]
    methods = (b"GET", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"HEAD", b"BREW")
    given += [chat.replace(b"POST", method, 1) for method in methods]
    given += [chat.replace(b"1.1", b"1.0", 1), post(ask(), connection="keep-alive").replace(b"1.1", b"1.0", 1)]
    given += [post(ask(stream=True)).replace(b"1.1", b"1.0", 1)]
    for path in ("/v1/models", "/v1/models/fast", "/v1/models/org/slow", "/v1/models/org%2Fslow", "/v1/models/nope"):
        given.append(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    for path in ("/livez", "/readyz", "/readyz?verbose", "/health", "/nope", "/", "/metrics", "/admin/status"):
        given += [f"{method} {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode() for method in ("GET", "HEAD")]
    return [Request(f"target {at}: {request.split(b' HTTP')[0]!r}", (request,)) for at, request in enumerate(given)]


def _splits() -> list[Request]:
    livez = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"
    whole_request, streamed = post(ask("😀 split", user="u")), post(ask("split", stream=True))
    size, head = len(whole_request), whole_request.index(b"\r\n\r\n")
    places = [1, 5, 40, head, head + 1, head + 2, head + 3, head + 4, head + 5, size - 1]
    given: list[tuple[bytes, ...]] = [(whole_request[:at], whole_request[at:]) for at in places]
    given += [tuple(streamed[at : at + step] for at in range(0, len(streamed), step)) for step in (7, 31, 97)]
    return [
        *(Request(f"split {at}", pieces) for at, pieces in enumerate(given)),
        Request("two at once", (whole_request + streamed,), answers=2),
        Request("two, cut in the second", (whole_request + streamed[:50], streamed[50:]), answers=2),
        Request("three, the second refused", (whole_request + _without("model") + streamed,), answers=3),
        Request("two, another way between", (streamed + livez + streamed,), answers=3),
    ]


def _answers() -> list[Request]:
    return [
        Request(f"answer {at}", (post(ask(str(at), model=f"m{at}", stream=stream)),), script)
        for at, (script, stream) in enumerate(ANSWERS)
    ]


def written() -> list[Request]:
    """Return all requests of this file."""
    missing = [Request(f"no {key}", (_without(key),)) for key in ("model", "messages")]
    return [*_bodies(), *_values(), *missing, *_headers(), *_targets(), *_splits(), *_answers()]
