"""What happens again and again: the tick of a loop, the look at the lock."""

from __future__ import annotations

import asyncio
import threading

import structlog

from penstock.process.ticker import Ticker
from penstock.process.watchdog import Watchdog


class Lock:
    """A segment whose lock is stuck once."""

    def __init__(self) -> None:
        self.looks = 0
        self.killed = threading.Event()

    def kill_stuck_holder(self) -> int | None:
        self.looks += 1
        if self.looks != 2:
            return None
        self.killed.set()
        return 77


def test_the_watchdog_looks_until_it_is_stopped() -> None:
    lock = Lock()
    with structlog.testing.capture_logs() as logs:
        watchdog = Watchdog(lock, structlog.get_logger())  # type: ignore[arg-type]
        watchdog.start()
        assert lock.killed.wait(10)
        watchdog.stop()
    looks = lock.looks
    assert logs == [{"event": "lock_holder_killed", "thread": 77, "log_level": "error"}]
    assert not any(thread.name == "penstock-watchdog" for thread in threading.enumerate())
    assert lock.looks == looks


async def test_a_ticker_survives_its_callback_and_tells_the_worst_lag() -> None:
    ticks = 0
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(str(context["exception"])))

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 1:
            raise ValueError("once")

    ticker = Ticker(tick)
    while ticks < 3:
        await asyncio.sleep(0.01)
    ticker.take_lag()
    threading.Event().wait(0.2)
    await asyncio.sleep(0.05)
    assert ticker.take_lag() >= 0.1
    ticker.stop()
    stopped = ticks
    await asyncio.sleep(0.05)
    assert ticks == stopped
    assert failures == ["once"]
