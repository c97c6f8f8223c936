"""A worker that is stopped, or whose loop hangs: what it was granted goes to others, and then it goes itself."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.backend import SSE_HEAD, Peer, backend_of
from tests.conftest import Raw, ask, post
from tests.serving import SECONDS, Instance, serving

pytestmark = pytest.mark.once

CONNECTIONS = 40
EACH = 4
READY = b"GET /readyz HTTP/1.1\r\nhost: x\r\n\r\n"


async def by_worker(instance: Instance, stopped: int) -> tuple[list[Raw], list[Raw]]:
    """Open connections, and return those of the workers that run and those of one that is stopped for it.

    The kernel deals them out by chance.
    """
    os.kill(stopped, signal.SIGSTOP)
    clients = [await instance.client() for _ in range(CONNECTIONS)]
    for raw in clients:
        await raw.send(READY)
    answers = {asyncio.create_task(raw.response()): raw for raw in clients}
    done, pending = await asyncio.wait(answers, timeout=1.0)
    os.kill(stopped, signal.SIGCONT)
    if pending:
        await asyncio.wait(pending, timeout=SECONDS)
    assert all(task.result().status == 200 for task in answers)
    return [answers[task] for task in done], [answers[task] for task in pending]


async def queued(instance: Instance, clients: list[Raw]) -> None:
    """Let each ask for a stream, and wait until all of it is in the queue."""
    before = (await instance.invariants())["queued"]
    for raw in clients:
        await raw.send(post(ask(stream=True)))
    async with asyncio.timeout(SECONDS):
        while (await instance.invariants())["queued"] < before + len(clients):
            await asyncio.sleep(0.01)


async def test_it_soaks_up_no_slots_and_gets_another_life(tmp_path: Path) -> None:
    finish = asyncio.Event()

    async def stream(peer: Peer) -> None:
        peer.send(SSE_HEAD)
        peer.event({"role": "assistant", "content": "a"})
        await finish.wait()
        peer.event({}, "stop")
        peer.done()
        peer.end()

    async with backend_of(stream) as backend:
        config = f"""
backends: {{b0: {{url: "http://127.0.0.1:{backend.port}", serves: served, concurrency: 1}}}}
tiers:
  tier:
    models: [fast]
    backends: [b0]
    timeouts: {{connect: 10s, first_event: 60s, between_events: 60s, total: 120s}}
    queue: {{wait: 60s}}
"""
        async with serving(config, tmp_path) as instance:
            # Another life of control looks after the workers that are there.
            control = await instance.control(2)
            os.kill(control, signal.SIGKILL)
            await instance.logged("process_ended")
            assert await instance.control(2) != control
            pid = (await instance.all_workers(2))[1]
            here, there = await by_worker(instance, pid)
            assert len(here) > EACH
            assert len(there) >= EACH
            running, *here = here
            await running.send(post(ask(stream=True)))
            await running.reader.readuntil(b'"a"')
            # Those of the worker that will stop are first in turn.
            await queued(instance, there[:EACH])
            await queued(instance, here[:EACH])
            os.kill(pid, signal.SIGSTOP)
            finish.set()
            for raw in [running, *here[:EACH]]:
                await asyncio.wait_for(raw.reader.readuntil(b"[DONE]"), SECONDS)
            assert not [line for line in instance.lines if line["event"] == "worker_killed"]
            (killed,) = await instance.logged("worker_killed")
            assert killed["worker"] == 1
            # "Killed" is written as the signal is sent; only its end says that the process is gone.
            _, end = await instance.logged("process_ended", 2)
            assert (end["process"], end["pid"], end["cause"]) == ("worker 1", pid, "signal 9")
            assert (await instance.all_workers(2))[1] != pid
            sums = await instance.invariants()
            assert sums["queued"] + sums["running"] + sums["closing"] == 0
