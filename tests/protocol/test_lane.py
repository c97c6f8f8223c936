"""What the lane does with a connection when, told by its protocol alone."""

from __future__ import annotations

import time

import pytest

from tests.protocol.lane import LaneHost, lane_request
from tests.protocol.wire import Transport, Wire, whole

FOREIGN = b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def wire() -> Wire:
    return Wire()


@pytest.mark.parametrize("served", [0, 1])
def test_a_connection_without_a_request_is_closed_after_75_seconds(wire: Wire, served: int) -> None:
    transport = Transport()
    connection = LaneHost(wire.gateway).accept(transport)
    for _ in range(served):
        connection.data_received(lane_request())
        wire.attempts[0].connect().feed(whole())
    now = time.monotonic()
    connection.sweep(now + 74)
    assert transport.calls == []
    connection.sweep(now + 77)
    assert transport.calls == ["close"]


def test_who_waits_for_an_answer_is_not_idle(wire: Wire) -> None:
    transport = Transport()
    connection = LaneHost(wire.gateway).accept(transport)
    connection.data_received(lane_request())
    connection.sweep(time.monotonic() + 1000)
    assert transport.calls == []


def test_a_request_that_does_not_come_to_its_end_is_handed_over(wire: Wire) -> None:
    host = LaneHost(wire.gateway)
    connection = host.accept(Transport())
    begun = lane_request()[:40]
    connection.data_received(begun)
    connection.sweep(time.monotonic() + 0.5)
    assert host.foreign == []
    connection.sweep(time.monotonic() + 2)
    assert host.foreign == [begun]


def test_a_transport_that_is_closing_goes_to_nobody(wire: Wire) -> None:
    host, transport = LaneHost(wire.gateway), Transport()
    connection = host.accept(transport)
    transport.closing = True
    connection.data_received(FOREIGN)
    assert host.foreign == []
    # Its end is still told here.
    assert connection.open_transport is transport
    connection.connection_lost(None)
    assert wire.settled()
