"""Who reads a socket: its transport at first, the poller once it is in use, aiohttp after a hand-over."""

from __future__ import annotations

import re
import select
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from penstock._core import LaneConnection, Poller
from tests.protocol.lane import LaneHost, lane_request
from tests.protocol.sockets import OverSocket
from tests.protocol.wire import DONE, LAST_CHUNK, SSE_HEAD, Wire, chunk, whole

CONFIG = """
backends:
  a: {url: "http://127.0.0.1:9", serves: served, concurrency: 8}
tiers:
  instant: {models: [fast], backends: [a]}
"""


class Tcp(OverSocket):
    """The same over TCP, which knows resets."""

    def __init__(self) -> None:
        super().__init__()
        self.shut()
        with socket.create_server(("127.0.0.1", 0)) as server:
            # Room for more than one read takes.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 << 20)
            self.peer = socket.create_connection(server.getsockname())
            self.ours, _ = server.accept()
        for end in (self.ours, self.peer):
            end.setblocking(False)
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def reset(self) -> None:
        """Have the peer break the connection off."""
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.peer.close()


class Setting:
    """A gateway with a poller, and whatever is connected to it."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.wire = Wire(CONFIG, self.poller)
        self.host = LaneHost(self.wire.gateway)
        self.transports: list[OverSocket] = []

    def transport(self, make: type[OverSocket] = OverSocket) -> OverSocket:
        self.transports.append(make())
        return self.transports[-1]

    @property
    def is_readable(self) -> bool:
        """Whether the loop would call the poller."""
        return bool(select.select([self.poller.fileno()], [], [], 0)[0])

    def poll(self) -> None:
        for _ in range(100):
            if not self.is_readable:
                return
            self.poller.poll()
        raise AssertionError("the poller is readable for ever")

    def served_once(self, client: OverSocket, backend: OverSocket) -> None:
        """Open a client's connection, and serve its first request."""
        connection = self.host.accept(client)
        connection.data_received(lane_request())
        assert client.calls == [], "a connection that is not in use yet is its transport's"
        attempt = self.wire.attempts[-1]
        if attempt.transport is not backend:
            attempt.connect(backend)
        attempt.feed(whole())
        self.answered(client)
        backend.read_all()
        backend.received = b""

    def serve(self, client: OverSocket, backend: OverSocket) -> None:
        """Serve the one request that has come."""
        self.poll()
        backend.read()
        assert backend.received.count(b"POST ") == 1
        backend.received = b""
        backend.peer.send(whole())
        self.poll()
        self.answered(client)

    def answered(self, client: OverSocket) -> None:
        client.read()
        assert client.received.startswith(b"HTTP/1.1 200 OK")
        client.received = b""


@pytest.fixture
def setting() -> Iterator[Setting]:
    setting = Setting()
    yield setting
    for transport in setting.transports:
        transport.shut()


def test_a_connection_in_use_is_read_past_its_transport(setting: Setting) -> None:
    client, backend = setting.transport(), setting.transport()
    setting.served_once(client, backend)
    assert client.calls == backend.calls == ["pause_reading"]
    for _ in range(3):
        client.peer.send(lane_request())
        setting.serve(client, backend)
    assert setting.wire.settled()
    assert len(setting.wire.attempts) == 1
    assert client.calls == backend.calls == ["pause_reading"]


def test_a_request_comes_in_any_pieces(setting: Setting) -> None:
    client, backend = setting.transport(), setting.transport()
    setting.served_once(client, backend)
    request = lane_request()
    for at in range(len(request)):
        client.peer.send(request[at : at + 1])
        setting.poll()
    backend.peer.send(whole())
    setting.poll()
    setting.answered(client)


def test_more_than_one_read_takes_is_read_all_the_same(setting: Setting) -> None:
    client, backend = setting.transport(), setting.transport(Tcp)
    setting.served_once(client, backend)
    client.peer.send(lane_request())
    setting.poll()
    answer = whole("x" * 600_000)
    assert backend.peer.send(answer) == len(answer), "it is all there before anybody reads"
    setting.poll()
    client.read_all()
    assert client.received.count(b"x" * 600_000) == 1
    assert setting.wire.settled()


