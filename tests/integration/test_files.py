"""What `penstock serve` leaves where others can see it: its socket files and its admin token, and for how long."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.backend import Backend, backend_of, config_of, good
from tests.conftest import LANE, Raw, ask
from tests.serving import SECONDS, Instance, get, penstock, serve


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with backend_of(good) as running:
        yield running


def config(backend: Backend, folder: Path, more: str = "") -> str:
    top = f"listen: unix:{folder}/data.sock\nadmin: {{listen: unix:{folder}/admin.sock{more}}}\nworkers: 2\n"
    return f"{top}lane: {LANE}\n{config_of(backend)}"


@asynccontextmanager
async def at_paths(backend: Backend, folder: Path, more: str = "", run: Path | None = None) -> AsyncIterator[Instance]:
    """Run `penstock serve` at two paths in a folder, from when it is ready."""
    process = await penstock(*serve(config(backend, folder, more), folder), folder=run or folder)
    instance = Instance(process, 0, 0)
    try:
        async with asyncio.timeout(SECONDS):
            while await status_at(folder / "data.sock") != 200:
                assert process.returncode is None, instance.errors
                await asyncio.sleep(0.02)
        yield instance
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        await instance.all_ended()


async def status_at(path: Path, of: str = "/readyz", token: str | None = None) -> int | None:
    """Return the status of a GET at a socket file; None if nobody answers there."""
    with suppress(OSError):
        raw = Raw(*await asyncio.open_unix_connection(path))
        try:
            if token is None:
                return await get(raw, of)
            await raw.send(f"GET {of} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n".encode())
            return (await raw.response()).status
        finally:
            raw.abort()
    return None


def visible(folder: Path) -> set[str]:
    """Return what is there beside the configuration: socket files, and the tokens by their ending."""
    files = [file for file in folder.rglob("*") if not file.is_dir() and file.name != "penstock.yaml"]
    return {file.suffix if file.suffix == ".token" else file.name for file in files}


ALL = {"data.sock", "admin.sock", ".token"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
async def test_what_was_visible_goes_in_the_end(backend: Backend, tmp_path: Path, number: signal.Signals) -> None:
    async with at_paths(backend, tmp_path) as instance:
        assert visible(tmp_path) == ALL
        instance.process.send_signal(number)
        assert await instance.ends() == 0
        assert visible(tmp_path) == set()


async def test_it_goes_with_the_last_process_when_the_supervisor_is_killed(backend: Backend, tmp_path: Path) -> None:
    async with at_paths(backend, tmp_path) as instance:
        instance.process.kill()
        await instance.all_ended()
        async with asyncio.timeout(SECONDS):
            while visible(tmp_path):
                await asyncio.sleep(0.02)


async def test_it_stays_while_any_worker_serves(backend: Backend, tmp_path: Path) -> None:
    async with at_paths(backend, tmp_path) as instance:
        workers = await instance.all_workers(2)
        control = await instance.control(2)
        # A worker that drains, and control that quits, are ends in good order.
        os.kill(workers[0], signal.SIGTERM)
        os.kill(control, signal.SIGQUIT)
        await instance.logged("process_ended", 2)
        await instance.all_workers(2)
        await instance.control(2)
        assert visible(tmp_path) == ALL
        raw = Raw(*await asyncio.open_unix_connection(tmp_path / "data.sock"))
        assert (await raw.chat(ask())).status == 200
        raw.abort()


async def test_two_instances_at_paths_have_a_token_each(backend: Backend, tmp_path: Path) -> None:
    run = tmp_path / "run"
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (run, one, two):
        folder.mkdir()
    async with at_paths(backend, one, run=run), at_paths(backend, two, run=run) as second:
        tokens = [file.read_text() for file in (run / "penstock").iterdir()]
        assert len(tokens) == 2
        for folder in (one, two):
            statuses = [await status_at(folder / "admin.sock", "/admin/status", token) for token in tokens]
            assert sorted(statuses, key=str) == [200, 401]
        second.process.send_signal(signal.SIGTERM)
        assert await second.ends() == 0
        (left,) = (run / "penstock").iterdir()
        assert await status_at(one / "admin.sock", "/admin/status", left.read_text()) == 200


async def test_a_start_that_fails_leaves_nothing(backend: Backend, tmp_path: Path) -> None:
    """Both sockets are bound by then."""
    (tmp_path / "penstock").touch()
    process = await penstock(*serve(config(backend, tmp_path), tmp_path), folder=tmp_path)
    _, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 1
    assert err.decode().startswith(f"penstock: the run directory {tmp_path}/penstock cannot be used: ")
    assert err.count(b"\n") == 1
    assert visible(tmp_path) == {"penstock"}


async def test_permissions_are_the_owners_unless_more_is_set(backend: Backend, tmp_path: Path) -> None:
    async with at_paths(backend, tmp_path, more=', listen_mode: "0666"'):
        assert stat.S_IMODE((tmp_path / "data.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "admin.sock").stat().st_mode) == 0o666
