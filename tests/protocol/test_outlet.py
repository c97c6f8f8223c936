"""Where bytes leave: the socket while nothing is ahead of them, else the transport; never out of order."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from penstock._core import LaneConnection, LaneTerms
from tests.protocol.wire import SSE_HEAD, Transport, Wire, chunk

BODY = json.dumps({"model": "fast", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class OverSocket(Transport):
    """A transport on a real socket: its buffer holds what the kernel does not take."""

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__()
        self.ours, self.peer = socket.socketpair()
        for end in (self.ours, self.peer):
            end.setblocking(False)
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.tls = tls
        self.buffer = b""
        self.received = b""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.buffer += data
        self.flush()

    def flush(self) -> None:
        """Hand the kernel what it takes, as a loop does when a socket has room."""
        with suppress(BlockingIOError):
            while self.buffer:
                self.buffer = self.buffer[self.ours.send(self.buffer) :]

    def read(self) -> None:
        """Take what has come at the other end."""
        with suppress(BlockingIOError):
            while piece := self.peer.recv(1 << 16):
                self.received += piece

    def read_all(self) -> None:
        while self.buffer:
            self.flush()
            self.read()
        self.read()

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self.ours, "sslcontext": object() if self.tls else None}.get(name)


class Host:
    """Stands in for the lane's factory."""

    def made(self, _: LaneConnection, __: Any) -> bool:
        return True

    def lost(self, _: LaneConnection) -> None:
        """Do nothing."""


class Streaming:
    """A wire with one stream to a client on a socket, its head and first event written."""

    def __init__(self, transport: OverSocket) -> None:
        self.transport = transport
        self.wire = Wire()
        self.sizes: list[int] = []
        terms = LaneTerms(head=16 << 10, body=1 << 20, tenant=None, priority=None, sessions=[])
        self.client = LaneConnection(self.wire.gateway, Host(), terms)
        self.client.connection_made(transport)
        self.client.data_received(REQUEST)
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


def test_a_closed_transports_descriptor_is_not_touched(streaming: Streaming) -> None:
    # It may be another connection's by now.
    streaming.transport.closing = True
    streaming.feed(10)
    assert len(streaming.transport.written) == 1
    assert b"<0:" in streaming.transport.written[0]


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
