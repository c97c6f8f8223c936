"""Every fault does on the wire what its name says, for streams and for whole answers."""

import asyncio
import json
import time

import pytest

from penstock.sim import Fault
from penstock.sim.faults import MEANINGS

from .conftest import Running, Seen, ServerOf, ask, post

HEAD = b"HTTP/1.1 200 OK\r\n"


def is_half(seen: Seen) -> bool:
    """Whether some but not all of a stream has come: no finish_reason, no [DONE]."""
    return bool(seen.chunks) and not seen.finishes and seen.lines[-1] != b"[DONE]"


def error_then(seen: Seen, before: bool) -> bool:
    """Whether a vLLM stream has an error event, with or without good chunks before it."""
    *chunks, last = seen.chunks
    good = [chunk for chunk in chunks if "choices" in chunk]
    return "error" in last and bool(good) == before and seen.lines[-1] == b"[DONE]" and seen.complete


STREAMS = {
    Fault.REFUSE: lambda seen: (seen.raw, seen.end) == (b"", "reset"),
    Fault.HANG: lambda seen: (seen.raw, seen.end) == (b"", "silent"),
    Fault.RESET_BEFORE_HEAD: lambda seen: (seen.raw, seen.end) == (b"", "reset"),
    Fault.CLOSE_BEFORE_HEAD: lambda seen: (seen.raw, seen.end) == (b"", "eof"),
    Fault.HALF_HEAD: lambda seen: seen.raw.startswith(HEAD) and b"\r\n\r\n" not in seen.raw and seen.end == "silent",
    Fault.GARBAGE_HEAD: lambda seen: bool(seen.raw) and not seen.raw.startswith(b"HTTP") and seen.end == "eof",
    Fault.STATUS_500: lambda seen: seen.status == 500 and "error" in json.loads(seen.body),
    Fault.STATUS_503_LOADING: lambda seen: (
        seen.status == 503 and "Loading" in json.loads(seen.body)["error"]["message"]
    ),
    Fault.STATUS_429: lambda seen: seen.status == 429 and "retry-after: 2" in seen.head,
    Fault.STALL_BEFORE_EVENT: lambda seen: (seen.status, seen.rest, seen.end) == (200, b"", "silent"),
    Fault.ERROR_FIRST_EVENT: lambda seen: error_then(seen, before=False),
    Fault.GARBAGE_EVENT: lambda seen: not _is_json(seen.lines[0]) and seen.lines[1] == b"[DONE]" and seen.complete,
    Fault.OVERSIZE_EVENT: lambda seen: seen.end == "endless" and b"\n" not in seen.body,
    Fault.STALL_MID_STREAM: lambda seen: is_half(seen) and not seen.complete and seen.end == "silent",
    Fault.RESET_MID_STREAM: lambda seen: is_half(seen) and not seen.complete and seen.end == "reset",
    Fault.EOF_MID_STREAM: lambda seen: is_half(seen) and seen.complete and seen.end == "eof",
    Fault.TRUNCATED_BODY: lambda seen: is_half(seen) and not seen.complete and seen.end == "eof",
    Fault.ERROR_MID_STREAM: lambda seen: error_then(seen, before=True),
    Fault.BARE_DONE: lambda seen: not seen.finishes and seen.lines[-1] == b"[DONE]" and seen.complete,
    Fault.NO_FINISH_BODY: lambda seen: is_half(seen) and seen.complete,
    Fault.DONE_THEN_OPEN: lambda seen: (
        bool(seen.finishes) and seen.lines[-1] == b"[DONE]" and not seen.complete and seen.end == "silent"
    ),
    Fault.JSON_FOR_STREAM: lambda seen: json.loads(seen.body)["choices"][0]["finish_reason"] == "stop",
    Fault.SLOW_BODY: lambda seen: seen.finishes == ["stop"] and seen.lines[-1] == b"[DONE]" and seen.complete,
}


def length_promised(seen: Seen) -> int:
    return int(seen.head.partition("content-length: ")[2].split("\r\n")[0])


def is_whole(seen: Seen) -> bool:
    return len(seen.body) == length_promised(seen) and seen.end == "eof"


def cut_with(end: str, seen: Seen) -> bool:
    return 0 < len(seen.body) < length_promised(seen) and seen.end == end


