"""An engine that dies is started again, also when that fails at first, and never after it was stopped."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.engines import supervised
from penstock.engines.embedded import EngineError
from penstock.engines.supervised import SupervisedEngine


class Log:
    """Remembers the lines."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def bind(self, **_: Any) -> Log:
        return self

    def info(self, event: str, **fields: Any) -> None:
        self.lines.append((event, fields))

    warning = info


class Engine:
    """Dies when it is told to, and starts unless it is told not to."""

    def __init__(self, *failures: int) -> None:
        self.failures = set(failures)
        self.starts = 0
        self.runs = False
        self.death = asyncio.Event()
        self.started = asyncio.Condition()

    async def start(self) -> str:
        self.starts += 1
        async with self.started:
            self.started.notify_all()
        if self.starts in self.failures:
            raise EngineError(f"no start {self.starts}")
        self.death.clear()
        self.runs = True
        return "http://127.0.0.1:9"

    async def stop(self) -> None:
        self.runs = False

    async def ended(self) -> str:
        await self.death.wait()
        return "exit 1"

    async def reaches(self, starts: int) -> None:
        async with asyncio.timeout(10), self.started:
            await self.started.wait_for(lambda: self.starts >= starts)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The lives after which a pause was asked for; there is none."""
    lives: list[float] = []

    class Backoff:
        def pause(self, lived: float) -> float:
            lives.append(lived)
            return 0.0

    monkeypatch.setattr(supervised, "Backoff", Backoff)
    return lives


async def test_who_dies_is_started_again(pauses: list[float]) -> None:
    engine, log = Engine(3, 4), Log()
    one = SupervisedEngine("a", engine, log)  # type: ignore[arg-type]
    assert await one.start() == "http://127.0.0.1:9"
    engine.death.set()
    await engine.reaches(2)
    await asyncio.sleep(0)
    engine.death.set()
    # Two of its starts fail; those lives are counted as none.
    await engine.reaches(5)
    await asyncio.sleep(0.01)
    assert engine.runs
    assert [event for event, _ in log.lines] == [
        *("engine_ended", "engine_restarted"),
        *("engine_ended", "engine_failed", "engine_failed", "engine_restarted"),
    ]
    assert [fields["reason"] for event, fields in log.lines if event == "engine_failed"] == ["no start 3", "no start 4"]
    assert pauses[2:] == [0.0, 0.0]
    await one.stop()
    assert (engine.runs, engine.starts) == (False, 5)


async def test_a_first_start_that_fails_is_the_callers(pauses: list[float]) -> None:
    engine = Engine(1)
    one = SupervisedEngine("a", engine, Log())  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="no start 1"):
        await one.start()
    await one.stop()
    assert (engine.starts, pauses) == (1, [])


async def test_who_is_stopped_is_not_started_again() -> None:
    engine, log = Engine(), Log()
    one = SupervisedEngine("a", engine, log)  # type: ignore[arg-type]
    await one.start()
    engine.death.set()
    while not log.lines:
        await asyncio.sleep(0)
    # It is dead, and the first pause before another life is 0.1 s.
    await one.stop()
    await asyncio.sleep(0.2)
    assert (engine.runs, engine.starts) == (False, 1)
