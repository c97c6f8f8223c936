"""A client leaves: what its backend is told, and when the slot is free, on fake transports."""

from __future__ import annotations

import gc
import time
import weakref

from tests.protocol.wire import (
    CONFIG,
    SSE_HEAD,
    Transport,
    Wire,
    chunk,
    tick_until,
    tick_until_there_are,
    whole,
)


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