WHOLE = {
    **{fault: STREAMS[fault] for fault in list(Fault)[: list(Fault).index(Fault.STALL_BEFORE_EVENT) + 1]},
    Fault.ERROR_FIRST_EVENT: lambda seen: is_whole(seen) and "error" in json.loads(seen.body),
    Fault.GARBAGE_EVENT: lambda seen: is_whole(seen) and not _is_json(seen.body),
    Fault.OVERSIZE_EVENT: lambda seen: seen.end == "endless" and not _is_json(seen.body),
    Fault.STALL_MID_STREAM: lambda seen: cut_with("silent", seen),
    Fault.RESET_MID_STREAM: lambda seen: cut_with("reset", seen),
    Fault.EOF_MID_STREAM: lambda seen: is_whole(seen) and not _is_json(seen.body),
    Fault.TRUNCATED_BODY: lambda seen: cut_with("eof", seen),
    Fault.ERROR_MID_STREAM: lambda seen: is_whole(seen) and "error" in json.loads(seen.body),
    Fault.BARE_DONE: lambda seen: json.loads(seen.body)["choices"][0]["finish_reason"] is None,
    Fault.NO_FINISH_BODY: lambda seen: json.loads(seen.body)["choices"][0]["finish_reason"] is None,
    Fault.DONE_THEN_OPEN: lambda seen: json.loads(seen.body)["choices"][0]["finish_reason"] == "stop",
    Fault.JSON_FOR_STREAM: lambda seen: json.loads(seen.body)["choices"][0]["finish_reason"] == "stop",
    Fault.SLOW_BODY: lambda seen: is_whole(seen) and json.loads(seen.body)["choices"][0]["finish_reason"] == "stop",
}


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


faults = pytest.mark.parametrize("fault", list(Fault))


@faults
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("chosen", ["header", "server"])
async def test_on_the_wire(server_of: ServerOf, fault: Fault, stream: bool, chosen: str) -> None:
    server = await server_of(fault=None if chosen == "header" else fault)
    seen = await server.chat(stream=stream, fault=fault if chosen == "header" else None)
    expected = (STREAMS if stream else WHOLE)[fault]
    assert expected(seen), (seen.end, seen.raw[-500:])
    await server.settled()


def test_every_fault_is_explained() -> None:
    assert set(MEANINGS) == set(STREAMS) == set(WHOLE) == set(Fault)


@pytest.mark.parametrize("dialect", ["vllm", "llamacpp", "openai"])
async def test_done_after_an_error_only_in_vllm(server_of: ServerOf, dialect: str) -> None:
    seen = await (await server_of(dialect=dialect)).chat(stream=True, fault="error-mid-stream")
    assert (seen.lines[-1] == b"[DONE]") == (dialect == "vllm")
    assert "error" in seen.chunks[-1]


async def test_slow_body_is_slow(server_of: ServerOf) -> None:
    server = await server_of()
    reader, writer = await server.open()
    writer.write(post(ask(), x_sim_fault="slow-body"))
    began = time.monotonic()
    first = await reader.read(1 << 16)
    assert len(first) <= 64
    while b"finish_reason" not in (first := first + await reader.read(1 << 16)):
        pass
    assert time.monotonic() - began > 0.02
    writer.close()
    await server.settled()


async def test_unknown_fault(server_of: ServerOf) -> None:
    seen = await (await server_of()).chat(fault="flood")
    assert seen.status == 400 and b"stall-mid-stream" in seen.body


async def test_fault_can_be_changed_and_lifted(server_of: ServerOf) -> None:
    server = await server_of(fault="status-500")
    assert (await server.chat()).status == 500
    server.server.fault = None
    assert (await server.chat()).status == 200
    with pytest.raises(ValueError, match="flood"):
        server.server.fault = "flood"


async def test_a_connection_survives_a_clean_fault(server_of: ServerOf) -> None:
    server = await server_of()
    reader, writer = await server.open()
    for fault in ("eof-mid-stream", "status-500", "bare-done", "error-mid-stream"):
        writer.write(post(ask(stream=fault != "status-500"), x_sim_fault=fault))
        await reader.readuntil(b"0\r\n\r\n" if fault != "status-500" else b'"code":500}}')
    writer.close()
    await server.settled()
    assert server.server.stats.accepted == 1


async def test_stalled_requests_hold_their_slot(server_of: ServerOf) -> None:
    server = await server_of(slots=1)
    stalls = [asyncio.create_task(_stall(server)) for _ in range(2)]
    await asyncio.sleep(0.1)
    assert (server.server.stats.running, server.server.stats.waiting) == (1, 1)
    await asyncio.gather(*stalls)
    await server.settled()
    assert server.server.stats.aborted == 2


async def _stall(server: Running) -> None:
    await server.see(post(ask(stream=True), x_sim_fault="stall-mid-stream"), silence=0.3)
