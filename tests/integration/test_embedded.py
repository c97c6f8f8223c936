"""The embedded engine: llama.cpp's real server, started, asked and stopped."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import openai
import pytest

from penstock.sim import embedded
from penstock.sim.embedded import EmbeddedEngine, EmbeddedEngineError


@pytest.fixture
async def engine() -> AsyncIterator[EmbeddedEngine]:
    engine = EmbeddedEngine("little", slots=2, context=1024)
    await engine.start()
    yield engine
    await engine.stop()


def client_of(engine: EmbeddedEngine) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{engine.url}/v1", api_key="none", max_retries=0)


QUESTION = [{"role": "user", "content": "Name three rivers."}]


async def test_whole(engine: EmbeddedEngine) -> None:
    async with client_of(engine) as client:
        answer = await client.chat.completions.create(model="little", messages=QUESTION, max_tokens=16)
    assert answer.model == "little"
    assert answer.choices[0].message.content
    assert answer.usage is not None and answer.usage.completion_tokens <= 16


async def test_stream(engine: EmbeddedEngine) -> None:
    async with client_of(engine) as client:
        stream = await client.chat.completions.create(model="little", messages=QUESTION, max_tokens=16, stream=True)
        chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert len({chunk.id for chunk in chunks}) == 1


async def test_slots_and_context(engine: EmbeddedEngine) -> None:
    async with client_of(engine) as client:
        slots = await client.with_options(base_url=f"{engine.url}").get("/slots", cast_to=list)
    assert [slot["n_ctx"] for slot in slots] == [1024, 1024]


async def test_stop_leaves_nothing() -> None:
    engine = EmbeddedEngine("little", slots=1, context=512, threads=1)
    await engine.start()
    process = engine._process
    assert process is not None
    await engine.stop()
    assert process.returncode == -signal.SIGTERM
    assert engine.url is None
    await engine.stop()


async def test_a_child_that_dies_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\necho first >&2\necho out of luck >&2\nexit 7\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    engine = EmbeddedEngine("little", slots=1, context=512)
    with pytest.raises(EmbeddedEngineError, match=r"ended with status 7 .*:\n  first\n  out of luck"):
        await engine.start()


async def test_a_child_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text("#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    monkeypatch.setattr(embedded, "START_SECONDS", 0.3)
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.3)
    with pytest.raises(EmbeddedEngineError, match="not healthy"):
        await EmbeddedEngine("little", slots=1, context=512).start()


async def test_the_engine_dies_with_its_parent() -> None:
    script = (
        "import asyncio, penstock.sim.embedded as e\n"
        "async def main():\n"
        "    engine = e.EmbeddedEngine('little', 1, 512, 1)\n"
        "    await engine.start()\n"
        "    print(engine._process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    deadline = time.monotonic() + 10
    while _alive(child):
        assert time.monotonic() < deadline, "the engine outlived its parent"
        await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    """A zombie counts as dead: the container's init may be slow to reap."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EmbeddedEngine.available()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not EmbeddedEngine.available()
    assert "penstock[demo]" in (EmbeddedEngine.why_unavailable() or "")
