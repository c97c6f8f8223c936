"""The upstream protocol and its pool, on fake transports."""

from __future__ import annotations

import pytest

from tests.protocol.wire import (
    DONE,
    LAST_CHUNK,
    SSE_HEAD,
    Wire,
    chunk,
    tick_until,
    whole,
)

GOOD_STREAM = SSE_HEAD + chunk({"role": "assistant", "content": "a"}) + chunk({}, "stop") + DONE + LAST_CHUNK


def test_a_connection_is_reused_after_a_complete_answer() -> None:
    wire = Wire()
    first = wire.submit()
    attempt = wire.attempts[0].connect()
    attempt.feed(whole())
    assert first.status == 200
    assert first.done == [True]
    assert repr(attempt.protocol) == "<UpstreamConnection backend 0 idle, reused>"
    second = wire.submit(stream=True)
    assert len(wire.attempts) == 1
    attempt.feed(GOOD_STREAM)
    assert second.text.endswith(b"data: [DONE]\n\n")
    assert wire.settled()


def test_a_backend_that_answers_before_it_has_the_whole_request_is_not_reused() -> None:
    wire = Wire()
    client = wire.submit()
    attempt = wire.attempts[0].connect()
    attempt.transport.unsent = 1
    attempt.feed(whole())
    assert client.status == 200
    wire.submit()
    assert len(wire.attempts) == 2
    assert attempt.transport.calls == ["abort"]


@pytest.mark.parametrize("header", ["connection: close\r\n", "Connection: Close\r\n"])
def test_a_backend_that_closes_is_not_reused(header: str) -> None:
    wire = Wire()
    wire.submit()
    wire.attempts[0].connect().feed(whole(headers=header))
    wire.submit()
    assert len(wire.attempts) == 2
    assert wire.attempts[0].transport.calls == ["abort"]


def test_bytes_behind_the_answer_spoil_the_connection() -> None:
    wire = Wire()
    wire.submit()
    wire.attempts[0].connect().feed(whole() + b"HTTP/1.1 200 OK\r\n")
    assert wire.attempts[0].transport.closing


def test_bytes_on_an_idle_connection_spoil_it() -> None:
    wire = Wire()
    wire.submit()
    attempt = wire.attempts[0].connect()
    attempt.feed(whole())
    attempt.feed(b"HTTP/1.1 200 OK\r\n\r\n")
    assert attempt.transport.closing
    wire.submit()
    assert len(wire.attempts) == 2


def test_an_idle_connection_is_closed_before_the_backend_does_it() -> None:
    wire = Wire("""
        backends: {a: {url: "http://127.0.0.1:9", serves: served, concurrency: 2, keep_alive: 50ms}}
        tiers: {instant: {models: [fast], backends: [a]}}
    """)
    wire.submit()
    attempt = wire.attempts[0].connect()
    attempt.feed(whole())
    assert not attempt.transport.closing
    tick_until(wire, 0.1)
    assert attempt.transport.closing


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_a_reused_connection_that_dies_before_any_byte_costs_nothing(error: Exception | None) -> None:
    wire = Wire()
    wire.submit()
    wire.attempts[0].connect().feed(whole())
    client = wire.submit()
    wire.attempts[0].lost(error)
    assert client.written == []
    wire.attempts[1].connect().feed(whole())
    assert client.status == 200
    # The two attempts carry different upstream ids, both made from the client's.
    ids = [line for a in wire.attempts for line in a.request.split(b"\r\n") if line.startswith(b"x-request-id")]
    assert len(set(ids)) == 3
    assert wire.settled()


def test_only_one_free_retry() -> None:
    wire = Wire()
    wire.submit()
    wire.attempts[0].connect().feed(whole())
    client = wire.submit()
    wire.attempts[0].lost()
    wire.attempts[1].connect().lost()
    assert client.error["code"] == "upstream_reset"
    assert client.status == 502
    assert wire.settled()


def test_a_fresh_connection_that_dies_is_not_retried_on_the_only_backend() -> None:
    wire = Wire()
    client = wire.submit()
    wire.attempts[0].connect().lost()
    assert (client.status, client.error["code"]) == (502, "upstream_reset")
    assert len(wire.attempts) == 1


def test_a_paused_client_pauses_the_backend() -> None:
    wire = Wire()
    client = wire.submit(stream=True)
    attempt = wire.attempts[0].connect()
    attempt.feed(SSE_HEAD + chunk({"role": "assistant", "content": "a"}))
    assert client.call is not None
    client.call.pause()
    assert attempt.transport.calls == ["pause_reading"]
    client.call.resume()
    assert attempt.transport.calls == ["pause_reading", "resume_reading"]


