"""`penstock serve` as a process: signals, drain, exit codes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.backend import SSE_HEAD, Peer, backend_of, config_of, good, whole
from tests.conftest import Raw, ask, post
from tests.serving import Instance, free_port, get, penstock, running, serve, serving


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
        async with serving(config, tmp_path) as instance:
            clients = [await instance.client() for _ in range(50)]
            for raw in clients:
                await raw.send(post(ask(stream=True)))
            while backend.running < 50:
                await asyncio.sleep(0.01)
            idle = await instance.client()
            instance.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)
            # New connections are refused, idle ones closed; what runs goes on.
            with pytest.raises(OSError):
                await instance.client()
            assert await idle.reader.read() == b""
            responses = await asyncio.gather(*(raw.response() for raw in clients))
            assert {response.text for response in responses} == {"a" + "b" * 10}
            assert {response.events[-1] for response in responses} == {b"[DONE]"}
            assert await instance.ends() == 0
            await instance.all_ended()
            assert [line["term"] for line in instance.lines if line["event"] == "request"] == ["-D"] * 50


async def test_during_the_drain_delay_requests_are_served(tmp_path: Path) -> None:
    async with backend_of(slow_stream) as backend:
        config = "drain: {delay: 500ms}\n" + config_of(backend)
        async with serving(config, tmp_path) as instance:
            raw = await instance.client()
            instance.process.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.1)
            assert await get(raw, "/readyz") == 503
            assert await get(raw, "/livez") == 200
            assert (await (await instance.client()).chat(ask())).status == 200
            assert await instance.ends() == 0


async def test_a_new_request_on_an_open_connection_is_told(tmp_path: Path) -> None:
    """A connection that is busy when the drain begins may send one more request: it is refused and closed."""
    async with backend_of(slow_stream) as backend:
        async with serving(config_of(backend).replace("total: 2s", "total: 20s"), tmp_path) as instance:
            raw = await instance.client()
            await raw.send(post(ask(stream=True)) + post(ask()))
            status, headers = await raw.head()
            assert (status, headers.get("connection")) == (200, None)
            instance.process.send_signal(signal.SIGTERM)
            assert b"[DONE]" in await raw.reader.readuntil(b"\r\n0\r\n\r\n")
            refused = await raw.response()
            assert (refused.status, refused.error["code"], refused.closed) == (503, "draining", True)
            assert await instance.ends() == 0


async def test_an_answer_that_begins_in_a_drain_says_that_the_connection_closes(tmp_path: Path) -> None:
    goes = asyncio.Event()

    async def late(peer: Peer) -> None:
        await goes.wait()
        await good(peer)

    async with backend_of(late) as backend, serving(config_of(backend, concurrency=4), tmp_path) as instance:
        clients = [await instance.client() for _ in range(2)]
        for raw, stream in zip(clients, (False, True), strict=True):
            await raw.send(post(ask(stream=stream)))
        while backend.running < 2:
            await asyncio.sleep(0.01)
        instance.process.send_signal(signal.SIGTERM)
        await instance.logged("drain_begins", 1)
        goes.set()
        for raw in clients:
            answer = await raw.response()
            assert (answer.status, answer.headers["connection"], answer.closed) == (200, "close", True)
        assert await instance.ends() == 0


async def test_what_outlives_the_drain_time_ends_with_an_error_event(tmp_path: Path) -> None:
    async with backend_of(slow_stream) as backend:
        config = "drain: {instant: 300ms}\n" + config_of(backend).replace("total: 2s", "total: 20s")
        async with serving(config, tmp_path) as instance:
            raw = await instance.client()
            await raw.send(post(ask(stream=True)))
            while backend.running < 1:
                await asyncio.sleep(0.01)
            instance.process.send_signal(signal.SIGTERM)
            response = await raw.response()
            assert response.error["code"] == "draining"
            assert b"[DONE]" not in response.body
            assert await instance.ends() == 0
            await instance.all_ended()
            assert [line["term"] for line in instance.lines if line["event"] == "request"] == ["GS"]


async def test_an_answer_that_is_not_read_yet_is_not_cut(tmp_path: Path) -> None:
    size = 12 << 20

    async def large(peer: Peer) -> None:
        peer.send(whole("x" * size))

    async with backend_of(large) as backend, serving(config_of(backend), tmp_path) as instance:
        slow = Raw(*await asyncio.open_connection("127.0.0.1", instance.port, limit=4096))
        instance.opened.append(slow)
        await slow.send(post(ask()))
        await asyncio.sleep(0.5)
        instance.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(1)
        assert instance.process.returncode is None
        assert len((await slow.response()).body) > size
        assert await instance.ends() == 0


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with backend_of(slow_stream) as backend:
        async with serving(config_of(backend).replace("total: 2s", "total: 20s"), tmp_path) as instance:
            raw = await instance.client()
            await raw.send(post(ask(stream=True)))
            while backend.running < 1:
                await asyncio.sleep(0.01)
            instance.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.1)
            instance.process.send_signal(signal.SIGINT)
            assert await instance.ends() == 130
            await instance.all_ended()
            assert b"Traceback" not in instance.errors


async def test_a_hangup_ends_nothing_and_is_a_line_in_the_log(tmp_path: Path) -> None:
    async with backend_of(good) as backend, serving(config_of(backend), tmp_path) as instance:
        workers = await instance.all_workers(2)
        control = await instance.control(2)
        raw = await instance.client()
        instance.process.send_signal(signal.SIGHUP)
        (line,) = await instance.logged("reload_ignored")
        assert line["level"] == "warning"
        assert "SIGHUP" in line["reason"]
        # Whoever else gets one, as when a terminal closes.
        for pid in (control, *workers.values()):
            os.kill(pid, signal.SIGHUP)
        assert (await raw.chat(ask())).status == 200
        instance.process.send_signal(signal.SIGHUP)
        await instance.logged("reload_ignored", 2)
        assert (await instance.all_workers(2), await instance.control(2)) == (workers, control)
        instance.process.send_signal(signal.SIGTERM)
        assert await instance.ends() == 0
        await instance.all_ended()
        assert len([line for line in instance.lines if line["event"] == "reload_ignored"]) == 2


async def test_a_hangup_of_the_demo(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    options = ("--sim", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
    async with running("demo", *options, port=port, admin=admin, folder=tmp_path) as instance:
        instance.process.send_signal(signal.SIGHUP)
        await instance.logged("reload_ignored")
        raw = await instance.client()
        assert (await raw.chat(ask(model="instant-model", max_tokens=5))).status == 200
        instance.process.send_signal(signal.SIGTERM)
        assert await instance.ends() == 0


async def test_an_address_in_use(tmp_path: Path) -> None:
    async with backend_of() as backend, serving(config_of(backend), tmp_path) as instance:
        text = f"listen: 127.0.0.1:{instance.port}\nadmin: {{listen: 127.0.0.1:0}}\n{config_of(backend)}"
        second = await penstock(*serve(text, tmp_path), folder=tmp_path)
        _, err = await asyncio.wait_for(second.communicate(), 10)
        assert second.returncode == 1
        reason = "another process listens there"
        assert err.decode() == f"penstock: cannot listen on 127.0.0.1:{instance.port}: {reason}\n"


async def test_a_bad_configuration(tmp_path: Path) -> None:
    process = await penstock(*serve("listn: 127.0.0.1:0\n", tmp_path), folder=tmp_path)
    _, err = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 2
    assert ':1:1: listn: unknown key; did you mean "listen"?' in err.decode()


async def test_the_demo_on_simulated_engines(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    options = ("--sim", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}")
    async with running("demo", *options, port=port, admin=admin, folder=tmp_path) as instance:
        raw = await instance.client()
        for model in ("instant-model", "thinking-model"):
            for stream in (False, True):
                response = await raw.chat(ask(model=model, stream=stream, max_tokens=5))
                assert response.status == 200
                assert not stream or response.events[-1] == b"[DONE]"
        raw.abort()
        instance.process.send_signal(signal.SIGTERM)
        assert await instance.ends() == 0
        await instance.all_ended()
        text = instance.errors.decode()
        assert "simulated" in text
        assert f"curl http://127.0.0.1:{port}/v1/chat/completions" in text
        assert "\x1b" not in text


async def test_a_level_above_info_leaves_the_requests_out(tmp_path: Path) -> None:
    async with backend_of(good) as backend:
        config = "log: {level: warning}\n" + config_of(backend)
        async with serving(config, tmp_path) as instance:
            raw = await instance.client()
            assert (await raw.chat(ask())).status == 200
            instance.process.send_signal(signal.SIGTERM)
            assert await instance.ends() == 0
            await instance.all_ended()
            assert instance.lines == []


async def test_without_standard_streams(tmp_path: Path) -> None:
    """Their numbers must not become those of sockets, which would then get the log."""
    port, admin = free_port(), free_port()
    async with backend_of(good) as backend:
        config = f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:{admin}, token: t}}\n{config_of(backend)}"
        arguments = [sys.executable, "-m", "penstock", *serve(config, tmp_path)]
        env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *arguments, env=env, start_new_session=True
        )
        instance = Instance(process, port, admin)
        try:
            await instance.ready()
            raw = await instance.client()
            for _ in range(20):
                assert (await raw.chat(ask())).status == 200
            process.send_signal(signal.SIGTERM)
            assert await instance.ends() == 0
        finally:
            for raw in instance.opened:
                raw.abort()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
