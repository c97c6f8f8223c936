"""Answers of every kind that a backend gives, and a configuration with a tier for each."""

from __future__ import annotations

from tests.backend import LAST_CHUNK, SSE_HEAD, Peer, Script, answer, chunk, whole
from tests.faults.test_backend_faults import CASES

# Limits that a request can reach without being long (`config_of`).
BODY_LIMIT = 64 << 10
HEAD_LIMIT = 8 << 10
# The faults whose end is a timer of ours.
TIMERS = ("upstream_timeout", "upstream_stalled", "deadline_exceeded")


def replay(*pieces: bytes, close: bool = False) -> Script:
    """Answer with these bytes, in so many writes."""

    async def script(peer: Peer) -> None:
        for piece in pieces:
            peer.send(piece)
            await peer.writer.drain()
        if close:
            peer.writer.close()

    return script


def _stream(*deltas: str, finish: str | None = "stop", line_end: bytes = b"\n") -> bytes:
    events = [chunk({"content": delta}) for delta in deltas] + [chunk({}, finish), b"[DONE]"]
    return b"".join(b"data: " + event + 2 * line_end for event in events)


def _chunked(data: bytes, size: int) -> bytes:
    pieces = (data[at : at + size] for at in range(0, len(data), size))
    return SSE_HEAD + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + LAST_CHUNK


_STREAM = _stream("Grüße", ' "x"\n', "😀")
_OPEN_HEAD = b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
_USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
_BUSY = b'{"error": {"message": "busy"}}'
# What a backend answers, and whether it was asked for a stream; at most 62.
ANSWERS: list[tuple[Script, bool]] = [
    *((case.script, case.stream) for case in CASES),
    *((replay(_chunked(_STREAM, size)), True) for size in (1, 13)),
    *((replay(_chunked(_stream("a", "b", line_end=end), 1000)), True) for end in (b"\r\n", b"\r")),
    (replay(_OPEN_HEAD, _STREAM, close=True), True),
    (replay(_chunked(b": ping\n\nevent: x\nid: 5\nretry: 5\n\n" + _STREAM, 50)), True),
    (replay(_chunked(b"\xef\xbb\xbf" + _STREAM, 50)), True),
    (replay(_chunked(_stream("a", finish="length"), 50)), True),
    (replay(_chunked(_stream("a").removesuffix(b"data: [DONE]\n\n"), 50)), True),
    (replay(_chunked(_STREAM, 20)[:-40], _chunked(_STREAM, 20)[-40:]), True),
    (replay(whole("Grüße \u2028 😀", usage=_USAGE)), False),
    (replay(*(whole()[at : at + 1] for at in range(len(whole())))), False),
    (replay(b"HTTP/1.1 100 Continue\r\n\r\n" + whole()), False),
    (replay(whole().replace(b"content-type", b"X-Served-By: b\r\nSet-Cookie: a=b\r\nCONTENT-TYPE", 1)), False),
    (replay(whole().replace(b"content-type", b"connection: close\r\ncontent-type", 1), close=True), False),
    (replay(whole("x" * 100_000)), False),
    (replay(whole(finish="content_filter", system_fingerprint="fp", service_tier=None)), False),
    *((replay(answer(_BUSY, status)), False) for status in ("400 Bad Request", "404 Not Found", "422 Unprocessable")),
    *((replay(answer(_BUSY, status)), True) for status in ("403 Forbidden", "502 Bad")),
    *((replay(answer(b"plain", status)), True) for status in ("400 Bad Request", "500 Oops", "503 Loading")),
    (replay(answer(b"", "503 Service Unavailable", "retry-after: 5\r\n")), False),
    (replay(answer(_BUSY, "429 Too Many Requests", "retry-after: 5\r\n")), True),
    (replay(b"HTTP/1.1 204 No Content\r\n\r\n"), False),
]


def config_of(port: int) -> str:
    """Return a configuration for a backend on this port: the models `fast`, `org/slow` and `loose`, and `m0` and so on
    for `ANSWERS`. Those have a tier and a backend each, so that what one does to its backend is nothing to the others.
    """
    timeouts = "{connect: 300ms, first_event: 300ms, between_events: 300ms, total: 1s}"
    url = f"http://127.0.0.1:{port}"
    lines = [
        "access: {tenant_header: x-tenant, priority_header: x-priority}",
        "trusted_proxies: [127.0.0.1]",
        f"limits: {{body: {BODY_LIMIT}B, head: {HEAD_LIMIT}B, response: 1MiB}}",
        "backends:",
        f"  a: {{url: '{url}', serves: served, concurrency: 4}}",
        *(f"  b{at}: {{url: '{url}/b{at}', serves: served, concurrency: 1}}" for at in range(len(ANSWERS))),
        "tiers:",
        "  strict: {models: [fast, org/slow], backends: [a], parameters: {max_tokens: 100, unsupported: strict}}",
        "  lenient: {models: [loose], backends: [a], parameters: {max_tokens: 100, default: {temperature: 0.5}}}",
    ]
    for at in range(len(ANSWERS)):
        timed = at < len(CASES) and CASES[at].code in TIMERS
        lines.append(
            f"  t{at}: {{profile: instant, models: [m{at}], backends: [b{at}]{timed * f', timeouts: {timeouts}'}}}"
        )
    return "\n".join(lines)
