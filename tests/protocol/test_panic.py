"""A Rust panic costs one request, never the process (fault row 29)."""

from __future__ import annotations

import time

import pytest

from penstock import _core
from tests.protocol.lane import LaneHost, lane_request
from tests.protocol.wire import CONFIG, SSE_HEAD, Transport, Wire, chunk, whole


@pytest.fixture(autouse=True)
def quiet(capfd: pytest.CaptureFixture[str]) -> None:
    """The panic's own message goes to standard error."""


def test_before_the_answer_it_is_a_500() -> None:
    wire = Wire()
    victim, bystander = wire.submit(), wire.submit()
    for attempt in wire.attempts:
        attempt.connect()
    _core.arm_panic("upstream")
    wire.attempts[0].feed(whole())
    assert (victim.status, victim.error["code"]) == (500, "internal_error")
    assert victim.done == [True]
    wire.attempts[1].feed(whole())
    assert bystander.status == 200
    wire.attempts[0].lost()
    assert wire.settled()


def test_in_a_stream_it_is_an_error_event() -> None:
    wire = Wire()
    victim = wire.submit(stream=True)
    attempt = wire.attempts[0].connect()
    attempt.feed(SSE_HEAD + chunk({"role": "assistant", "content": "a"}))
    _core.arm_panic("upstream")
    attempt.feed(chunk({"content": "b"}))
    assert victim.error["code"] == "internal_error"
    assert b"[DONE]" not in victim.wire
    attempt.lost()
    assert wire.settled()


def test_in_submit_it_is_a_500_and_no_permit_stays_behind() -> None:
    wire = Wire()
    _core.arm_panic("submit")
    victim = wire.submit()
    assert (victim.status, victim.error["code"], victim.done) == (500, "internal_error", [True])
    assert wire.settled()
    wire.submit()
    wire.attempts[0].connect().feed(whole())
    assert wire.settled()


def test_while_it_waits_it_is_a_500_and_the_queue_is_left_at_once() -> None:
    wire = Wire(CONFIG.replace("concurrency: 2", "concurrency: 1"))
    running = wire.submit()
    _core.arm_panic("offered")
    victim = wire.submit()
    assert (victim.status, victim.error["code"], victim.done) == (500, "internal_error", [True])
    assert wire.segment.invariants()["queued"] == 0
    wire.attempts[0].connect().feed(whole())
    assert running.status == 200
    assert len(wire.attempts) == 1, "nothing is granted to it"
    assert wire.settled()


def test_in_a_timer_it_costs_the_one_whose_timer_it_was() -> None:
    wire = Wire(CONFIG.replace("backends: [a]}", "backends: [a], timeouts: {first_event: 50ms}}"))
    clients = [wire.submit(stream=True), wire.submit(stream=True)]
    for attempt in wire.attempts:
        attempt.connect()
    _core.arm_panic("timer")
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        wire.gateway.tick()
        time.sleep(0.01)
    assert sorted(client.error["code"] for client in clients) == ["internal_error", "upstream_timeout"]
    for attempt in wire.attempts:
        attempt.lost()
    assert wire.settled()


def test_a_permit_that_has_just_lost_its_owner_comes_back_at_once() -> None:
    """A panic between a request and its permit; the 10 s sweep finds nothing left to count."""
    wire = Wire()
    _core.arm_panic("release")
    wire.submit()
    wire.attempts[0].connect().feed(whole())
    assert wire.settled()
    assert wire.segment.snapshot()["permits_leaked"] == 0


def test_behind_an_answer_it_costs_that_connection() -> None:
    wire = Wire()
    host = LaneHost(wire.gateway)
    victim, bystander = Transport(), Transport()
    for transport in (victim, bystander):
        host.accept(transport).data_received(lane_request())
    for attempt in wire.attempts:
        attempt.connect()
    _core.arm_panic("done")
    for attempt in wire.attempts:
        attempt.feed(whole())
    # Closed, not dropped: the answer before the panic still leaves.
    assert victim.calls == ["close"]
    assert b"".join(victim.written).startswith(b"HTTP/1.1 200 OK")
    assert bystander.calls == []
    host.connections[0].connection_lost(None)
    host.connections[1].data_received(lane_request())
    # The connection that was free last carries the next request.
    wire.attempts[1].feed(whole())
    assert sum(piece.count(b"HTTP/1.1 200 OK") for piece in bystander.written) == 2
    assert wire.settled()
