"""Several workers, control and a supervisor: exact limits over all of them, and what happens when one dies."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from statistics import median

import pytest

from penstock.sim.server import SimServer
from tests.backend import SSE_HEAD, Backend, Peer, answer, backend_of, config_of, good
from tests.conftest import Raw, ask, post
from tests.serving import SECONDS, Instance, get, penstock, serve, serving

LIMIT = 7
CLIENTS = 300
# Nothing but the shared state of the processes decides in these tests: no timer of a request may.
PATIENT = "timeouts: {connect: 10s, first_event: 60s, between_events: 60s, total: 120s}\n    queue: {wait: 60s}"
# Aborted requests count until the backend closes, however slow this machine is.
GRACE = "20s"


def patient(backend: str, *, limit: int, grace: str = GRACE) -> str:
    return f"""
backends:
  b0: {{url: "{backend}", serves: served, concurrency: {limit}, abort_grace: {grace}}}
tiers:
  tier:
    models: [fast]
    backends: [b0]
    {PATIENT}
"""


def address_of(backend: Backend) -> str:
    return f"http://127.0.0.1:{backend.port}"


@asynccontextmanager
async def sim_of(**options: float) -> AsyncIterator[tuple[SimServer, str]]:
    server = SimServer(model="served", jitter=0.0, **options)  # type: ignore[arg-type]
    url = f"http://127.0.0.1:{await server.start()}"
    try:
        yield server, url
    finally:
        await server.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not holds():
            await asyncio.sleep(0.01)


async def settled(instance: Instance) -> dict[str, int]:
    """Wait until nothing is held any more; the sums must hold all the time."""
    async with asyncio.timeout(SECONDS):
        while True:
            sums = await instance.invariants()
            if sums["queued"] + sums["running"] + sums["closing"] == 0:
                return sums
            await asyncio.sleep(0.05)


async def test_the_limit_is_one_over_all_workers(tmp_path: Path) -> None:
    """Hundreds of clients on four workers, some of which leave: the backend itself counts what runs at once."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    statuses: Counter[int] = Counter()
    left = 0

    async with sim_of(speed=20.0) as (sim, url), serving(patient(url, limit=LIMIT), tmp_path, workers=4) as instance:

        async def customer(turns: int) -> None:
            nonlocal left
            raw = await instance.client()
            for _ in range(turns):
                await raw.send(post(ask(max_tokens=8)))
                if chance.random() < 0.1:
                    await asyncio.sleep(chance.random() * 0.2)
                    raw.abort()
                    left += 1
                    raw = await instance.client()
                else:
                    statuses[(await raw.response()).status] += 1
            raw.close()

        async with asyncio.timeout(50):
            await asyncio.gather(*(customer(4) for _ in range(CLIENTS)))
        assert sim.stats.peak_running == LIMIT
        assert set(statuses) == {200}
        sums = await settled(instance)
        assert sums["arrived"] == sums["finished"]
        # Every worker has had its part, and the page has the sum of them all.
        served = Counter(line.get("worker") for line in instance.lines if line["event"] == "worker_ready")
        assert set(served) == {0, 1, 2, 3}
        page = (await instance.ask_admin("/metrics")).body.decode()
        requests = [line for line in page.splitlines() if line.startswith("penstock_requests_total")]
        ok = sum(float(line.rpartition(" ")[2]) for line in requests if 'outcome="ok"' in line)
        # Who leaves in the last moment may have been answered.
        assert statuses[200] <= ok <= statuses[200] + left
        assert "penstock_permits_leaked_total 0.0" in page


async def held(peer: Peer) -> None:
    """Begin a stream and never end it."""
    peer.send(SSE_HEAD)
    peer.event({"role": "assistant", "content": "a"})
    await peer.gone()


async def begun(raw: Raw) -> None:
    """Wait for the first event of a stream."""
    await asyncio.wait_for(raw.reader.readuntil(b'"a"'), SECONDS)


async def open_streams(instance: Instance, count: int) -> list[Raw]:
    clients = [await instance.client() for _ in range(count)]
    for raw in clients:
        await raw.send(post(ask(stream=True)))
    return clients


async def victims(clients: list[Raw]) -> tuple[list[Raw], list[Raw]]:
    """Tell the clients whose connection broke from the others."""
    waits = {asyncio.ensure_future(raw.reader.read()): raw for raw in clients}
    done, pending = await asyncio.wait(waits, timeout=0.5)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    for task in done:
        with suppress(ConnectionError):
            task.result()
    return [waits[task] for task in done], [waits[task] for task in pending]


