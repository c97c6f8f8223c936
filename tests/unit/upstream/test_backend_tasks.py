"""One bad round must not end a watch, and nothing but the end may."""

from __future__ import annotations

import asyncio

import pytest

from penstock.upstream import backend_tasks
from penstock.upstream.backend_tasks import BackendTasks

from .log import Log
from .server import until


class Panic(BaseException):
    """As PyO3 raises it: no Exception."""


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_tasks, "PAUSE_SECONDS", 0.001)


@pytest.mark.parametrize("error", [ValueError("bad page"), Panic("bad page")])
async def test_a_watch_that_fails_begins_anew(error: BaseException) -> None:
    log, rounds, well = Log(), 0, asyncio.Event()

    async def watch() -> None:
        nonlocal rounds
        rounds += 1
        if rounds <= 3:
            raise error
        await asyncio.sleep(60)

    async def other() -> None:
        await well.wait()

    all_of_them = BackendTasks(log.logger)
    all_of_them.start({"a": watch, "b": other})
    await until(lambda: rounds == 4)
    await all_of_them.stop()
    failures = [(line["backend"], line["error"]) for line in log.lines("watch_failed")]
    assert failures == [("a", f"{type(error).__name__}: bad page")] * 3


async def test_the_end_ends_it_also_in_the_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend_tasks, "PAUSE_SECONDS", 60.0)
    log = Log()

    async def watch() -> None:
        raise ValueError

    all_of_them = BackendTasks(log.logger)
    all_of_them.start({"a": watch})
    await until(lambda: log.written)
    async with asyncio.timeout(5):
        await all_of_them.stop()
    assert len(log.written) == 1
