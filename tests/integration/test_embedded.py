"""The embedded engine: llama.cpp's real server, started, asked and stopped."""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from penstock.engines import embedded
from penstock.engines.embedded import EmbeddedEngine, EngineError, why_unavailable
from tests.conftest import ask
from tests.serving import SECONDS, free_port, running

pytestmark = pytest.mark.once

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Name three rivers."}]


@pytest.fixture
async def url() -> AsyncIterator[str]:
    engine = EmbeddedEngine("little", slots=2, context=2048)
    yield await engine.start()
    await engine.stop()


def client_of(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)


async def test_whole(url: str) -> None:
    async with client_of(url) as client:
        answer = await client.chat.completions.create(model="little", messages=QUESTION, max_tokens=16)
    assert answer.model == "little"
    assert answer.choices[0].message.content
    assert answer.usage is not None and answer.usage.completion_tokens <= 16


async def test_stream(url: str) -> None:
    async with client_of(url) as client:
        stream = await client.chat.completions.create(model="little", messages=QUESTION, max_tokens=16, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert len({chunk.id for chunk in chunks}) == 1


async def test_name_slots_and_metrics(url: str) -> None:
    async with aiohttp.ClientSession(url) as session:
        async with session.get("/v1/models") as response:
            assert [model["id"] for model in (await response.json())["data"]] == ["little"]
        async with session.get("/slots") as response:
            assert [slot["n_ctx"] for slot in await response.json()] == [1024, 1024]
        async with session.get("/metrics") as response:
            assert "llamacpp:requests_processing" in await response.text()


async def test_stop_leaves_nothing() -> None:
    engine = EmbeddedEngine("little", slots=1, context=512, threads=1)
    url = await engine.start()
    pid = engine.pid
    assert pid is not None
    await engine.stop()
    assert engine.pid is None
    with pytest.raises(ProcessLookupError):  # not even a zombie
        os.kill(pid, 0)
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(f"{url}/health")
    await engine.stop()


async def test_it_needs_no_temporary_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only system there is none."""

    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", none)
    engine = EmbeddedEngine("little", slots=1, context=512, threads=1)
    try:
        await engine.start()
    finally:
        await engine.stop()


async def test_a_start_that_is_cancelled_leaves_nothing() -> None:
    engine = EmbeddedEngine("little", slots=1, context=512, threads=1)
    start = asyncio.create_task(engine.start())
    while engine.pid is None:
        await asyncio.sleep(0.001)
    pid = engine.pid
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_child_that_dies_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho first >&2\necho out of luck >&2\nexit 7\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    engine = EmbeddedEngine("little", slots=1, context=512)
    with pytest.raises(EngineError, match=r"little ended with status 7 .*:\n  first\n  out of luck"):
        await engine.start()


async def test_a_child_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\ntrap '' TERM\necho stuck >&2\nwhile :; do sleep 0.1; done\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setattr(embedded, "START_SECONDS", 0.5)
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.3)
    with pytest.raises(EngineError, match=r"not healthy after 0.5 s:\n  stuck"):
        await EmbeddedEngine("little", slots=1, context=512).start()


async def test_the_engine_dies_with_its_parent() -> None:
    script = (
        "import asyncio, penstock.engines.embedded as e\n"
        "async def main():\n"
        "    engine = e.EmbeddedEngine('little', slots=1, context=512, threads=1)\n"
        "    await engine.start()\n"
        "    print(engine.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await _ends(child)


async def test_a_child_whose_parent_died_before_it_looked_ends() -> None:
    command = (sys.executable, "-m", "penstock.engines.embedded", "--parent", str(os.getppid()))
    child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(child.communicate(), 10)
    assert (child.returncode, said) == (1, b"")


async def test_an_engine_starts_again_where_it_was() -> None:
    engine = EmbeddedEngine("little", slots=1, context=512, threads=1)
    try:
        url = await engine.start()
        pid = engine.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert await engine.ended() == "signal 9"
        await engine.stop()
        assert await engine.start() == url
        assert engine.pid not in (None, pid)
        async with client_of(url) as client:
            assert [model.id for model in (await client.models.list()).data] == ["little"]
    finally:
        await engine.stop()


async def test_the_demo_restarts_an_engine_that_died(tmp_path: Path) -> None:
    port, admin = free_port(), free_port()
    options = ("--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--slots", "1")
    async with running("demo", *options, port=port, admin=admin, folder=tmp_path) as instance:
        first, second = sorted(instance.children())
        for pid, name in ((first, "instant-engine"), (second, "thinking-engine")):
            os.kill(pid, signal.SIGKILL)
            ended = (await instance.logged("engine_ended", 1 if pid == first else 2))[-1]
            assert (ended["engine"], ended["cause"], ended["level"]) == (name, "signal 9", "warning")
        restarted = await instance.logged("engine_restarted", 2)
        assert {line["engine"] for line in restarted} == {"instant-engine", "thinking-engine"}
        assert not {first, second} & instance.children()
        async with asyncio.timeout(SECONDS):
            for model in ("instant-model", "thinking-model"):
                while True:
                    raw = await instance.client()
                    if (await raw.chat(ask(model=model, max_tokens=4))).status == 200:
                        break
                    # A probe has yet to see that it is back.
                    await asyncio.sleep(0.1)
        children = instance.children()
        instance.process.send_signal(signal.SIGTERM)
        assert await instance.ends() == 0
        for pid in children:
            await _ends(pid)


async def _ends(pid: int) -> None:
    deadline = time.monotonic() + 10
    while _alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            pytest.fail("the engine outlived its parent")
        await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    """A zombie counts as dead: the container's init may be slow to reap."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert why_unavailable() is None
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "penstock[demo]" in (why_unavailable() or "")
