"""`penstock demo`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from typing import TYPE_CHECKING, Protocol

import click
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from structlog.typing import FilteringBoundLogger

    from penstock.app.control import Control
    from penstock.config.settings import Settings
    from penstock.sim.server import SimServer

__all__ = ["demo"]

# Tokens of prompt and answer together, for each slot of a real engine.
SLOT_CONTEXT = 2048
REAL = "two llama.cpp servers with the chat model SmolLM2 135M: real answers of a very small model"
SIMULATED = "two simulated engines: the pace of real GPUs, made-up words"

CONFIG = """\
listen: {listen}
admin: {{listen: {admin}}}

backends:                           # one entry for each model server
  instant-engine:
    url: {instant}
    concurrency: {slots}                  # requests running at once
  thinking-engine:
    url: {thinking}
    concurrency: {slots}

tiers:                              # what clients can ask for
  instant:
    models: [instant-model]         # names that clients send
    backends: [instant-engine]
    queue: {{wait: 2s}}               # rather 429 than a longer wait
  thinking:
    models: [thinking-model]
    backends: [thinking-engine]
    queue: {{wait: 30s}}
"""


class DemoEngine(Protocol):
    """A model server that the demo starts and stops."""

    async def start(self) -> str:
        """Return the base URL once it is healthy."""
        ...

    async def stop(self) -> None:
        """End it, whether it runs or not."""
        ...


@click.command(short_help="Serve two tiers on small real models.")
@click.option("--sim", is_flag=True, envvar="PENSTOCK_DEMO_SIM", show_envvar=True, help="Simulated engines.")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:8080",
    show_default=True,
    envvar="PENSTOCK_LISTEN",
    show_envvar=True,
    help="Where clients connect.",
)
@click.option(
    "--admin",
    metavar="HOST:PORT",
    default="127.0.0.1:9180",
    show_default=True,
    envvar="PENSTOCK_ADMIN_LISTEN",
    show_envvar=True,
    help="Metrics, health and control.",
)
@click.option(
    "--slots",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    envvar="PENSTOCK_DEMO_SLOTS",
    show_envvar=True,
    help="Requests that run at once, for each engine.",
)
@click.option("--print-config", is_flag=True, help="Print the configuration instead, with the engines' URLs invented.")
def demo(sim: bool, listen: str, admin: str, slots: int, print_config: bool) -> None:
    """Serve the tiers `instant` and `thinking` on two model servers that run here, with nothing to configure.

    The servers are llama.cpp with a small chat model, from the extra penstock[demo]; without it, or with --sim, they
    are simulated. They end when Penstock does, at SIGTERM or Ctrl-C; one that ends before is started again.

    \b
    Examples:
      penstock demo
      penstock demo --sim --listen 127.0.0.1:8888
      penstock demo --print-config > penstock.yaml
    """
    from penstock.app.run import run_within  # noqa: PLC0415
    from penstock.config import load_text  # noqa: PLC0415 - the event loop is imported only to serve
    from penstock.config.settings import Log  # noqa: PLC0415
    from penstock.metrics.log import LogWriter, make_logger  # noqa: PLC0415

    def config(instant: str, thinking: str) -> str:
        return CONFIG.format(
            listen=_scalar(listen), admin=_scalar(admin), instant=instant, thinking=thinking, slots=slots
        )

    text = config("http://127.0.0.1:8001", "http://127.0.0.1:8002")
    load_text(text, "demo")  # a wrong address is found before anything is started
    if print_config:
        click.echo(text, nl=False)
        return
    from penstock.cli.banner import color_system  # noqa: PLC0415

    console = Console(stderr=True, color_system=color_system(), highlight=False, soft_wrap=True)

    @contextlib.asynccontextmanager
    async def around() -> AsyncIterator[Settings]:
        async with contextlib.AsyncExitStack() as stack:
            writer = LogWriter.standard_output(Log())
            stack.callback(writer.close)
            engines = _engines(sim, slots, console, make_logger(writer, Log()))
            for engine in engines:
                stack.push_async_callback(engine.stop)
            with console.status("Starting both engines …"):
                urls = await _start(engines)
            yield load_text(config(*urls), "demo")

    sys.exit(run_within(around(), _announce))


def _scalar(text: str) -> str:
    """Return a string in YAML, whatever is in it."""
    plain = text.replace(".", "").replace(":", "").isalnum()
    return text if plain else json.dumps(text)


def _engines(sim: bool, slots: int, console: Console, log: FilteringBoundLogger) -> list[DemoEngine]:
    """Return the engines of the tiers instant and thinking, and print which they are and why."""
    from penstock.engines.embedded import EmbeddedEngine, why_unavailable  # noqa: PLC0415
    from penstock.engines.supervised import SupervisedEngine  # noqa: PLC0415

    reason = "as --sim asks" if sim else why_unavailable()
    if reason is None:
        console.print(f"Engines: {REAL}.")
        # Both engines and Penstock share this machine.
        threads = max(1, min(4, len(os.sched_getaffinity(0)) // 2))
        context = slots * SLOT_CONTEXT
        return [
            SupervisedEngine(name, EmbeddedEngine("smollm2-135m", slots=slots, context=context, threads=threads), log)
            for name in ("instant-engine", "thinking-engine")
        ]

    from penstock.sim.server import SimServer  # noqa: PLC0415

    console.print(f"Engines: {SIMULATED} ({reason}).", style="yellow", markup=False)
    return [
        _Simulated(SimServer(profile="8b-h100", dialect="vllm", model="sim-8b", slots=slots)),
        _Simulated(SimServer(profile="70b-h100x4", dialect="vllm", model="sim-70b", reasoning=True, slots=slots)),
    ]


class _Simulated:
    """A simulated model server with the interface of an engine."""

    def __init__(self, server: SimServer) -> None:
        self.server = server

    async def start(self) -> str:
        return f"http://127.0.0.1:{await self.server.start()}"

    async def stop(self) -> None:
        await self.server.stop()


async def _start(engines: list[DemoEngine]) -> list[str]:
    """Start all at the same time, and return their URLs; if one fails, the starts of the others are cancelled."""
    tasks = [asyncio.ensure_future(engine.start()) for engine in engines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _announce(control: Control) -> None:
    """Print the banner, and a command for the other tier."""
    from penstock.cli.banner import curl_line, print_banner  # noqa: PLC0415

    await print_banner(control)
    click.echo("The other tier, as a stream:", err=True)
    line = curl_line(control.settings.listen, "thinking-model", "Why is the sky blue?", stream=True)
    click.echo(f"{line}\n", err=True)
