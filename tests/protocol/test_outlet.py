"""Where bytes leave: the socket while nothing is ahead of them, else the transport; never out of order."""

from __future__ import annotations

import os
import random
import re
import socket
from collections.abc import Iterator

import pytest

from tests.protocol.lane import LaneHost, lane_request
from tests.protocol.sockets import OverSocket
from tests.protocol.wire import SSE_HEAD, Wire, chunk


class Streaming:
    """A wire with one stream to a client on a socket, its head and first event written."""

    def __init__(self, transport: OverSocket) -> None:
        self.transport = transport
        self.wire = Wire()
        self.sizes: list[int] = []
        self.client = LaneHost(self.wire.gateway).accept(transport)
        self.client.data_received(lane_request(stream=True))
        self.attempt = self.wire.attempts[0].connect()
        self.attempt.feed(SSE_HEAD + chunk({"role": "assistant", "content": ""}))

    def feed(self, size: int) -> None:
        self.attempt.feed(chunk({"content": f"<{len(self.sizes)}:{'x' * size}>"}))
        self.sizes.append(size)

    def check(self) -> None:
        """Every piece has come whole, and in its order."""
        pieces = re.findall(rb"<(\d+):(x*)>", self.transport.received)
        assert [(int(number), len(text)) for number, text in pieces] == list(enumerate(self.sizes))


@pytest.fixture
def streaming() -> Iterator[Streaming]:
    stream = Streaming(OverSocket())
    yield stream
    stream.transport.ours.close()
    stream.transport.peer.close()


def test_what_the_kernel_takes_never_meets_the_transport(streaming: Streaming) -> None:
    for _ in range(5):
        streaming.feed(10)
    streaming.transport.read()
    streaming.check()
    assert streaming.transport.written == []


def test_the_rest_of_what_the_kernel_did_not_take_is_the_transports(streaming: Streaming) -> None:
    streaming.feed(200_000)
    assert len(streaming.transport.written) == 1
    assert 0 < len(streaming.transport.written[0]) < 200_000, "the kernel took a part"
    # Behind it nothing may pass, though the kernel would have room.
    streaming.transport.read()
    streaming.feed(1)
    assert len(streaming.transport.written) == 2
    streaming.transport.read_all()
    streaming.check()
    # Once all has left, the socket is next again.
    streaming.feed(1)
    assert len(streaming.transport.written) == 2
    streaming.transport.read()
    streaming.check()


def test_no_byte_is_lost_or_out_of_order_however_the_client_reads(streaming: Streaming) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(400):
        streaming.feed(chance.choice([0, 10, 3000, 20_000]))
        for action in (streaming.transport.read, streaming.transport.flush):
            if chance.random() < 0.4:
                action()
    streaming.transport.read_all()
    streaming.check()


def test_a_lost_connections_descriptor_is_not_touched(streaming: Streaming) -> None:
    streaming.feed(10)
    streaming.client.connection_lost(None)
    streaming.transport.read()
    before = streaming.transport.received
    ours, peer = socket.socketpair()
    with ours, peer:
        # From now on the number is another connection's.
        peer.setblocking(False)
        os.dup2(ours.fileno(), streaming.transport.ours.fileno())
        for _ in range(3):
            streaming.feed(10)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
    assert streaming.transport.received == before
    assert streaming.transport.written == []


def test_what_must_be_encrypted_does_not_go_to_the_socket() -> None:
    stream = Streaming(OverSocket(tls=True))
    stream.feed(10)
    assert b"<0:" in b"".join(stream.transport.written)
    stream.transport.ours.close()
    stream.transport.peer.close()


def test_what_aiohttp_has_left_in_the_transport_goes_first() -> None:
    transport = OverSocket()
    transport.buffer = b"y" * 100_000
    stream = Streaming(transport)
    stream.feed(10)
    transport.read_all()
    assert transport.received.startswith(b"y" * 100_000 + b"HTTP/1.1 200 OK")
    stream.check()
    transport.ours.close()
    transport.peer.close()
