"""Running a service in the foreground: loop, signals, exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import resource
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import uvloop

from penstock.server.service import Service

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["run", "run_within"]

EXIT_OK = 0
EXIT_INTERRUPTED = 130


def run(settings: Settings, ready: Callable[[Service], Awaitable[None]]) -> int:
    """Serve until a signal says otherwise, and return the exit code.

    SIGTERM drains after `drain.delay`, SIGINT at once; a second signal of either kind ends everything (contract §5).
    `ready` is awaited once the ports are open.

    Raises:
        ListenError: an address cannot be had.
    """
    return run_within(contextlib.nullcontext(settings), ready)


def run_within(around: AbstractAsyncContextManager[Settings], ready: Callable[[Service], Awaitable[None]]) -> int:
    """Do the same with settings that exist only within `around`, such as those with backends that it starts and stops.

    It is left on every way out. A signal before it is entered cancels the entry: SIGTERM returns 0, SIGINT 130.

    Raises:
        ListenError: an address cannot be had.
        Exception: whatever `around` raises.
    """
    raise_file_limit()
    return uvloop.run(_serve(around, ready))


def raise_file_limit() -> None:
    """Raise the soft limit on file descriptors to the hard one (contract §5)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _serve(around: AbstractAsyncContextManager[Settings], ready: Callable[[Service], Awaitable[None]]) -> int:
    loop = asyncio.get_running_loop()
    first: asyncio.Future[signal.Signals] = loop.create_future()
    second = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        if first.done():
            second.set()
        else:
            first.set_result(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    async with contextlib.AsyncExitStack() as stack:
        entry = loop.create_task(stack.enter_async_context(around))
        await asyncio.wait((entry, first), return_when=asyncio.FIRST_COMPLETED)
        if not entry.done():
            entry.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await entry
            return EXIT_OK if first.result() == signal.SIGTERM else EXIT_INTERRUPTED
        settings = entry.result()
        service = Service(settings)
        await service.start()
        # What has been made so far lives as long as the process; the collector need not look at it again.
        gc.collect()
        gc.freeze()
        greeting = loop.create_task(_greet(service, ready))
        number = await first
        drain = loop.create_task(service.drain(settings.drain.delay if number == signal.SIGTERM else 0.0))
        interrupt = loop.create_task(second.wait())
        await asyncio.wait((drain, interrupt), return_when=asyncio.FIRST_COMPLETED)
        drained = drain.done()
        for task in (drain, interrupt, greeting):
            task.cancel()
        await service.stop()
        return EXIT_OK if drained else EXIT_INTERRUPTED


async def _greet(service: Service, ready: Callable[[Service], Awaitable[None]]) -> None:
    await ready(service)