async def test_the_permits_of_a_killed_worker_come_back(tmp_path: Path) -> None:
    limit, count = 6, 40
    async with backend_of(held) as backend:
        config = patient(address_of(backend), limit=limit, grace="50ms")
        async with serving(config, tmp_path) as instance:
            # Connections go to a worker by chance, so there are enough for both.
            clients = await open_streams(instance, count)
            async with asyncio.timeout(SECONDS):
                while (await instance.invariants())["queued"] != count - limit:
                    await asyncio.sleep(0.01)
            assert backend.running == limit
            before = await instance.all_workers(2)
            os.kill(before[0], signal.SIGKILL)
            killed = time.monotonic()
            while True:
                sums = await instance.invariants()
                held_now = sums["queued"] + sums["running"] + sums["closing"]
                if held_now < count and sums["closing"] == 0 and sums["running"] == limit:
                    break
                assert time.monotonic() - killed < 1, sums
                await asyncio.sleep(0.01)
            # Its requests are gone, those that waited and those that ran; the others now use all there is.
            lost, kept = await victims(clients)
            assert len(kept) == held_now < count
            assert len(lost) == count - held_now
            await until(lambda: backend.running == limit)
            # The next life has the same socket.
            assert (await instance.all_workers(2))[0] != before[0]
            (end,) = await instance.logged("process_ended")
            assert (end["process"], end["pid"], end["cause"]) == ("worker 0", before[0], "signal 9")


async def test_a_backend_never_runs_more_while_workers_are_killed(tmp_path: Path) -> None:
    """An engine notices at once that its client is gone, so by its own count the limit holds all the time.

    Workers die at random moments, `make soak-kills` lets 200 of them die.
    """
    limit, kills = 5, int(os.environ.get("PENSTOCK_KILLS", "10"))
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    over = asyncio.Event()
    statuses: Counter[int] = Counter()
    back: list[float] = []

    async def customer(instance: Instance) -> None:
        while not over.is_set():
            # Its worker may be killed under it, and the next may not be there yet.
            with suppress(OSError, asyncio.IncompleteReadError):
                raw = await instance.client()
                while not over.is_set():
                    statuses[(await raw.chat(ask(max_tokens=20))).status] += 1
            await asyncio.sleep(0.01)

    async def kill(instance: Instance) -> None:
        """Kill a worker, and wait until the slots of the dead have others."""
        while not (workers := instance.workers()):
            await asyncio.sleep(0.02)
        deaths = len([line for line in instance.lines if line["event"] == "process_ended"])
        os.kill(chance.choice(sorted(workers.values())), signal.SIGKILL)
        killed = time.monotonic()
        await instance.logged("process_ended", deaths + 1)
        while (await instance.invariants())["closing"]:
            await asyncio.sleep(0.01)
        back.append(time.monotonic() - killed)

    async with (
        sim_of(speed=5.0) as (sim, url),
        serving(patient(url, limit=limit, grace="500ms"), tmp_path, workers=4) as instance,
    ):
        customers = [asyncio.ensure_future(customer(instance)) for _ in range(60)]
        for _ in range(kills):
            served = statuses[200]
            await until(lambda served=served: statuses[200] > served)  # type: ignore[misc]
            await asyncio.sleep(chance.random() * 0.2)
            await kill(instance)
        await instance.all_workers(4)
        over.set()
        await asyncio.wait_for(asyncio.gather(*customers), SECONDS)
        print(f"{kills} killed; slots back after p50 {median(back):.3f} s, at most {max(back):.3f} s")
        assert set(statuses) == {200}
        assert sim.stats.peak_running == limit
        assert (await settled(instance))["ok"]
        # Half a second of grace, and the way of the news; what it takes on a quiet machine is printed above.
        assert max(back) < 5.0


async def test_traffic_goes_on_without_control(tmp_path: Path) -> None:
    async with backend_of(good) as backend, serving(config_of(backend), tmp_path) as instance:
        raw = await instance.client()
        assert (await raw.chat(ask())).status == 200
        control = await instance.control(2)
        # Stopped first, so that nobody can have restarted it yet.
        os.kill(control, signal.SIGSTOP)
        assert (await raw.chat(ask())).status == 200
        assert await get(await instance.client(), "/readyz") == 200
        os.kill(control, signal.SIGKILL)
        assert (await raw.chat(ask())).status == 200
        # The new one has the same socket, the same token and the numbers of before.
        page = (await instance.ask_admin("/metrics")).body.decode()
        assert 'outcome="ok",term="-D",tier="tier",variant=""} 3.0' in page
        status = (await instance.ask_admin("/admin/status")).value
        assert (status["draining"], status["listen"]) == (False, f"127.0.0.1:{instance.port}")
        assert (await instance.invariants())["finished"] == 3
        assert await instance.control(2) != control
        assert instance.process.returncode is None


