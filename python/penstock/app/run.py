"""Running in one process, in the foreground: loop, signals, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from penstock.app.roles import Greet, settle
from penstock.app.service import Service
from penstock.process.file_limit import raise_file_limit
from penstock.process.orders import HANGUP_REASON, Orders, Way
from penstock.process.supervisor import EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["run_within"]


def run_within(around: AbstractAsyncContextManager[Settings], greet: Greet) -> int:
    """Serve settings that exist only within `around`, such as those with backends that it starts and stops.

    SIGTERM drains after `drain.delay`, SIGINT at once; a second signal of either kind ends everything.
    SIGHUP is logged and changes nothing.
    `greet` is awaited once the ports are open. `around` is left on every way out. A signal before it is entered cancels
    the entry: SIGTERM returns 0, SIGINT 130.

    Raises:
        ListenError: an address cannot be had.
        Exception: whatever `around` raises.
    """
    raise_file_limit()
    return uvloop.run(_serve(around, greet))


async def _serve(around: AbstractAsyncContextManager[Settings], greet: Greet) -> int:
    loop = asyncio.get_running_loop()
    orders = Orders.of_signals()
    async with contextlib.AsyncExitStack() as stack:
        entry = loop.create_task(stack.enter_async_context(around))
        await asyncio.wait((entry, orders.drain), return_when=asyncio.FIRST_COMPLETED)
        if not entry.done():
            entry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await entry
            return EXIT_OK if orders.drain.result() is Way.AFTER_DELAY else EXIT_INTERRUPTED
        service = Service(entry.result())
        await service.start()
        log = service.control.log
        loop.add_signal_handler(signal.SIGHUP, partial(log.warning, "reload_ignored", reason=HANGUP_REASON))
        settle()
        greeting = asyncio.ensure_future(greet(service.control))
        drained = await orders.obey(service)
        greeting.cancel()
        await service.stop()
        return EXIT_OK if drained else EXIT_INTERRUPTED
