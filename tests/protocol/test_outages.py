"""Backends that requests do not get through to: what is tried again, where and when, on fake transports."""

from __future__ import annotations

import json
import time

import pytest

from tests.protocol.wire import (
    CONFIG,
    SSE_HEAD,
    Wire,
    chunk,
    tick_until,
    tick_until_there_are,
    whole,
)

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
    wire.attempts[0].protocol.connect_failed("refused", "Connection refused")
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


@pytest.mark.parametrize("kind", ["refused", "connect", "timeout"])
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
        attempt.protocol.connect_failed("refused", "Connection refused")
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


def test_who_tries_whether_a_backend_is_back_makes_a_new_connection() -> None:
    wire = Wire()
    kept, refused = wire.submit(), wire.submit()
    wire.attempts[0].connect()
    wire.attempts[1].protocol.connect_failed("refused", "Connection refused")
    wire.attempts[0].feed(whole())
    assert (kept.status, len(wire.attempts)) == (200, 2)
    tick_until_there_are(wire, 3)
    wire.attempts[2].connect().feed(whole())
    assert refused.status == 200
    assert wire.backend(0)["state"] != "ejected"
    assert wire.settled()


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


BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: 12\r\n\r\n<h1>502</h1>"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
CLOSE = "connection: close\r\n"


@pytest.mark.parametrize("answer", [BAD_GATEWAY, UNAVAILABLE])
def test_a_proxy_that_answers_for_a_dead_engine_does_not_empty_the_queue(answer: bytes) -> None:
    wire = Wire()
    clients = [wire.submit() for _ in range(23)]
    for attempt in range(3):
        wire.attempts[attempt].connect().feed(answer)
    assert [client.status for client in clients[:3]] == [502] * 3, "one alone may fail for its own reasons"
    ((backend, reason, _),) = wire.gateway.take_outages()
    assert (backend, reason.startswith("answers 50")) == ("a", True)
    assert wire.backend(0)["state"] == "ejected"
    # The fourth had been sent before that.
    wire.attempts[3].connect().feed(answer)
    assert clients[3].status == 502
    for tried in range(5, 8):
        tick_until_there_are(wire, tried)
        assert len(wire.attempts) == tried, "one at a time"
        wire.attempts[-1].connect().feed(answer)
    tick_until_there_are(wire, 8)
    for attempt in range(7, 7 + 19):
        wire.attempts[attempt].connect().feed(whole(headers=CLOSE))
    assert [client.status for client in clients[4:]] == [200] * 19
    ((backend, reason, seconds),) = wire.gateway.take_outages()
    assert (backend, reason) == ("a", None) and seconds > 0.1
    assert wire.settled()


@pytest.mark.parametrize("answer", [BAD_GATEWAY, UNAVAILABLE])
def test_old_streams_do_not_speak_for_what_is_behind_a_proxy(answer: bytes) -> None:
    """An old server sends its streams to their ends while its proxy turns new requests away."""
    wire = Wire(CONFIG.replace("concurrency: 2", "concurrency: 3"))
    wire.submit(stream=True)
    stream = wire.attempts[0].connect()
    stream.feed(SSE_HEAD + chunk({"role": "assistant", "content": "a"}))
    clients = [wire.submit() for _ in range(12)]
    for attempt in range(1, 5):
        stream.feed(chunk({"content": "b"}))
        wire.attempts[attempt].connect().feed(answer)
    stream.feed(chunk({"content": "c"}))
    assert wire.backend(0)["state"] == "ejected"
    tick_until_there_are(wire, 6)
    stream.feed(chunk({"content": "d"}))
    assert len(wire.attempts) == 6, "one at a time"
    assert [client for client in clients[4:] if client.written] == []
    wire.attempts[5].connect().feed(whole(headers=CLOSE))
    assert len(wire.attempts) == 8


@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_the_end_of_an_old_stream_proves_nothing(error: BaseException | None) -> None:
    wire = Wire()
    wire.submit(stream=True)
    stream = wire.attempts[0].connect()
    stream.feed(SSE_HEAD + chunk({"role": "assistant", "content": "a"}))
    lost = wire.submit()
    waiting = [wire.submit() for _ in range(3)]
    wire.attempts[1].connect().lost(ConnectionResetError())
    assert lost.status == 502
    # What it had sent before it died, and its end.
    stream.feed(chunk({"content": "b"}))
    tick_until(wire, 0.03)
    stream.lost(error)
    assert len(wire.attempts) == 2
    assert wire.backend(0)["state"] == "ejected"
    tick_until_there_are(wire, 3)
    assert len(wire.attempts) == 3, "one at a time"
    wire.attempts[2].connect().feed(whole(headers=CLOSE))
    assert waiting[0].status == 200
    assert len(wire.attempts) == 5