async def test_without_its_supervisor_everything_drains(tmp_path: Path) -> None:
    finish = asyncio.Event()

    async def stream(peer: Peer) -> None:
        peer.send(SSE_HEAD)
        peer.event({"role": "assistant", "content": "a"})
        await finish.wait()
        peer.event({}, "stop")
        peer.done()
        peer.end()

    async with backend_of(stream) as backend:
        config = config_of(backend, concurrency=20).replace(": 300ms", ": 20s").replace("total: 2s", "total: 40s")
        async with serving(config, tmp_path) as instance:
            clients = await open_streams(instance, 20)
            for raw in clients:
                await begun(raw)
            instance.process.kill()
            await instance.logged("drain_begins", 2)
            async with asyncio.timeout(SECONDS):
                with pytest.raises(OSError):
                    while True:
                        (await instance.client()).close()
                        await asyncio.sleep(0.02)
            # What still runs counts, so there may be no second Penstock on the address yet.
            text = f"listen: 127.0.0.1:{instance.port}\nadmin: {{listen: 127.0.0.1:0}}\n{config_of(backend)}"
            second = await penstock(*serve(text, tmp_path), folder=tmp_path)
            _, err = await asyncio.wait_for(second.communicate(), SECONDS)
            assert second.returncode == 1
            reason = "another Penstock runs there, or is still draining"
            assert err.decode() == f"penstock: cannot listen on 127.0.0.1:{instance.port}: {reason}\n"
            finish.set()
            for raw in clients:
                assert (await raw.reader.readuntil(b"[DONE]")).endswith(b"[DONE]")
            await instance.all_ended()


async def test_every_worker_drains(tmp_path: Path) -> None:
    async with backend_of(good) as backend, serving(config_of(backend), tmp_path, workers=4) as instance:
        await instance.greeted()
        instance.process.send_signal(signal.SIGTERM)
        assert await instance.ends() == 0
        await instance.all_ended()
        ends = {line["worker"] for line in instance.lines if line["event"] == "drain_ends"}
        assert ends == {0, 1, 2, 3}
        assert not [line for line in instance.lines if line["event"] == "process_ended"]
        # One process greets for all.
        assert instance.errors.count(b"Try:") == 1
        with pytest.raises(OSError):
            await instance.client()


async def test_a_second_signal_ends_all_processes(tmp_path: Path) -> None:
    async with backend_of(held) as backend:
        async with serving(patient(address_of(backend), limit=8), tmp_path) as instance:
            clients = await open_streams(instance, 8)
            for raw in clients:
                await begun(raw)
            instance.process.send_signal(signal.SIGTERM)
            await instance.logged("drain_begins", 2)
            instance.process.send_signal(signal.SIGTERM)
            assert await instance.ends() == 130
            # Also those whose streams are cut are told why.
            for raw in clients:
                assert b'"draining"' in await raw.reader.read()
            await instance.all_ended()


async def test_the_workers_share_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "penstock.sock"
    async with backend_of(good) as backend:
        for _ in range(2):  # the second time the file of the first is there
            process = await penstock(*serve(f"listen: unix:{path}\n{config_of(backend)}", tmp_path), folder=tmp_path)
            try:
                await socket_ready(path)
                for _ in range(20):
                    raw = Raw(*await asyncio.open_unix_connection(path))
                    assert (await raw.chat(ask())).status == 200
                    raw.abort()
            finally:
                process.send_signal(signal.SIGTERM)
                await asyncio.wait_for(process.communicate(), SECONDS)
            assert process.returncode == 0


async def socket_ready(path: Path) -> None:
    async with asyncio.timeout(SECONDS):
        while True:
            with suppress(OSError):
                raw = Raw(*await asyncio.open_unix_connection(path))
                status = await get(raw, "/readyz")
                raw.abort()
                if status == 200:
                    return
            await asyncio.sleep(0.02)


async def test_an_address_that_a_stranger_would_share(tmp_path: Path) -> None:
    """SO_REUSEPORT on their side must not be enough to come beside them."""
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        port = stranger.getsockname()[1]
        async with backend_of(good) as backend:
            text = f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:0}}\n{config_of(backend)}"
            process = await penstock(*serve(text, tmp_path), folder=tmp_path)
            _, err = await asyncio.wait_for(process.communicate(), SECONDS)
        assert process.returncode == 1
        assert err.decode() == f"penstock: cannot listen on 127.0.0.1:{port}: another process listens there\n"


async def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    """It fails once, in words, and not in every worker again and again."""
    file = tmp_path / "none.pem"
    text = f"""
backends:
  b0: {{url: "https://127.0.0.1:9", serves: served, concurrency: 1, tls: {{ca: {file}}}}}
tiers:
  tier: {{models: [fast], backends: [b0]}}
"""
    process = await penstock(*serve(text, tmp_path), folder=tmp_path)
    _, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode == 1
    assert err.decode() == "penstock: backends.b0.tls: [Errno 2] No such file or directory\n"


async def test_the_sums_need_the_token(tmp_path: Path) -> None:
    async def nothing(peer: Peer) -> None:
        peer.send(answer(b"{}"))

    async with backend_of(nothing) as backend, serving(config_of(backend), tmp_path, workers=1) as instance:
        assert (await instance.ask_admin("/admin/invariants", token="x")).status == 401
        sums = await instance.invariants()
        assert set(sums) == {"ok", "arrived", "queued", "running", "closing", "finished"}
        assert sums["ok"] is True
