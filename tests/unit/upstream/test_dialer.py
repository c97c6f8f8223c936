"""One way to a backend: names with several addresses, what is left behind, and that probes and requests agree."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from penstock.config.settings import Backend, BackendTls, Url
from penstock.upstream import dialer
from penstock.upstream.client import page_of, session_for, url_of
from penstock.upstream.connector import Connector
from penstock.upstream.dialer import ConnectError, SocketAddress
from penstock.upstream.probe import Prober

from .server import Server, listening, until
from .test_probe import Log, models, segment_of

NAME = "engine.test"
PAGE = "/v1/models"


@contextmanager
def swallowing(host: str, port: int = 0) -> Iterator[int]:
    """Listen at a place that answers to no SYN: its queue is full, and nobody accepts."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        place = listener.getsockname()
        with socket.create_connection(place):
            yield int(place[1])


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, Url]]:
    """A good server at 127.0.0.1."""
    good = Server()
    good.pages = {PAGE: models("one")}
    async with listening(good) as url:
        yield good, url


class Resolver:
    """Takes the place of the name server."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[SocketAddress]:
        self.asked.append(host)
        families = (socket.AF_INET6 if ":" in name else socket.AF_INET for name in self.hosts)
        return [SocketAddress(family, (name, port)) for family, name in zip(families, self.hosts, strict=True)]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    names = Resolver()
    monkeypatch.setattr(dialer, "resolve", names)
    return names


class Asked:
    """A protocol as the core hands it to the connector."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.failed: list[tuple[str, str]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Nothing is expected."""

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody waits for it."""

    def connect_failed(self, kind: str, detail: str) -> None:
        self.failed.append((kind, detail))


async def connect(backend: Backend, *, seconds: float = 5.0) -> Asked:
    """Connect as a request does."""
    asked = Asked()
    task = Connector([backend])(0, asked)  # type: ignore[arg-type]
    await asyncio.wait_for(task, seconds)
    if asked.transport is not None:
        asked.transport.abort()
    return asked


def named(port: int, **more: Any) -> Backend:
    return Backend("a", Url("http", NAME, port), 4, **more)


def descriptors() -> set[str]:
    """Return the sockets of this process."""
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))  # noqa: PTH208
    return {os.readlink(link) for link in links if os.path.exists(link)}  # noqa: PTH110, PTH115


async def test_an_address_that_does_not_answer_hides_no_other(server: tuple[Server, Url], resolver: Resolver) -> None:
    good, url = server
    resolver.hosts = ["127.0.0.2", "127.0.0.1"]
    with swallowing("127.0.0.2", url.port):
        began = time.monotonic()
        asked = await connect(named(url.port))
        assert (asked.failed, asked.transport is not None) == ([], True)
        # The second address gets its turn after 0.25 s.
        assert time.monotonic() - began < 2.5
        async with session_for(named(url.port), 5.0) as session:
            assert await page_of(session, named(url.port), PAGE) == good.pages[PAGE]


@pytest.mark.parametrize("hosts", [["127.0.0.2"], ["127.0.0.2", "127.0.0.3"]])
async def test_probes_and_requests_agree(hosts: Sequence[str], resolver: Resolver) -> None:
    resolver.hosts = list(hosts)
    with swallowing("127.0.0.2") as port, swallowing("127.0.0.3", port):
        with pytest.raises(TimeoutError):
            await connect(named(port), seconds=1.0)
        async with session_for(named(port), 1.0) as session:
            assert await page_of(session, named(port), PAGE) is None


async def test_a_refused_address_costs_no_time(server: tuple[Server, Url], resolver: Resolver) -> None:
    _, url = server
    resolver.hosts = ["127.0.0.2", "::1", "127.0.0.3", "127.0.0.1"]
    began = time.monotonic()
    assert (await connect(named(url.port))).failed == []
    # Three turns of 0.25 s, if it waited for them.
    assert time.monotonic() - began < 0.25


async def test_all_are_refused(resolver: Resolver) -> None:
    resolver.hosts = ["127.0.0.2", "127.0.0.1"]
    assert (await connect(named(1))).failed == [("refused", "Connection refused")]
    resolver.hosts = ["127.0.0.2", "255.255.255.255"]
    ((kind, detail),) = (await connect(named(1))).failed
    assert (kind, detail) in [
        ("refused", "Connection refused, Network is unreachable"),
        ("refused", "Connection refused, Permission denied"),
    ]


async def test_the_families_take_turns() -> None:
    v4 = [SocketAddress(socket.AF_INET, (f"127.0.0.{n}", 1)) for n in range(1, 4)]
    v6 = [SocketAddress(socket.AF_INET6, ("::1", 1))]
    assert dialer.interleaved(v6 + v4) == [v6[0], *v4]
    assert dialer.interleaved(v4 + v6) == [v4[0], v6[0], *v4[1:]]
    assert dialer.interleaved([]) == []


async def test_a_name_that_nobody_knows() -> None:
    for host in ("no-such-name.invalid", "a" * 64 + ".test"):
        ((kind, detail),) = (await connect(Backend("a", Url("http", host, 1), 4), seconds=20.0)).failed
        assert kind == "connect"
        assert detail
        assert "Errno" not in detail


async def test_who_is_no_longer_wanted_leaves_nothing(resolver: Resolver) -> None:
    resolver.hosts = ["127.0.0.2", "127.0.0.3"]
    with swallowing("127.0.0.2") as port, swallowing("127.0.0.3", port):
        before = descriptors()
        asked = Asked()
        task = Connector([named(port)])(0, asked)  # type: ignore[arg-type]
        await until(lambda: len(descriptors()) == len(before) + 2)
        task.cancel()
        await until(lambda: descriptors() == before)
        assert task.cancelled()
        assert asked.failed == []


async def test_the_loser_leaves_nothing(server: tuple[Server, Url], resolver: Resolver) -> None:
    _, url = server
    resolver.hosts = ["127.0.0.2", "127.0.0.1"]
    with swallowing("127.0.0.2", url.port):
        before = descriptors()
        for _ in range(3):
            await connect(named(url.port))
        await until(lambda: descriptors() == before)


async def test_a_probe_that_reaches_the_second_address_is_right(server: tuple[Server, Url], resolver: Resolver) -> None:
    _, url = server
    resolver.hosts = ["127.0.0.2", "127.0.0.1"]
    segment = segment_of()
    with swallowing("127.0.0.2", url.port):
        prober = Prober(segment, [named(url.port)], Log().logger)
        prober.start()
        try:
            await until(lambda: segment.states() == [("a", "healthy")])
        finally:
            await prober.stop()
        assert (await connect(named(url.port))).failed == []
    assert set(resolver.asked) == {NAME}


# A certificate for engine.test and 127.0.0.1 that nobody has signed, with its key. Made with `openssl req -x509`.
CERTIFICATE = str(Path(__file__).with_name("engine.pem"))


@pytest.mark.parametrize("host", [NAME, f"{NAME}.", "127.0.0.1"])
async def test_a_certificate_is_checked_by_both(host: str, resolver: Resolver) -> None:
    resolver.hosts = ["127.0.0.1"]
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    good = Server()
    good.pages = {PAGE: models("one")}
    async with listening(good, tls=context) as url:
        trusting = Backend("a", Url("https", host, url.port), 4, tls=BackendTls(ca=CERTIFICATE))
        assert (await connect(trusting)).failed == []
        async with session_for(trusting, 5.0) as session:
            assert await page_of(session, trusting, PAGE) == good.pages[PAGE]
        for other in (
            Backend("a", trusting.url, 4),
            replace(trusting, url=Url("https", "other.test", url.port)),
        ):
            assert (await connect(other)).failed == [("tls", "CERTIFICATE_VERIFY_FAILED")]
            async with session_for(other, 5.0) as session:
                with pytest.raises(ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await session.get(url_of(other, PAGE))


async def test_a_numeric_address_asks_no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that look names up may all be waiting for one."""

    async def nobody(*_: object, **__: object) -> object:
        raise AssertionError("a look-up")

    class Loop:
        getaddrinfo = staticmethod(nobody)

    monkeypatch.setattr(dialer.asyncio, "get_running_loop", Loop)
    for host, family in (("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)):
        (address,) = await dialer.resolve(host, 8000)
        assert (address.family, address.place[:2]) == (family, (host, 8000))


async def test_the_receive_buffer_is_bounded_before_the_window_is(server: tuple[Server, Url]) -> None:
    _, url = server
    connection = await dialer.connected(SocketAddress(socket.AF_INET, ("127.0.0.1", url.port)))
    with connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) <= 2 * dialer.RECEIVE_BUFFER


class Dropping(asyncio.Protocol):
    """Drops its connection as soon as it has one, as happens where the first write finds it reset."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast("asyncio.Transport", transport).abort()


async def test_a_connection_that_is_dropped_at_once_is_closed_once(server: tuple[Server, Url]) -> None:
    """Closed twice, its descriptor is somebody else's the second time."""
    dial = dialer.Dialer(Backend("a", server[1], 1)).dial
    for _ in range(20):
        await dial(Dropping)
        others = [socket.socket() for _ in range(4)]
        try:
            await asyncio.sleep(0.01)
            gc.collect()
            for other in others:
                os.fstat(other.fileno())
        finally:
            for other in others:
                other.close()