def test_a_worker_that_stood_still_takes_no_pause_of_its_own_for_life() -> None:
    wire = Wire()
    wire.submit()
    wire.attempts[0].connect().lost(ConnectionResetError())
    for _ in range(2):
        wire.submit()
    tick_until_there_are(wire, 2)
    wire.attempts[1].connect()
    wire.gateway.tick()
    time.sleep(1.2)
    wire.gateway.tick()
    assert wire.backend(0)["state"] == "ejected", "what came meanwhile is not read yet"
    tick_until(wire, 1.2)
    assert wire.backend(0)["state"] != "ejected"


def test_one_request_that_is_turned_away_closes_nothing() -> None:
    wire = Wire()
    for _ in range(5):
        for answer in (BAD_GATEWAY, UNAVAILABLE, whole(headers=CLOSE)):
            wire.submit()
            wire.attempts[-1].connect().feed(answer)
            assert wire.backend(0)["state"] != "ejected"
    # What the server reports itself may be the request's fault.
    error = b'{"error": {"message": "x", "type": "server_error", "code": "upstream_ignored_parameter"}}'
    for _ in range(10):
        wire.submit()
        head = b"HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(error)
        wire.attempts[-1].connect().feed(head + error)
    assert wire.backend(0)["state"] != "ejected"
    assert wire.gateway.take_outages() == []


@pytest.mark.parametrize("is_connected", [True, False])
def test_a_trial_survives_from_when_it_was_sent(is_connected: bool) -> None:
    wire = Wire(CONFIG.replace("[a]}", "[a], timeouts: {connect: 10s}}"))
    wire.submit()
    wire.attempts[0].connect().lost(ConnectionResetError())
    wire.gateway.take_outages()
    for _ in range(2):
        wire.submit()
    tick_until_there_are(wire, 2)
    if is_connected:
        wire.attempts[1].connect()
    tick_until(wire, 1.3)
    assert len(wire.attempts) == (3 if is_connected else 2)
    ended = [(backend, reason) for backend, reason, _ in wire.gateway.take_outages()]
    assert ended == ([("a", None)] if is_connected else []), "its end is told as well"


def test_a_probe_that_finds_nobody_confirms_a_death() -> None:
    wire = Wire(TWO)
    kill(wire)
    assert wire.submit().written == [], "they may have stumbled"
    wire.segment.note_closed(0)
    wire.segment.note_closed(1)
    again = wire.submit()
    assert (again.status, again.error["code"]) == (502, "upstream_reset")
    with pytest.raises(ValueError):
        wire.segment.note_closed(2)


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
        wire.attempts[-1].protocol.connect_failed("refused", "Connection refused")
    assert {attempt.backend for attempt in wire.attempts[2:]} == {0, 1}
    again = wire.submit()
    assert (again.status, again.error["code"]) == (502, "upstream_reset")
    assert other.written == [], "another request goes its way"
    tick_until_there_are(wire, 5)
    wire.attempts[-1].connect().feed(whole())
    assert other.status == 200


@pytest.mark.parametrize("kind", ["connect", "timeout", "tls"])
def test_a_network_that_is_cut_is_no_death(kind: str) -> None:
    wire = Wire(TWO)
    kill(wire)
    wire.submit(temperature=1)
    for failed in (3, 4):
        tick_until_there_are(wire, failed)
        wire.attempts[-1].protocol.connect_failed(kind, "No route to host")
    wire.segment.set_backend(0, "down")
    wire.segment.set_backend(1, "down")
    wire.segment.set_backend(0, "healthy")
    again = wire.submit()
    served = 4
    while not again.written:
        tick_until_there_are(wire, served + 1)
        wire.attempts[served].connect().feed(whole(headers=CLOSE))
        served += 1
    assert again.status == 200


def test_a_prompt_that_was_there_when_two_backends_stumbled_is_served() -> None:
    wire = Wire(TWO)
    kill(wire)
    again = wire.submit()
    tick_until_there_are(wire, 3)
    wire.attempts[-1].connect().feed(whole())
    assert again.status == 200


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
