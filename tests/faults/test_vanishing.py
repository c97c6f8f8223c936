"""Peers that vanish without a word: what the kernel is asked to notice, and that it does."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import sys

import pytest

from penstock.net.keepalive import has_vanished, set_keepalive
from penstock.upstream import dialer
from penstock.upstream.dialer import SocketAddress
from tests.backend import backend_of, config_of
from tests.conftest import Connect, ask, gateway_of

NAMESPACE = ("unshare", "--map-root-user", "--net")


@pytest.fixture
def namespace() -> None:
    """Skip where a process cannot have a network of its own."""
    tools = all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip"))
    # A bridge of two ends is a module of the kernel that may not be there.
    link = "ip link add ours type veth peer name theirs"
    if not tools or subprocess.run([*NAMESPACE, "sh", "-c", link], capture_output=True, check=False).returncode:
        pytest.skip("not run: network namespaces not permitted")


@pytest.mark.usefixtures("namespace")
def test_whoever_is_behind_a_pulled_wire_is_let_go() -> None:
    script = [*NAMESPACE, sys.executable, "-m", "tests.faults.vanishing"]
    result = subprocess.run(script, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def alive(connection: socket.socket) -> dict[str, int]:
    """Return what the kernel does to find out whether a peer is there."""
    tcp = {name: getattr(socket, name) for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")}
    options = {name: connection.getsockopt(socket.IPPROTO_TCP, number) for name, number in tcp.items()}
    return {"SO_KEEPALIVE": connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), **options}


KEEPALIVE = {"SO_KEEPALIVE": 1, "TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}


async def test_every_socket_is_watched(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, int]] = []
    connected = dialer.connected

    async def seen(address: SocketAddress) -> socket.socket:
        connection = await connected(address)
        made.append(alive(connection))
        return connection

    monkeypatch.setattr(dialer, "connected", seen)
    async with backend_of() as backend, gateway_of(config_of(backend)) as gateway:
        raw = await connect(gateway)
        assert (await raw.chat(ask())).status == 200
        (client,) = gateway.service.worker.registry.connections()
        assert client.open_transport is not None
        # Whoever stops reading for a while is no less alive: TCP_USER_TIMEOUT would cut clients that read slowly.
        assert alive(client.open_transport.get_extra_info("socket")) == {**KEEPALIVE, "TCP_USER_TIMEOUT": 0}
    # Probes and requests alike.
    assert len(made) >= 2
    assert all(options == {**KEEPALIVE, "TCP_USER_TIMEOUT": 30_000} for options in made)


async def test_who_takes_nothing_or_little_has_not_vanished(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel acknowledges the probes of its shut window."""
    monkeypatch.setattr("penstock.net.keepalive.VANISHED_SECONDS", 0)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listener.getsockname())
        ours, _ = listener.accept()
        with ours:
            set_keepalive(ours)
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            sending = loop.create_task(loop.sock_sendall(ours, bytes(64 << 20)))
            for _ in range(20):
                await asyncio.sleep(0.1)
                assert not has_vanished(ours)
                client.recv(256)
            assert not sending.done()
            sending.cancel()
