"""Clients that do not read what they are sent, and clients that send what nobody reads."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.process.shutdown_signals import DrainMode
from penstock.server import stall
from penstock.server.connection import WRITE_HIGH_WATER
from penstock.server.linger import LINGER_BYTES
from tests.backend import SSE_HEAD, Backend, Peer, backend_of, config_of, whole
from tests.conftest import Connect, Gateway, ask, gateway_of, post


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is enough."""
    monkeypatch.setattr(stall, "STALL_SECONDS", 1.0)


@asynccontextmanager
async def unread(gateway: Gateway, request: bytes) -> AsyncIterator[socket.socket]:
    """A client that holds little and has sent this."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", gateway.port))
        await loop.sock_sendall(client, request)
        yield client


def waiting(gateway: Gateway) -> int:
    """Return how many bytes wait in the gateway for its one client."""
    (connection,) = gateway.service.worker.registry.connections()
    return connection.unsent_bytes


async def cut(gateway: Gateway) -> bool:
    """Return whether the one client's connection is gone within the time for that."""
    for _ in range(50):
        if not gateway.service.worker.registry.connections():
            return True
        await asyncio.sleep(0.1)
    return False


def slow_config(backend: Backend) -> str:
    return config_of(backend).replace("300ms, total: 2s", "30s, total: 60s")


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_who_reads_nothing_is_cut_however_little_waits(connection: str) -> None:
    is_written = asyncio.Event()

    async def enough(peer: Peer) -> None:
        peer.send(SSE_HEAD)
        while waiting(gateway) == 0:
            peer.event({"role": "assistant", "content": "y" * 8192})
            await asyncio.sleep(0.005)
        peer.event({}, "stop")
        peer.done()
        peer.end()
        is_written.set()

    async with backend_of(enough) as backend, gateway_of(slow_config(backend)) as gateway:
        async with unread(gateway, post(ask(stream=True), connection=connection)):
            await is_written.wait()
            await gateway.settled()
            assert 0 < waiting(gateway) < WRITE_HIGH_WATER
            assert await cut(gateway)


async def test_who_reads_slowly_is_not_cut() -> None:
    """Not while less is read than the kernel wants free before it asks for more, and more comes than is read."""

    async def trickle(peer: Peer) -> None:
        peer.send(SSE_HEAD)
        for _ in range(40):
            peer.event({"role": "assistant", "content": "y" * 100_000})
            await asyncio.sleep(0.05)
        peer.event({}, "stop")
        peer.done()
        peer.end()

    loop = asyncio.get_running_loop()
    async with backend_of(trickle) as backend, gateway_of(slow_config(backend)) as gateway:
        async with unread(gateway, post(ask(stream=True))) as client:
            for _ in range(30):
                await loop.sock_recv(client, 4096)
                await asyncio.sleep(0.2)
            assert waiting(gateway) > 0
            assert await cut(gateway)


@pytest.mark.parametrize("ahead", [2, 20, 20_000])
async def test_no_answer_is_lost_to_what_comes_behind_its_request(connect: Connect, ahead: int) -> None:
    """A socket that is closed with unread bytes is reset, and what its peer has not read yet may be dropped."""
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def held(peer: Peer) -> None:
        begun.set()
        await goes_on.wait()
        peer.send(whole("y" * 1_000_000))

    async with backend_of(held) as backend, gateway_of(config_of(backend)) as gateway:
        raw = await connect(gateway)
        raw.writer.write(post(ask()) * (1 + ahead))
        await begun.wait()
        # The answer says that the connection closes behind it; what comes behind its request is thrown away.
        draining = asyncio.create_task(gateway.service.worker.drain(DrainMode.AT_ONCE))
        await asyncio.sleep(0.1)
        goes_on.set()
        await asyncio.sleep(0.5)
        answer = await raw.response()
        assert (answer.status, len(answer.text), answer.closed) == (200, 1_000_000, True)
        assert await raw.reader.read() == b""
        await draining
        await gateway.settled()


async def push(client: socket.socket, data: bytes, most: int) -> int:
    """Send `data` again and again. Return how many bytes left until for half a second none did, or it was `most`."""
    sent, waited = 0, 0
    while sent < most and waited < 50:
        try:
            sent += client.send(memoryview(data)[sent % len(data) :])
            waited = 0
        except BlockingIOError:
            waited += 1
            await asyncio.sleep(0.01)
        except ConnectionError:
            break
    return sent


@pytest.mark.parametrize(
    ("head", "more"),
    [
        pytest.param(post(b"", content_length="4000000000"), b"x" * 65536, id="a body"),
        pytest.param(post(b"", "/v1/models", content_length="4000000000"), b"x" * 65536, id="a body of no use"),
        pytest.param(b"", post(b"{}") * 500, id="bad requests"),
        pytest.param(b"", b"GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n" * 500, id="requests for aiohttp"),
    ],
)
async def test_who_does_not_read_is_not_read_without_end(head: bytes, more: bytes) -> None:
    async def long(peer: Peer) -> None:
        peer.send(whole("y" * 4_000_000))

    async with backend_of(long) as backend, gateway_of(slow_config(backend)) as gateway:
        async with unread(gateway, post(ask())) as client:
            while waiting(gateway) == 0:
                await asyncio.sleep(0.01)
            await push(client, head or more, len(head or more))
            # aiohttp's refusal of a body discards some of it, so that its client reads why.
            assert await push(client, more, 64 << 20) < 2 * LINGER_BYTES - (8 << 20)


async def test_bad_requests_are_not_answered_without_end(connect: Connect) -> None:
    async with backend_of() as backend, gateway_of(slow_config(backend)) as gateway:
        async with unread(gateway, b"") as client:
            assert await push(client, post(b"{}") * 500, 64 << 20) < 16 << 20
            assert waiting(gateway) < 1 << 20


async def test_a_new_backend_connection_is_held_back_too() -> None:
    """The client has stopped reading before there was a connection for its next request."""

    async def whole_then_stream(peer: Peer) -> None:
        if not peer.body.get("stream"):
            value = whole("y" * 4_000_000)
            peer.send(value.replace(b"\r\n", b"\r\nconnection: close\r\n", 1))
            peer.writer.close()
            return
        peer.send(SSE_HEAD)
        for _ in range(300):
            peer.event({"role": "assistant", "content": "y" * 100_000})
            await peer.writer.drain()

    async with backend_of(whole_then_stream) as backend, gateway_of(slow_config(backend)) as gateway:
        async with unread(gateway, post(ask()) + post(ask(stream=True))):
            await asyncio.sleep(1.0)
            assert 0 < waiting(gateway) < 6 << 20
