"""How many connections may wait to be accepted: what the kernel says, and what a crowd meets."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from penstock.app.service import Service
from penstock.config import load_text
from penstock.net.listener import BACKLOG, SOMAXCONN
from tests.backend import backend_of, config_of, good
from tests.conftest import LANE, gateway_of
from tests.listening import backlogs
from tests.serving import SECONDS, free_port, serving

CROWD = 300
# Where the kernel is set to less, it says less, and so does Penstock.
GRANTED = min(BACKLOG, int(SOMAXCONN.read_text()))


def connecting(stack: ExitStack, family: socket.AddressFamily, place: tuple[str, int] | str) -> socket.socket:
    """Begin to connect; a Unix socket whose queue is full refuses at once."""
    client = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
    client.setblocking(False)
    if family == socket.AF_UNIX:
        client.connect(place)
    else:
        client.connect_ex(place)
    return client


async def connected(clients: list[socket.socket]) -> None:
    """Wait until the kernel has completed all of them; those of a full queue would wait until somebody accepts."""
    async with asyncio.timeout(SECONDS):
        for client in clients:
            while True:
                try:
                    client.getpeername()
                    break
                except OSError:
                    await asyncio.sleep(0.01)


async def test_what_the_kernel_says_of_one_process() -> None:
    async with backend_of() as backend, gateway_of(config_of(backend)) as gateway:
        assert backlogs(gateway.port) == [GRANTED]
        assert backlogs(gateway.service.control.settings.admin.listen.port) == [GRANTED]


async def test_what_the_kernel_says_of_workers(tmp_path: Path) -> None:
    async with backend_of() as backend, serving(config_of(backend), tmp_path, workers=3) as instance:
        await instance.all_workers(3)
        assert backlogs(instance.port) == [GRANTED] * 3
        assert backlogs(instance.admin) == [GRANTED]
        assert [line for line in instance.lines if line["event"] == "backlog_short"] == []


async def test_a_crowd_that_comes_while_nobody_accepts(tmp_path: Path) -> None:
    async with backend_of(good) as backend, serving(config_of(backend), tmp_path, workers=1) as instance:
        (worker,) = (await instance.all_workers(1)).values()
        os.kill(worker, signal.SIGSTOP)
        with ExitStack() as stack:
            place = ("127.0.0.1", instance.port)
            await connected([connecting(stack, socket.AF_INET, place) for _ in range(CROWD)])
        os.kill(worker, signal.SIGCONT)


async def test_a_crowd_at_a_path(tmp_path: Path) -> None:
    """Nobody accepts here: the loop does not turn."""
    path = tmp_path / "penstock.sock"
    async with backend_of() as backend:
        admin = tmp_path / "admin.sock"
        top = f"listen: unix:{path}\nadmin: {{listen: unix:{admin}}}\nlane: {LANE}\n"
        service = Service(load_text(top + config_of(backend), "test.yaml"))
        await service.start()
        try:
            for place in (path, admin):
                with ExitStack() as stack:
                    for _ in range(CROWD):
                        connecting(stack, socket.AF_UNIX, str(place))
        finally:
            await service.stop()


@pytest.mark.parametrize("form", ["tcp", "unix"])
async def test_a_kernel_that_allows_less(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = int(SOMAXCONN.read_text()) + 1
    for module in ("penstock.net.listener", "penstock.app.worker", "penstock.admin.listener"):
        monkeypatch.setattr(f"{module}.BACKLOG", asked)
    listen = f"127.0.0.1:{free_port()}" if form == "tcp" else f"unix:{tmp_path / 'penstock.sock'}"
    async with backend_of() as backend:
        service = Service(
            load_text(f"listen: {listen}\nadmin: {{listen: 127.0.0.1:0}}\n{config_of(backend)}", "test.yaml")
        )
        await service.start()
        await service.stop()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    (line,) = [line for line in lines if line["event"] == "backlog_short"]
    assert (line["level"], line["asked"], line["granted"]) == ("warning", asked, asked - 1)
    assert "net.core.somaxconn" in line["reason"]
