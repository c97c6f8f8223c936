"""The upstream protocol and its pool, on fake transports."""

from __future__ import annotations

import gc
import json
import time
import weakref

import pytest

from tests.protocol.wire import CONFIG, DONE, LAST_CHUNK, SSE_HEAD, Transport, Wire, chunk, whole

GOOD_STREAM = SSE_HEAD + chunk({"role": "assistant", "content": "a"}) + chunk({}, "stop") + DONE + LAST_CHUNK


def tick_until(wire: Wire, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        wire.gateway.tick()
        time.sleep(0.01)


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


TWO = """
backends:
  a: {url: "http://127.0.0.1:9", serves: served, concurrency: 2}
  b: {url: "http://127.0.0.1:9", serves: served, concurrency: 2}
tiers:
  instant: {models: [fast], backends: [a, b]}
"""


def test_a_refused_connection_goes_to_the_other_backend() -> None:
    wire = Wire(TWO)
    client = wire.submit()
    wire.attempts[0].protocol.connect_failed("connect", "Connection refused")
    assert wire.attempts[1].backend != wire.attempts[0].backend
    wire.attempts[1].connect().feed(whole())
    assert client.status == 200
    assert wire.settled()


def test_two_attempts_at_most() -> None:
    wire = Wire(TWO)
    client = wire.submit()
    wire.attempts[0].connect().lost(ConnectionResetError())
    wire.attempts[1].connect().lost(ConnectionResetError())
    assert (client.status, client.error["code"]) == (502, "upstream_reset")
    assert len(wire.attempts) == 2
    assert wire.settled()


def tick_until_there_are(wire: Wire, attempts: int) -> None:
    end = time.monotonic() + 5
    while len(wire.attempts) < attempts:
        assert time.monotonic() < end
        wire.gateway.tick()
        time.sleep(0.005)


@pytest.mark.parametrize("kind", ["connect", "timeout"])
def test_a_connection_that_is_not_made_is_no_attempt(kind: str) -> None:
    wire = Wire(TWO)
    client = wire.submit()
    wire.attempts[0].protocol.connect_failed(kind, "Connection refused")
    assert wire.attempts[1].backend == 1 - wire.attempts[0].backend, "the other one is asked at once"
    wire.attempts[1].protocol.connect_failed(kind, "Connection refused")
    assert len(wire.attempts) == 2, "both are closed for a moment"
    for failed in range(3, 6):
        tick_until_there_are(wire, failed)
        wire.attempts[-1].protocol.connect_failed(kind, "Connection refused")
        assert client.written == []
    tick_until_there_are(wire, 6)
    wire.attempts[-1].connect().feed(whole())
    assert client.status == 200
    line = json.loads(wire.gateway.take_log())
    assert (line["attempts"], line["status"]) == (1, 200)
    wire.attempts[-1].lost()
    assert wire.settled()


def test_only_one_tries_whether_a_backend_is_back() -> None:
    wire = Wire(CONFIG.replace("concurrency: 2", "concurrency: 8"))
    clients = [wire.submit() for _ in range(4)]
    for attempt in wire.attempts[:4]:
        attempt.protocol.connect_failed("connect", "Connection refused")
    assert len(wire.attempts) == 4
    ((backend, reason, _),) = wire.gateway.take_outages()
    assert (backend, reason) == ("a", "the model server cannot be reached: Connection refused")
    tick_until_there_are(wire, 5)
    for _ in range(5):
        wire.gateway.tick()
        time.sleep(0.02)
    assert len(wire.attempts) == 5
    assert wire.backend(0)["state"] == "ejected"
    wire.attempts[4].connect()
    assert len(wire.attempts) == 8, "and once it is, all that fit go"
    ((backend, reason, seconds),) = wire.gateway.take_outages()
    assert (backend, reason) == ("a", None) and 0.05 <= seconds < 5
    for attempt in wire.attempts[5:]:
        attempt.connect()
    for attempt in wire.attempts[4:]:
        attempt.feed(whole())
    assert [client.status for client in clients] == [200] * 4


def test_a_reused_connection_that_dies_late_is_a_death_of_its_backend() -> None:
    wire = Wire(TWO.replace("concurrency: 2", "concurrency: 2, keep_alive: 50ms"))
    wire.submit()
    first = wire.attempts[0].connect()
    first.feed(whole())
    client = wire.submit()
    # The one that is empty takes turns: both have an idle connection by now, or one is new.
    attempt = wire.attempts[-1]
    if attempt is not first:
        attempt.connect().feed(whole())
        client = wire.submit()
    time.sleep(0.06)
    serving = next(one for one in wire.attempts if one.request.count(b"POST") == 2)
    before = len(wire.attempts)
    serving.lost(ConnectionResetError())
    assert len(wire.attempts) == before + 1, "the next attempt goes elsewhere"
    assert wire.attempts[-1].backend != serving.backend
    wire.attempts[-1].connect().feed(whole())
    assert client.status == 200
    lines = [json.loads(line) for line in wire.gateway.take_log().splitlines()]
    assert lines[-1]["attempts"] == 2


def kill(wire: Wire, **body: object) -> None:
    """Let a request kill both backends: connections break off, and then none is accepted."""
    start = len(wire.attempts)
    client = wire.submit(**body)
    tick_until_there_are(wire, start + 1)
    wire.attempts[start].connect().lost(ConnectionResetError())
    wire.attempts[start + 1].connect().lost(ConnectionResetError())
    assert client.status == 502


def test_a_prompt_under_which_two_backends_have_died_is_refused() -> None:
    wire = Wire(TWO)
    kill(wire)
    other = wire.submit(temperature=1)
    # Both refuse connections now, so they have really died.
    for failed in (3, 4):
        tick_until_there_are(wire, failed)
        wire.attempts[-1].protocol.connect_failed("connect", "Connection refused")
    assert {attempt.backend for attempt in wire.attempts[2:]} == {0, 1}
    again = wire.submit()
    assert (again.status, again.error["code"]) == (502, "upstream_reset")
    assert other.written == [], "another request goes its way"
    tick_until_there_are(wire, 5)
    wire.attempts[-1].connect().feed(whole())
    assert other.status == 200


def test_a_prompt_that_was_there_when_two_backends_stumbled_is_served() -> None:
    wire = Wire(TWO)
    kill(wire)
    again = wire.submit()
    tick_until_there_are(wire, 3)
    wire.attempts[-1].connect().feed(whole())
    assert again.status == 200


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


def test_a_client_that_leaves_mid_stream_half_closes_the_backend() -> None:
    wire = Wire()
    client = wire.submit(stream=True)
    attempt = wire.attempts[0].connect()
    attempt.feed(SSE_HEAD + chunk({"role": "assistant", "content": "a"}))
    assert client.call is not None
    client.call.gone()
    assert attempt.transport.calls == ["write_eof"]
    assert wire.backend(0)["inflight"] == 1, "the backend may still be at work"
    attempt.feed(chunk({"content": "b"}))
    assert len(client.written) == 1
    attempt.lost()
    assert wire.backend(0)["inflight"] == 0
    assert wire.settled()


def test_an_aborted_backend_that_does_not_close_is_cut_after_the_grace() -> None:
    wire = Wire()
    client = wire.submit(stream=True)
    attempt = wire.attempts[0].connect()
    assert client.call is not None
    client.call.gone()
    assert wire.backend(0)["inflight"] == 1
    tick_until(wire, 0.4)
    assert attempt.transport.calls[-1] == "abort"
    assert wire.settled()


def test_a_client_that_leaves_while_connecting_sends_nothing() -> None:
    wire = Wire()
    client = wire.submit()
    assert client.call is not None
    client.call.gone()
    assert wire.settled()
    attempt = wire.attempts[0]
    assert attempt.cancelled
    assert attempt.connect().request == b""
    assert attempt.transport.calls == ["abort"]
    # A transport whose connecting was cancelled never says that it is lost.
    transport = weakref.ref(attempt.transport)
    attempt.transport = Transport()
    gc.collect()
    assert transport() is None


def test_a_client_that_leaves_the_queue_never_reaches_a_backend() -> None:
    wire = Wire()
    running = [wire.submit(), wire.submit()]
    waiting = wire.submit()
    assert len(wire.attempts) == 2
    assert waiting.call is not None
    waiting.call.gone()
    for attempt in wire.attempts:
        attempt.connect().feed(whole())
    assert [client.status for client in running] == [200, 200]
    assert len(wire.attempts) == 2
    assert waiting.written == []
    assert wire.settled()


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


MANY = "\n".join(
    ["backends:"]
    + [f"  b{n}: {{url: 'http://127.0.0.1:9', serves: served, concurrency: 2}}" for n in range(10)]
    + ["tiers:", f"  instant: {{models: [fast], backends: [{', '.join(f'b{n}' for n in range(10))}]}}"]
)


def test_a_tier_of_many_backends_finds_the_two_that_are_well() -> None:
    wire = Wire(MANY)
    for index in range(8):
        wire.segment.set_backend(index, "down")
    for _ in range(4):
        wire.submit()
    assert sorted(attempt.backend for attempt in wire.attempts) == [8, 8, 9, 9]


def test_who_waits_for_eight_that_go_down_is_served_by_a_ninth() -> None:
    wire = Wire(MANY)
    for index in (8, 9):
        wire.segment.set_backend(index, "down")
    for _ in range(16):
        wire.submit()
    waiting = wire.submit()
    wire.segment.set_backend(8, "healthy")
    for index in range(8):
        wire.segment.set_backend(index, "down")
    wire.gateway.tick()
    assert waiting.written == []
    assert wire.attempts[-1].backend == 8


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
    refused = wire.submit(best_of=3)
    assert (refused.status, refused.error["param"]) == (400, "n")


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


@pytest.mark.parametrize("count", [1, 2, 4, 70])
def test_a_backend_that_comes_back_before_its_queue_has_heard_that_it_went(count: int) -> None:
    """All are turned away in one piece of mail, and offered again: their rows are others' by then."""
    wire = Wire()
    wire.segment.set_backend(0, "healthy")
    running = [wire.submit() for _ in range(2)]
    waiting = [wire.submit() for _ in range(count)]
    wire.segment.set_backend(0, "down")
    wire.segment.set_backend(0, "healthy")
    wire.gateway.tick()
    for served in range(2 + count):
        wire.attempts[served].connect().feed(whole(headers="connection: close\r\n"))
    assert [client.status for client in (*running, *waiting)] == [200] * (2 + count)
    assert all(len(client.done) == 1 for client in (*running, *waiting))
    assert wire.settled()


def test_a_slot_is_held_while_an_engine_may_run_on() -> None:
    """A server that closes the connection first says nothing of its engine."""
    config = CONFIG.replace("concurrency: 2", "concurrency: 1, abort_hold: 100ms")
    wire = Wire(config)
    leaver, waiting = wire.submit(), wire.submit()
    attempt = wire.attempts[0].connect()
    assert leaver.call is not None
    left = time.monotonic()
    leaver.call.gone()
    attempt.lost()
    tick_until_there_are(wire, 2)
    assert time.monotonic() - left >= 0.1
    wire.attempts[1].connect().feed(whole())
    assert waiting.status == 200
    assert wire.settled()


def test_a_slot_is_held_no_longer_than_the_backend_shows() -> None:
    wire = Wire(CONFIG.replace("concurrency: 2", "concurrency: 1, abort_grace: 10s, abort_hold: 50ms"))
    leaver = wire.submit()
    attempt = wire.attempts[0].connect()
    assert leaver.call is not None
    leaver.call.gone()
    tick_until(wire, 0.1)
    assert not wire.settled(), "it has not shown its end"
    attempt.lost()
    assert wire.settled(), "and now it has"
