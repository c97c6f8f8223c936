"""`penstock demo`: everything in one process, in the foreground, with signals and exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from penstock.app.roles import OnReady
from penstock.app.service import Service
from penstock.process.file_limit import raise_file_limit
from penstock.process.freeze_gc import freeze_gc
from penstock.process.shutdown_signals import HANGUP_REASON, DrainMode, ShutdownSignals
from penstock.process.supervisor import EXIT_INTERRUPTED, EXIT_OK

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["run_within"]


def run_within(around: AbstractAsyncContextManager[Settings], on_ready: OnReady) -> int:
    """Serve settings that exist only within `around`, such as those with backends that it starts and stops.

    SIGTERM drains after `drain.delay`, SIGINT at once; a second signal of either kind ends everything.
    SIGHUP is logged and changes nothing.
    `on_ready` is awaited once the ports are open. `around` is left on every way out. A signal before it is entered
    cancels the entry: SIGTERM returns 0, SIGINT 130.

    Raises:
        ListenError: an address cannot be had.
        Exception: whatever `around` raises.
    """
    raise_file_limit()
    return uvloop.run(_serve(around, on_ready))


async def _serve(around: AbstractAsyncContextManager[Settings], on_ready: OnReady) -> int:
    loop = asyncio.get_running_loop()
    signals = ShutdownSignals.of_lone_process()
    async with contextlib.AsyncExitStack() as stack:
        entry = loop.create_task(stack.enter_async_context(around))
        await asyncio.wait((entry, signals.drain), return_when=asyncio.FIRST_COMPLETED)
        if not entry.done():
            entry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await entry
            return EXIT_OK if signals.drain.result() is DrainMode.AFTER_DELAY else EXIT_INTERRUPTED
        service = Service(entry.result())
        await service.start()
        log = service.control.log
        loop.add_signal_handler(signal.SIGHUP, partial(log.warning, "reload_ignored", reason=HANGUP_REASON))
        freeze_gc()
        announcement = asyncio.ensure_future(on_ready(service.control))
        is_drained = await signals.wait_and_drain(service)
        announcement.cancel()
        await service.stop()
        return EXIT_OK if is_drained else EXIT_INTERRUPTED
