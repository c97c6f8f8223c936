"""`penstock serve` as a process: signals, drain, exit codes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.backend import SSE_HEAD, Peer, backend_of, config_of, good, whole
from tests.conftest import Raw, ask, post

# Connections of the running test, closed in its end.
OPENED: list[Raw] = []


@asynccontextmanager
async def serving(config: str, folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run `penstock serve`; yields the process and its port, once it is ready."""
    OPENED.clear()
    port, admin = free_port(), free_port()
    file = folder / "penstock.yaml"
    file.write_text(f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:{admin}}}\n{config}")
    command = (sys.executable, "-m", "penstock", "serve", "-c", str(file))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env={**os.environ, "NO_COLOR": "1"}
    )
    try:
        await ready(port)
        yield process, port
    finally:
        for raw in OPENED:
            raw.abort()
        if process.returncode is None:
            process.kill()
            await process.communicate()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ready(port: int) -> None:
    for _ in range(500):
        try:
            raw = await client(port)
        except OSError:
            await asyncio.sleep(0.02)
            continue
        status = await get(raw, "/readyz")
        raw.close()
        if status == 200:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not ready")


async def client(port: int) -> Raw:
    OPENED.append(Raw(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 24)))
    return OPENED[-1]


async def get(raw: Raw, path: str) -> int:
    await raw.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
    return (await raw.response()).status


async def slow_stream(peer: Peer) -> None:
    if not peer.body.get("stream"):
        await good(peer)
        return
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": "a"})
    for _ in range(10):
        await asyncio.sleep(0.1)
        peer.event({"content": "b"})
    peer.event({}, "stop")
    peer.done()
    peer.end()


async def test_sigterm_during_50_open_streams(tmp_path: Path) -> None:
    async with backend_of(slow_stream) as backend:
        config = config_of(backend, concurrency=50).replace("total: 2s", "total: 20s")
        async with serving(config, tmp_path) as (process, port):
            clients = [await client(port) for _ in range(50)]
            for raw in clients:
                await raw.send(post(ask(stream=True)))
            while backend.running < 50:
                await asyncio.sleep(0.01)
            idle = await client(port)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            # New connections are refused, idle ones closed; what runs goes on.
            with pytest.raises(OSError):
                await client(port)
            assert await idle.reader.read() == b""
            responses = await asyncio.gather(*(raw.response() for raw in clients))
            assert {response.text for response in responses} == {"a" + "b" * 10}
            assert {response.events[-1] for response in responses} == {b"[DONE]"}
            out, _ = await asyncio.wait_for(process.communicate(), 10)
            assert process.returncode == 0
            lines = [json.loads(line) for line in out.splitlines()]
            assert sum(line["event"] == "request" and line["term"] == "-D" for line in lines) == 50


async def test_during_the_drain_delay_requests_are_served(tmp_path: Path) -> None:
    async with backend_of(slow_stream) as backend:
        config = "drain: {delay: 500ms}\n" + config_of(backend)
        async with serving(config, tmp_path) as (process, port):
            raw = await client(port)
            process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            assert await get(raw, "/readyz") == 503
            assert await get(raw, "/livez") == 200
            assert (await (await client(port)).chat(ask())).status == 200
            await asyncio.wait_for(process.communicate(), 10)
            assert process.returncode == 0


async def test_a_new_request_on_an_open_connection_is_told(tmp_path: Path) -> None:
    """A connection that is busy when the drain begins may send one more request: it is refused and closed."""
    async with backend_of(slow_stream) as backend:
        async with serving(config_of(backend).replace("total: 2s", "total: 20s"), tmp_path) as (process, port):
            raw = await client(port)
            await raw.send(post(ask(stream=True)) + post(ask()))
            while backend.running < 1:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            assert (await raw.response()).text == "a" + "b" * 10
            refused = await raw.response()
            assert (refused.status, refused.error["code"], refused.closed) == (503, "draining", True)
            await asyncio.wait_for(process.communicate(), 10)
            assert process.returncode == 0


async def test_what_outlives_the_drain_time_ends_with_an_error_event(tmp_path: Path) -> None:
    async with backend_of(slow_stream) as backend:
        config = "drain: {instant: 300ms}\n" + config_of(backend).replace("total: 2s", "total: 20s")
        async with serving(config, tmp_path) as (process, port):
            raw = await client(port)
            await raw.send(post(ask(stream=True)))
            while backend.running < 1:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            response = await raw.response()
            assert response.error["code"] == "draining"
            assert b"[DONE]" not in response.body
            out, _ = await asyncio.wait_for(process.communicate(), 10)
            assert process.returncode == 0
            assert b'"term":"GS"' in out


async def test_an_answer_that_is_not_read_yet_is_not_cut(tmp_path: Path) -> None:
    size = 12 << 20

    async def large(peer: Peer) -> None:
        peer.send(whole("x" * size))

    async with backend_of(large) as backend, serving(config_of(backend), tmp_path) as (process, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
        slow = Raw(reader, writer)
        OPENED.append(slow)
        await slow.send(post(ask()))
        await asyncio.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(1)
        assert process.returncode is None
        assert len((await slow.response()).body) > size
        await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 0


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with backend_of(slow_stream) as backend:
        async with serving(config_of(backend).replace("total: 2s", "total: 20s"), tmp_path) as (process, port):
            raw = await client(port)
            await raw.send(post(ask(stream=True)))
            while backend.running < 1:
                await asyncio.sleep(0.01)
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.1)
            process.send_signal(signal.SIGINT)
            _, err = await asyncio.wait_for(process.communicate(), 5)
            assert process.returncode == 130
            assert b"Traceback" not in err


async def test_an_address_in_use(tmp_path: Path) -> None:
    async with backend_of() as backend, serving(config_of(backend), tmp_path) as (_, port):
        file = tmp_path / "second.yaml"
        file.write_text(f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:0}}\n{config_of(backend)}")
        command = (sys.executable, "-m", "penstock", "serve", "-c", str(file))
        second = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        _, err = await asyncio.wait_for(second.communicate(), 10)
        assert second.returncode == 1
        assert err.decode() == f"penstock: cannot listen on 127.0.0.1:{port}: another process listens there\n"


async def test_a_bad_configuration(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("listn: 127.0.0.1:0\n")
    command = (sys.executable, "-m", "penstock", "serve", "-c", str(file))
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 2
    assert f'{file}:1:1: listn: unknown key; did you mean "listen"?' in err.decode()


async def test_the_demo_on_simulated_engines() -> None:
    port, admin = free_port(), free_port()
    options = ("--sim", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
    command = (sys.executable, "-m", "penstock", "demo", *options)
    pipe = asyncio.subprocess.PIPE
    OPENED.clear()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=pipe, stderr=pipe, env={**os.environ, "NO_COLOR": "1"}
    )
    try:
        await ready(port)
        raw = await client(port)
        for model in ("instant-model", "thinking-model"):
            for stream in (False, True):
                response = await raw.chat(ask(model=model, stream=stream, max_tokens=5))
                assert response.status == 200
                assert not stream or response.events[-1] == b"[DONE]"
        raw.abort()
        process.send_signal(signal.SIGTERM)
        _, err = await asyncio.wait_for(process.communicate(), 10)
        assert process.returncode == 0
        text = err.decode()
        assert "simulated" in text
        assert f"curl http://127.0.0.1:{port}/v1/chat/completions" in text
        assert "\x1b" not in text
    finally:
        for opened in OPENED:
            opened.abort()
        if process.returncode is None:
            process.kill()
            await process.communicate()
