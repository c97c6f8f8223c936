"""All that can be seen of one request: by its client, by the backend, and in the log.

What differs from one moment to the next is masked, so that two ways of serving a request can be compared.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest

from penstock._core import LaneConnection
from tests import conftest
from tests.backend import Script, good
from tests.conftest import Gateway, ask, gateway_of, post
from tests.recorder import PROBE, Recorder

Lane = Literal["on", "off"]
LANES: tuple[Lane, ...] = ("on", "off")
# Far more than any answer here takes.
SECONDS = 5.0

DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT")
MADE_ID = re.compile(r"req-[0-9a-f]{24}")
UPSTREAM_ID = re.compile(rb"\r\nx-request-id: ([^\r]*)-[0-9a-f]{8}\r\n")
IN_BODY = re.compile(rb'"(id|created)": ?("chatcmpl-[0-9a-f]{32}"|\d+)')
CHANGING = ("server-timing", "retry-after", "retry-after-ms")


@dataclass(frozen=True)
class Request:
    """What a client sends: `pieces`, with `pause` seconds between them."""

    name: str
    pieces: tuple[bytes, ...]
    script: Script = good
    # How many heads the client waits for, 100 (Continue) included.
    answers: int = 1
    pause: float = 0.001
    # The client closes its side `pause` after the last piece.
    leaves: bool = False

    @property
    def sent(self) -> bytes:
        return b"".join(self.pieces)


@dataclass(frozen=True)
class Answer:
    """One answer, its body out of its chunks."""

    status_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def status(self) -> int:
        return int(self.status_line.split(" ")[1])

    @property
    def code(self) -> str:
        """The error code; empty if it is no error."""
        try:
            error: dict[str, str] = json.loads(self.body)["error"]
        except (ValueError, KeyError):
            return ""
        return error["code"]

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


# How the connection is behind the answers. `cut`: it has ended within one; `silent`: neither an answer nor the end has
# come in time.
End = Literal["open", "closed", "cut", "reset", "silent"]


@dataclass(frozen=True)
class Observation:
    """What was seen, masked."""

    answers: tuple[Answer, ...]
    end: End
    upstream: tuple[bytes, ...]
    # The lines of the access log.
    logged: tuple[dict[str, Any], ...]
    # What was raised in a callback of the loop, where nobody can catch it.
    raised: tuple[str, ...]
    # Whether the lane had the connection in the end; for the tests to prove that they test the lane.
    on_lane: bool = field(compare=False)


@asynccontextmanager
async def serving(lane: Lane, config: str) -> AsyncIterator[Gateway]:
    """Run a configuration with or without the lane."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conftest, "LANE", lane)
        async with gateway_of(config) as gateway:
            yield gateway


async def observe(
    lane: Lane, config: str, recorder: Recorder, requests: Iterable[Request], capfd: pytest.CaptureFixture[str]
) -> dict[str, Observation]:
    """Send requests one after another to a gateway of their own; return what was seen of each, by its name."""
    capfd.readouterr()
    async with serving(lane, config) as gateway:
        seen = {request.name: await _observe(gateway, recorder, request) for request in requests}
    logged = _logged(capfd.readouterr().out)
    return {name: replace(one, logged=lines) for (name, one), lines in zip(seen.items(), logged, strict=True)}


async def _observe(gateway: Gateway, recorder: Recorder, request: Request) -> Observation:
    """Send a request on a connection of its own; then a good one: on the same connection if it is open, else on a new
    one. The good one must be served.
    """
    raised: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(str(context)))
    recorder.begin(request.script)
    reader, writer = await open_client(gateway)
    sending = asyncio.ensure_future(_send(writer, request))

    def is_all(answers: list[Answer]) -> bool:
        is_last = request.leaves or (bool(answers) and answers[-1].header("connection") == "close")
        return len(answers) >= request.answers and not is_last

    seconds = SECONDS + request.pause * len(request.pieces)
    answers, end = await _read(reader, is_all, seconds, has_body=not request.sent.startswith(b"HEAD "))
    await sending
    await gateway.settled()
    on_lane = any(isinstance(open_, LaneConnection) for open_ in gateway.service.worker.registry.connections())
    upstream = tuple(UPSTREAM_ID.sub(_mask_upstream, request) for request in recorder.requests)
    if end == "open":
        more, end = await _probe(reader, writer)
        answers += more
    writer.transport.abort()
    if end != "open":
        reader, writer = await open_client(gateway)
        assert await _probe(reader, writer) == ([], "open"), f"behind {request.name} nothing is served"
        writer.transport.abort()
    async with asyncio.timeout(SECONDS):
        while len(gateway.service.worker.registry):
            await asyncio.sleep(0)
    return Observation(tuple(map(_mask, answers)), end, upstream, (), tuple(raised), on_lane)


