"""``penstock sim``: a simulated model server."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
import uvloop

from penstock.sim import INSTANT, PROFILES, Fault, Profile, SimServer
from penstock.sim.batch import Scheduling
from penstock.sim.dialects import DIALECTS
from penstock.sim.faults import MEANINGS
from penstock.sim.fence import Refusal
from penstock.sim.model import JITTER

__all__ = ["sim"]

HOST = "127.0.0.1"
EXIT_FAILED = 1
EXIT_INTERRUPTED = 130
CUSTOM = "custom"
BASE = "8b-h100"
"""Whose constants a custom machine has where none are given."""
CONSTANTS = {"t0": 1e-3, "cb": 1e-6, "ckv": 1e-9, "cp": 1e-6, "ca": 1e-9}
"""The flags of a custom machine, and their units in seconds."""
FAULTS = "\n".join(f"  {fault:<20} {meaning}" for fault, meaning in MEANINGS.items())
EPILOG = f"""\b
The engine: continuous batching in steps of at most --chunk tokens. Running sequences decode
one token each, prompts fill the rest; a full KV cache throws out the latest sequence, which is
computed again. A step takes t0 + cb*sequences + ckv*their context + cp*prompt tokens
+ ca*(prompt tokens x context). A custom machine is {BASE} with the constants that you give:
  penstock sim --port 8000 --profile custom --t0 12 --cp 60 --kv-tokens 200000

\b
Pages: /metrics, /v1/models, /health and /sim/stats (what runs, what was aborted), and
  vllm      /version
  sglang    /v1/loads, /get_load, /get_server_info
  llamacpp  /props, /slots (also ?fail_on_no_slot=1)
  tgi       /info

\b
A full engine (--fence N):
  vllm      503 when more than N run and wait together (max_num_queued_reqs)
  sglang    503 when more than N wait (max_queued_requests)
  tgi       429 when more than N run and wait together (max_concurrent_requests; 128 by default)
  llamacpp  has no such limit
  A stream learns it from the status, or from its first event after a 200 (--refusal event; TGI's way).

\b
Faults, for --fault or for the header x-sim-fault of one request:
{FAULTS}"""


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


def _constant(flag: str, unit: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return click.option(f"--{flag}", type=click.FloatRange(0), metavar=unit, show_envvar=True, help=text)


@click.command(
    short_help="Serve a simulated model.",
    epilog=EPILOG,
    context_settings={"auto_envvar_prefix": "PENSTOCK_SIM", "show_default": True},
)
@click.option("--port", type=click.IntRange(0, 65535), required=True, show_envvar=True, help="0: any free port.")
@click.option("--profile", type=click.Choice([*PROFILES, CUSTOM]), default=BASE, show_envvar=True, help="The machine.")
@click.option("--dialect", type=click.Choice(list(DIALECTS)), default="vllm", show_envvar=True, help="Whose answers.")
@click.option("--model", default="sim", show_envvar=True, help="The model's name.")
@click.option("--seed", type=int, default=0, show_envvar=True, help="Decides what the model says, and the jitter.")
@click.option("--speed", type=Speed(), default=1.0, show_envvar=True, help="Times faster than real, or 'instant'.")
@click.option("--context", type=click.IntRange(1), show_envvar=True, help="Tokens of prompt and answer together.")
@click.option("--slots", type=click.IntRange(1), show_envvar=True, help="Sequences that run at once; the rest wait.")
@click.option("--chunk", type=click.IntRange(1), show_envvar=True, help="Tokens in a step.")
@click.option("--kv-tokens", type=click.IntRange(1), show_envvar=True, help="Tokens that the KV cache holds.")
@_constant("t0", "MS", "Custom machine: a step's fixed time.")
@_constant("cb", "US", "Custom machine: per decoding sequence.")
@_constant("ckv", "NS", "Custom machine: per context token.")
@_constant("cp", "US", "Custom machine: per prompt token.")
@_constant("ca", "NS", "Custom machine: per prompt token x context token.")
@click.option("--jitter", type=click.FloatRange(0, 1), default=JITTER, show_envvar=True, help="Of step times; 0: none.")
@click.option(
    "--scheduling",
    type=click.Choice([way.value for way in Scheduling]),
    default=Scheduling.FCFS.value,
    show_envvar=True,
    help="Who runs next: the first to come, or the lowest 'priority' in the body.",
)
@click.option(
    "--fence", type=click.IntRange(1), metavar="N", show_envvar=True, help="The engine's own limit; see below."
)
@click.option(
    "--refusal",
    type=click.Choice([place.value for place in Refusal]),
    show_envvar=True,
    help="Where streams learn that the engine is full.",
)
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

    First token and token pace follow a cost model of the machine and of what else runs in its batch; the words are
    made up. A prompt that asks for "250 words" gets 250.

    \b
    Example:
      penstock sim --port 8000 --profile 8b-h100 --slots 64
      curl -N http://127.0.0.1:8000/v1/chat/completions \\
        -d '{"model": "sim", "stream": true, "messages": [{"role": "user", "content": "Say 50 words."}]}'

    Exit code: 0 after SIGTERM, 130 after SIGINT, 1 if the port is in use.
    """
    try:
        server = _server(**settings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    context.exit(uvloop.run(_serve(server, port)))


def _server(
    profile: str, slots: int | None, chunk: int | None, kv_tokens: int | None, scheduling: str, **settings: Any
) -> SimServer:
    """Return the server that the flags describe. Raises ValueError if they contradict each other."""
    refusal = settings.pop("refusal")
    constants = {name: settings.pop(name) for name in CONSTANTS}
    given = {name: value * CONSTANTS[name] for name, value in constants.items() if value is not None}
    if given and profile != CUSTOM:
        raise ValueError(f"--{next(iter(given))} goes with --profile custom")
    sizes = {"max_num_seqs": slots, "chunk": chunk, "kv_tokens": kv_tokens}
    changes = {**given, **{name: value for name, value in sizes.items() if value is not None}}
    machine: Profile = replace(PROFILES[BASE if profile == CUSTOM else profile], name=profile, **changes)
    return SimServer(
        profile=machine,
        scheduling=Scheduling(scheduling),
        refusal=None if refusal is None else Refusal(refusal),
        **settings,
    )


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
    line = shlex.join(["curl", "-N", f"{url}/v1/chat/completions", "-d", json.dumps(body)])
    click.echo(f"listening on {url}; try: {line}", err=True)
    code = await stopped
    await server.stop()
    return code
