"""``penstock sim``: a simulated model server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from typing import Any

import click
import uvloop

from penstock.sim import INSTANT, PROFILES, Fault, SimServer
from penstock.sim.dialects import DIALECTS
from penstock.sim.faults import MEANINGS

__all__ = ["sim"]

HOST = "127.0.0.1"
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
FAULTS = "\n".join(f"  {fault:<20} {meaning}" for fault, meaning in MEANINGS.items())


class Speed(click.ParamType[float]):
    """A positive number, or ``instant``."""

    name = "X"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return how many times faster than real."""
        if value == "instant":
            return INSTANT
        try:
            speed = float(str(value))
        except ValueError:
            speed = 0.0
        if not speed > 0:
            self.fail(f"{value!r} is neither a number above 0 nor 'instant'", param, ctx)
        return speed


@click.command(
    short_help="Serve a simulated model.",
    epilog=f"\b\nFaults, for --fault or for the header x-sim-fault of one request:\n{FAULTS}",
    context_settings={"auto_envvar_prefix": "PENSTOCK_SIM", "show_default": True},
)
@click.option("--port", type=click.IntRange(0, 65535), required=True, show_envvar=True, help="0: any free port.")
@click.option("--profile", type=click.Choice(list(PROFILES)), default="8b-h100", show_envvar=True, help="The machine.")
@click.option("--dialect", type=click.Choice(list(DIALECTS)), default="vllm", show_envvar=True, help="Whose answers.")
@click.option("--model", default="sim", show_envvar=True, help="The model's name.")
@click.option("--seed", type=int, default=0, show_envvar=True, help="Decides what the model says.")
@click.option("--speed", type=Speed(), default=1.0, show_envvar=True, help="Times faster than real, or 'instant'.")
@click.option("--context", type=click.IntRange(1), show_envvar=True, help="Tokens of prompt and answer together.")
@click.option("--slots", type=click.IntRange(1), show_envvar=True, help="Sequences that run at once; the rest wait.")
@click.option("--reasoning", is_flag=True, show_envvar=True, help="Think before answering.")
@click.option(
    "--fault",
    type=click.Choice([fault.value for fault in Fault]),
    metavar="NAME",
    show_envvar=True,
    help="Misbehave; see below.",
)
@click.pass_context
def sim(context: click.Context, /, port: int, **settings: Any) -> None:
    """Serve a simulated model on 127.0.0.1: OpenAI-compatible, at the pace of a real GPU, without one.

    First token and token pace follow a cost model of the machine; the words are made up. A prompt that asks for "250
    words" gets 250. GET /sim/stats shows what runs and what was aborted.

    \b
    Example:
      penstock sim --port 8000 --profile 8b-h100 --slots 64
      curl -N http://127.0.0.1:8000/v1/chat/completions \\
        -d '{"model": "sim", "stream": true, "messages": [{"role": "user", "content": "Say 50 words."}]}'

    Exit code: 0 after SIGTERM, 130 after SIGINT, 1 if the port is in use.
    """
    context.exit(uvloop.run(_serve(SimServer(**settings), port)))


async def _serve(server: SimServer, port: int) -> int:
    """Serve until a signal comes; returns the exit code."""
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[int] = loop.create_future()

    def stop(code: int) -> None:
        if not stopped.done():
            stopped.set_result(code)

    loop.add_signal_handler(signal.SIGTERM, stop, 0)
    loop.add_signal_handler(signal.SIGINT, stop, EXIT_INTERRUPTED)
    try:
        port = await server.start(HOST, port)
    except OSError as error:
        click.echo(f"cannot listen on {HOST}:{port}: {os.strerror(error.errno or 0)}", err=True)
        return EXIT_FAILED
    body = {"model": server.model, "messages": [{"role": "user", "content": "Say 50 words."}], "stream": True}
    url = f"http://{HOST}:{port}"
    quoted = json.dumps(body).replace("'", "'\\''")
    click.echo(f"listening on {url}; try: curl -N {url}/v1/chat/completions -d '{quoted}'", err=True)
    code = await stopped
    await server.stop()
    return code