@pytest.mark.parametrize("paused", [False, True])
def test_a_connection_that_is_paused_at_its_end_is_not_kept(*, paused: bool) -> None:
    """It would be read again only after it was in the pool, where somebody else might have paused it by then."""
    wire = Wire()
    client = wire.submit(stream=True)
    attempt = wire.attempts[0].connect()
    attempt.feed(SSE_HEAD + chunk({"role": "assistant", "content": "a"}))
    assert client.call is not None
    if paused:
        client.call.pause()
    # What was read before the pause is all there is.
    attempt.feed(chunk({}, "stop") + DONE + LAST_CHUNK)
    assert client.done == [True]
    assert attempt.transport.closing is paused
    wire.submit()
    assert len(wire.attempts) == 1 + paused


def test_a_freed_slot_goes_to_the_one_that_waits() -> None:
    wire = Wire()
    for _ in range(2):
        wire.submit()
    third = wire.submit()
    wire.attempts[0].connect().feed(whole())
    assert len(wire.attempts) == 2, "the third uses the connection of the first"
    wire.attempts[0].feed(whole("third"))
    assert b"third" in third.wire


def test_the_slot_is_held_until_the_message_ends_or_a_second_passes() -> None:
    wire = Wire()
    client = wire.submit(stream=True)
    attempt = wire.attempts[0].connect()
    attempt.feed(GOOD_STREAM.removesuffix(LAST_CHUNK))
    assert client.done == [True], "the client is not made to wait"
    assert wire.backend(0)["inflight"] == 1
    tick_until(wire, 1.1)
    assert attempt.transport.closing
    assert wire.settled()


def test_a_client_that_leaves_while_it_holds_the_backend_back_lets_it_go_on() -> None:
    wire = Wire()
    client = wire.submit(stream=True)
    attempt = wire.attempts[0].connect()
    attempt.feed(SSE_HEAD + chunk({"role": "assistant", "content": "a"}))
    assert client.call is not None
    client.call.pause()
    client.call.gone()
    assert attempt.transport.calls == ["pause_reading", "resume_reading", "write_eof"]
    attempt.lost()
    assert wire.settled()


def test_every_call_outlives_its_answer_harmlessly() -> None:
    wire = Wire()
    client = wire.submit()
    attempt = wire.attempts[0].connect()
    attempt.feed(whole())
    assert client.call is not None
    for method in (client.call.gone, client.call.pause, client.call.resume):
        method()
        method()
    assert attempt.transport.calls == []
    assert wire.settled()


def test_a_stream_to_an_http_1_0_client_ends_with_its_connection() -> None:
    wire = Wire()
    client = wire.submit(stream=True, http10=True)
    wire.attempts[0].connect().feed(GOOD_STREAM)
    assert b"transfer-encoding" not in client.wire
    assert client.text.endswith(b"data: [DONE]\n\n")
    assert client.done == [False]


def test_the_whole_answer_is_one_write() -> None:
    wire = Wire()
    client = wire.submit(stream=True)
    wire.attempts[0].connect().feed(GOOD_STREAM)
    assert len(client.written) == 1, "head and first events leave together"


def test_a_client_that_was_paused_before_there_was_a_connection() -> None:
    wire = Wire()
    client = wire.submit(stream=True)
    assert client.call is not None
    client.call.pause()
    attempt = wire.attempts[0].connect()
    assert attempt.transport.calls == ["pause_reading"]
    assert attempt.request, "the request is sent all the same"


def test_the_larger_retry_after_wins() -> None:
    wire = Wire()
    client = wire.submit()
    for wait in (7, 1, 1):
        body = b'{"error": "overloaded"}'
        head = f"HTTP/1.1 429 Too Many Requests\r\nretry-after: {wait}\r\ncontent-length: {len(body)}\r\n\r\n"
        if not wire.attempts[-1].transport.written:
            wire.attempts[-1].connect()
        wire.attempts[-1].feed(head.encode() + body)
        # The pause after a bounce is at most 200 ms.
        tick_until(wire, 0.4)
    assert client.status == 429
    assert b"retry-after: 7\r\n" in client.wire


def test_best_of_takes_its_slots() -> None:
    wire = Wire()
    assert wire.submit(best_of=2).written == []
    assert wire.backend(0)["inflight"] == 2
    for wide, param in (({"best_of": 3}, "best_of"), ({"n": 3}, "n"), ({"n": 3, "best_of": 2}, "n")):
        refused = wire.submit(**wide)
        assert (refused.status, refused.error["param"]) == (400, param)


def test_a_label_is_kept_for_what_was_refused() -> None:
    wire = Wire()
    wire.submit(temperature="hot")
    wire.submit(model="nope")
    labels = sorted(request[:2] for request in wire.segment.snapshot()["requests"])
    assert labels == [("", "unknown"), ("instant", "fast")]


def test_what_was_put_right_is_counted() -> None:
    wire = Wire()
    wire.submit(stream=True)
    wire.attempts[0].connect().feed(GOOD_STREAM.replace(DONE, b""))
    wire.submit(stream=True)
    wire.attempts[0].feed(SSE_HEAD + chunk({"content": "a"}, "stop") + DONE + LAST_CHUNK)
    assert {rule: count for _, rule, count in wire.segment.snapshot()["normalised"]} == {"P6": 2, "P12": 1}
