"""The repeating timer of a loop."""

from __future__ import annotations

import asyncio
import threading

from penstock.app.ticker import Ticker


async def test_a_ticker_survives_its_callback_and_tells_the_worst_lag() -> None:
    ticks = 0
    failures: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(str(context["exception"])))

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 1:
            raise ValueError("once")

    ticker = Ticker(tick, lambda: 0.01)
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