@pytest.mark.parametrize("make", [OverSocket, Tcp])
def test_an_end_right_behind_an_answer_is_seen(setting: Setting, make: type[OverSocket]) -> None:
    client, backend = setting.transport(), setting.transport(make)
    setting.served_once(client, backend)
    client.peer.send(lane_request())
    setting.poll()
    # Its length is where the connection ends.
    backend.peer.send(re.sub(rb"content-length: \d+", b"connection: close", whole("the end")))
    backend.peer.shutdown(socket.SHUT_WR)
    setting.poll()
    client.read()
    assert b"the end" in client.received
    assert client.received.startswith(b"HTTP/1.1 200 OK")
    assert setting.wire.settled()


def test_aiohttp_gets_a_transport_that_reads(setting: Setting) -> None:
    client, backend = setting.transport(), setting.transport()
    setting.served_once(client, backend)
    client.peer.send(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
    setting.poll()
    assert setting.host.foreign == [b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"]
    assert client.calls == ["pause_reading", "resume_reading"]
    client.peer.send(b"this is not for the lane")
    assert not setting.is_readable


def test_a_client_that_leaves_frees_its_slot(setting: Setting) -> None:
    client, backend = setting.transport(), setting.transport()
    setting.served_once(client, backend)
    client.peer.send(lane_request(stream=True))
    setting.poll()
    assert setting.wire.segment.invariants()["running"] == 1
    client.peer.shutdown(socket.SHUT_WR)
    setting.poll()
    assert client.calls == ["pause_reading", "close"]
    assert backend.calls == ["pause_reading", "write_eof"]
    backend.peer.shutdown(socket.SHUT_WR)
    setting.poll()
    assert backend.calls[-1] == "close"
    assert setting.wire.settled()


@pytest.mark.parametrize("side", ["client", "backend"])
def test_a_reset_ends_its_connection_alone(setting: Setting, side: str) -> None:
    client, backend = setting.transport(Tcp), setting.transport(Tcp)
    setting.served_once(client, backend)
    client.peer.send(lane_request(stream=True))
    setting.poll()
    backend.peer.send(SSE_HEAD + chunk({"role": "assistant", "content": "so"}))
    setting.poll()
    ours = client if side == "client" else backend
    assert isinstance(ours, Tcp)
    ours.reset()
    setting.poll()
    assert "abort" in ours.calls
    if side == "client":
        backend.peer.shutdown(socket.SHUT_WR)
        setting.poll()
    else:
        client.read()
        assert b'"code":"upstream_reset"' in client.received, client.received[-300:]
    assert setting.wire.settled()


def test_a_client_that_sends_far_ahead_waits_in_the_kernel(setting: Setting) -> None:
    client, backend = setting.transport(Tcp), setting.transport()
    setting.served_once(client, backend)
    requests = 40
    ahead = lane_request(filler=20_000) * requests
    answers = 0
    while answers < requests:
        with suppress(BlockingIOError):
            ahead = ahead[client.peer.send(ahead) :] if ahead else b""
        setting.poll()
        backend.flush()
        backend.read()
        if b"POST " in backend.received and backend.received.endswith(b"}"):
            assert backend.received.count(b"POST ") == 1, "one at a time"
            backend.received = b""
            backend.peer.send(whole())
            setting.poll()
            answers += 1
        client.read()
    assert client.received.count(b"HTTP/1.1 200 OK") == requests
    assert client.calls == ["pause_reading"], "it is held back without its transport"
    assert setting.wire.settled()


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_client_that_has_sent_far_ahead_is_seen_to_leave(setting: Setting, earlier: int) -> None:
    client, backend = setting.transport(Tcp), setting.transport()
    if earlier:
        setting.served_once(client, backend)
        client.peer.send(lane_request() + b"x" * 100_000)
        setting.poll()
    else:
        setting.host.accept(client).data_received(lane_request() + b"x" * 100_000)
        setting.wire.attempts[0].connect(backend)
        # Only what comes behind a request in hand is too much.
        setting.host.connections[0].data_received(b"x")
    client.peer.send(b"x")
    setting.poll()
    client.peer.send(b"and more, which is not read any more")
    assert not setting.is_readable
    client.peer.close()
    setting.poll()
    assert client.calls[-1] == "close"
    assert "write_eof" in backend.calls
    setting.wire.attempts[0].lost()
    assert setting.wire.settled()


def test_a_backend_is_not_read_while_its_client_does_not_read(setting: Setting) -> None:
    client, backend = setting.transport(), setting.transport()
    setting.served_once(client, backend)
    client.peer.send(lane_request(stream=True))
    setting.poll()
    backend.peer.send(SSE_HEAD + chunk({"role": "assistant", "content": "so"}))
    setting.poll()
    connection = setting.host.connections[-1]
    connection.pause_writing()
    backend.peer.send(chunk({"content": "late"}))
    assert not setting.is_readable
    connection.resume_writing()
    backend.peer.send(chunk({}, "stop") + DONE + LAST_CHUNK)
    setting.poll()
    client.read()
    assert b"late" in client.received
    assert client.received.endswith(LAST_CHUNK)
    assert setting.wire.settled()


def test_what_goes_wrong_with_one_connection_is_its_own(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[BaseException | None] = []
    monkeypatch.setattr("sys.unraisablehook", lambda error: told.append(error.exc_value))
    bad, good, backend = setting.transport(), setting.transport(), setting.transport()
    setting.served_once(bad, backend)
    setting.served_once(good, backend)

    def fail(_: LaneConnection) -> None:
        raise RuntimeError("a test wants this")

    setting.host.on_foreign = fail
    bad.peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    good.peer.send(lane_request())
    setting.poll()
    assert [str(error) for error in told] == ["a test wants this"]
    backend.peer.send(whole())
    setting.poll()
    setting.answered(good)


def test_what_nobody_takes_over_is_dropped(setting: Setting) -> None:
    def fails(_: LaneConnection) -> None:
        raise RuntimeError("no room")

    client, backend = setting.transport(), setting.transport()
    setting.served_once(client, backend)
    setting.host.on_foreign = fails
    with pytest.raises(RuntimeError, match="no room"):
        setting.host.connections[0].data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert client.calls[-1] == "abort"


def test_a_read_stops_at_urgent_data_and_goes_on_behind_it(setting: Setting) -> None:
    client, backend = setting.transport(Tcp), setting.transport()
    setting.served_once(client, backend)
    request = lane_request()
    client.peer.send(request[:50])
    client.peer.send(b"!", socket.MSG_OOB)
    client.peer.send(request[50:])
    setting.poll()
    backend.read()
    # The urgent byte itself is no part of the stream.
    assert backend.received.count(b"POST ") == 1


def test_a_connection_lost_before_its_turn_is_not_read(setting: Setting) -> None:
    clients = [setting.transport() for _ in range(2)]
    backend = setting.transport()
    for client in clients:
        setting.served_once(client, backend)
    for client in clients:
        client.peer.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    # Both are events of one turn, and the first takes the other's connection along.
    first, second = setting.host.connections
    setting.host.on_foreign = lambda gone: (second if gone is first else first).connection_lost(None)
    setting.poll()
    assert len(setting.host.foreign) == 1


def test_a_client_that_always_has_more_is_read_no_further(setting: Setting) -> None:
    client, backend = setting.transport(), setting.transport()
    setting.served_once(client, backend)
    request = lane_request()
    sent, answers = 0, 300
    for _ in range(answers):
        with suppress(BlockingIOError):
            while True:
                sent += client.peer.send((request * 200)[sent % len(request) :])
                setting.poll()
        setting.poll()
        backend.read_all()
        assert backend.received.count(b"POST ") == 1, "one at a time"
        backend.received = b""
        backend.peer.send(whole())
        setting.poll()
        client.read_all()
    assert client.received.count(b"HTTP/1.1 200 OK") == answers
    kernel = client.peer.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    # A read more than what is enough.
    assert sent - answers * len(request) < 2 * (64 << 10) + kernel
    assert client.calls == ["pause_reading"], "it is held back without its transport"


@pytest.mark.parametrize("whole_first", [False, True])
def test_a_descriptor_among_the_bytes_of_a_unix_socket_stops_nothing(setting: Setting, *, whole_first: bool) -> None:
    client, backend = setting.transport(), setting.transport()
    setting.served_once(client, backend)
    request = lane_request()
    first = request if whole_first else request[:50]
    socket.send_fds(client.peer, [first], [client.peer.fileno()])
    client.peer.send((request if whole_first else b"") + request[len(first) :])
    for _ in range(1 + whole_first):
        setting.serve(client, backend)
    assert setting.wire.settled()