def _logged(text: str) -> list[tuple[dict[str, Any], ...]]:
    """Return the access log lines of each request, masked: the good one behind each is the mark between them."""
    found: list[list[dict[str, Any]]] = [[]]
    for line in map(json.loads, text.splitlines()):
        if line["level"] == "error" or line["event"] == "request":
            if line.get("request_id") == PROBE:
                found.append([])
            else:
                found[-1].append(_mask_line(line))
    assert found.pop() == [], "a request behind the last one"
    return list(map(tuple, found))


async def open_client(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", gateway.port, limit=1 << 26)


async def _send(writer: asyncio.StreamWriter, request: Request) -> None:
    for index, piece in enumerate(request.pieces):
        if index:
            await asyncio.sleep(request.pause)
        writer.write(piece)
    if request.leaves:
        await asyncio.sleep(request.pause)
        if not writer.transport.is_closing():
            writer.write_eof()


async def _read(
    reader: asyncio.StreamReader,
    is_all: Callable[[list[Answer]], bool],
    seconds: float = SECONDS,
    *,
    has_body: bool = True,
) -> tuple[list[Answer], End]:
    """Read answers until that is all, or none comes any more."""
    answers: list[Answer] = []
    try:
        async with asyncio.timeout(seconds):
            while not is_all(answers):
                answers.append(await _answer(reader, has_body=has_body))
    except TimeoutError:
        return answers, "silent"
    except asyncio.IncompleteReadError as end:
        return answers, "cut" if end.partial else "closed"
    except ConnectionResetError:
        return answers, "reset"
    return answers, "open"


async def _probe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[list[Answer], End]:
    """Return what comes before the answer to a good request, and how the connection is."""
    writer.write(post(ask(), x_request_id=PROBE))
    answers, end = await _read(reader, lambda answers: any(a.header("x-request-id") == PROBE for a in answers))
    if end == "open":
        assert answers.pop().status == 200
    return answers, end


async def _answer(reader: asyncio.StreamReader, *, has_body: bool = True) -> Answer:
    """Read one answer.

    Raises:
        asyncio.IncompleteReadError: there is none, and then `partial` is empty, or not all of it.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status_line, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
    headers = tuple((name, value) for name, _, value in (line.partition(": ") for line in lines))
    answer = Answer(status_line, headers, b"")
    if not has_body or answer.status < 200:
        return answer
    try:
        return Answer(status_line, headers, await _body(reader, answer))
    except asyncio.IncompleteReadError as end:
        raise asyncio.IncompleteReadError(head.encode("latin-1") + end.partial, None) from end


async def _body(reader: asyncio.StreamReader, answer: Answer) -> bytes:
    if (length := answer.header("content-length")) is not None:
        return await reader.readexactly(int(length))
    if answer.header("transfer-encoding") != "chunked":
        return await reader.read()
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        assert await reader.readexactly(2) == b"\r\n"
    assert await reader.readexactly(2) == b"\r\n"
    return body


def _mask(answer: Answer) -> Answer:
    headers = tuple((name, _mask_header(name, value)) for name, value in answer.headers)
    return Answer(answer.status_line, headers, IN_BODY.sub(rb'"\1":*', answer.body))


def _mask_header(name: str, value: str) -> str:
    if name in CHANGING:
        return re.sub(r"\d+(\.\d+)?", "*", value)
    if name == "date":
        return DATE.sub("*", value)
    return MADE_ID.sub("*", value) if name == "x-request-id" else value


def _mask_upstream(found: re.Match[bytes]) -> bytes:
    own = MADE_ID.sub("*", found[1].decode())
    return f"\r\nx-request-id: {own}-*\r\n".encode()


def _mask_line(line: dict[str, Any]) -> dict[str, Any]:
    masked = {key: "*" if key.endswith("_ms") and value is not None else value for key, value in line.items()}
    masked["ts"] = "*"
    for key in {"request_id", "upstream_id"} & line.keys():
        masked[key] = re.sub("-[0-9a-f]{8}$", "-*", MADE_ID.sub("*", line[key]))
    return masked
