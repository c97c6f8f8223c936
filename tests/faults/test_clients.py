"""What a client can do: leave at any moment, or not read (rows 21 to 23, 25)."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.backend import SSE_HEAD, Peer, backend_of, config_of, good
from tests.conftest import Connect, Gateway, Raw, ask, gateway_of, post

ROUNDS = 1000
AT_ONCE = 20
# Issue: within 50 ms; asserted with the slack that a loaded machine needs, the measured spread is printed.
DEADLINE = 0.5
FIGURE = 0.05


class Watch:
    """A backend script that waits for its client to leave, and notes when it did."""

    def __init__(self, *, head: bool, begun: bool) -> None:
        self.head = head
        self.begun = begun
        self.arrived: dict[str, asyncio.Event] = {}
        self.closed: dict[str, asyncio.Future[float]] = {}

    def expect(self, name: str) -> None:
        self.arrived[name] = asyncio.Event()
        self.closed[name] = asyncio.get_running_loop().create_future()

    async def __call__(self, peer: Peer) -> None:
        name = peer.body["messages"][0]["content"]
        if self.head:
            peer.send(SSE_HEAD)
            peer.event({"role": "assistant", "content": "a" if self.begun else ""})
        self.arrived[name].set()
        self.closed[name].set_result(await peer.gone())
        peer.writer.close()


MOMENTS = {
    "before the first event": (Watch(head=True, begun=False), True),
    "mid-stream": (Watch(head=True, begun=True), True),
    "waiting for a whole answer": (Watch(head=False, begun=False), False),
}


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.timeout(120)
async def test_the_backend_sees_a_client_leave(
    connect: Connect, moment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    watch, stream = MOMENTS[moment]
    async with backend_of(watch) as backend:
        timeouts = "limits: {connections: 5000}\n" + config_of(backend, concurrency=AT_ONCE)
        async with gateway_of(timeouts.replace("300ms, total: 2s", "30s, total: 60s")) as gateway:
            delays: list[float] = []
            for start in range(0, ROUNDS, AT_ONCE):
                names = [f"{moment} {start + at}" for at in range(AT_ONCE)]
                delays += await asyncio.gather(*(leave(connect, gateway, watch, name, stream) for name in names))
            await gateway.settled()
            assert gateway.numbers["client_aborts"] == ROUNDS
            assert gateway.numbers["invariants"]["finished"] == ROUNDS
            assert backend.peak <= AT_ONCE
            delays.sort()
            late = sum(delay > FIGURE for delay in delays)
            with capsys.disabled():
                figures = ", ".join(f"p{p} {delays[int(p / 100 * (ROUNDS - 1))] * 1000:.2f}" for p in (50, 99, 100))
                print(f"\n  left {moment}: backend told after {figures} ms; over 50 ms: {late} of {ROUNDS}")
            assert delays[-1] < DEADLINE


async def leave(connect: Connect, gateway: Gateway, watch: Watch, name: str, stream: bool) -> float:
    """Ask, leave once the backend has the request (and the client the first event), return the delay."""
    watch.expect(name)
    raw = await connect(gateway)
    await raw.send(post(ask(name, stream=stream)))
    await watch.arrived[name].wait()
    if watch.begun:
        await raw.head()
    left = time.monotonic()
    raw.abort()
    return await asyncio.wait_for(watch.closed[name], 5) - left


@pytest.mark.timeout(120)
async def test_a_client_that_leaves_the_queue_never_reaches_a_backend(connect: Connect) -> None:
    release = asyncio.Event()

    async def hold(peer: Peer) -> None:
        await release.wait()
        await good(peer)

    async with backend_of(hold) as backend:
        config = config_of(backend, concurrency=1, more="    queue: {wait: 30s}").replace(
            "300ms, total: 2s", "60s, total: 60s"
        )
        async with gateway_of(config) as gateway:
            running = await connect(gateway)
            await running.send(post(ask()))
            while backend.posts == 0:
                await asyncio.sleep(0.001)
            for _ in range(0, ROUNDS, AT_ONCE):
                waiting = [await connect(gateway) for _ in range(AT_ONCE)]
                for raw in waiting:
                    await raw.send(post(ask()))
                while gateway.numbers["invariants"]["queued"] < AT_ONCE:
                    await asyncio.sleep(0.001)
                left = time.monotonic()
                for raw in waiting:
                    raw.abort()
                while gateway.numbers["invariants"]["queued"]:
                    await asyncio.sleep(0.001)
                assert time.monotonic() - left < DEADLINE
            release.set()
            assert (await running.response()).status == 200
            await gateway.settled()
            assert backend.posts == 1
            assert gateway.requests() == {("client_abort", "CQ"): ROUNDS, ("ok", "-D"): 1}


async def test_row_25_a_half_closed_client_has_left(connect: Connect) -> None:
    watch = Watch(head=True, begun=True)
    async with backend_of(watch) as backend, gateway_of(config_of(backend)) as gateway:
        watch.expect("x")
        raw = await connect(gateway)
        await raw.send(post(ask("x", stream=True)))
        await raw.head()
        raw.writer.write_eof()
        await asyncio.wait_for(watch.closed["x"], 1)
        await gateway.settled()


async def test_the_permit_is_held_until_the_backend_has_closed(connect: Connect) -> None:
    """Closing a socket does not mean that the backend has stopped."""
    seen = asyncio.Event()

    async def stubborn(peer: Peer) -> None:
        seen.set()
        await peer.gone()
        await asyncio.sleep(0.1)  # still at work

    async with backend_of(stubborn) as backend, gateway_of(config_of(backend, concurrency=1)) as gateway:
        raw = await connect(gateway)
        await raw.send(post(ask()))
        await seen.wait()
        raw.abort()
        await asyncio.sleep(0.05)
        assert gateway.numbers["invariants"]["closing"] == 1
        # A second request waits for it; the backend never has two.
        backend.script = good
        assert (await (await connect(gateway)).chat(ask())).status == 200
        assert backend.peak == 1


async def test_row_21_a_client_that_does_not_read(connect: Connect) -> None:
    """The backend is paused, what Penstock holds is bounded, and others are served."""
    sent = 0
    text = "x" * 1000

    async def flood(peer: Peer) -> None:
        nonlocal sent
        if not peer.body.get("stream"):
            return await good(peer)
        peer.send(SSE_HEAD)
        peer.event({"role": "assistant", "content": "a"})
        try:
            for _ in range(100_000):
                peer.event({"content": text})
                sent += 1
                await peer.writer.drain()
        except ConnectionError:
            pass

    async with backend_of(flood) as backend:
        async with gateway_of(
            config_of(backend).replace("between_events: 300ms, total: 2s", "between_events: 300ms, total: 20s")
        ) as gateway:
            raw = await slow_reader(gateway)
            await raw.send(post(ask(stream=True)))
            before = -1
            while sent != before:
                before = sent
                await asyncio.sleep(0.3)
            (connection,) = gateway.service.worker.registry.connections()
            assert connection.unsent_bytes <= 256 * 1024
            assert sent < 10_000, "the backend was not paused"
            # Our own pause is not the backend's stall: longer than between_events has passed.
            await asyncio.sleep(0.5)
            other = await connect(gateway)
            assert (await other.chat(ask())).status == 200
            # The client reads again, and the stream goes on.
            await raw.reader.read(1 << 20)
            while sent == before:
                await raw.reader.read(1 << 20)
            raw.abort()
            await gateway.settled()


async def slow_reader(gateway: Gateway) -> Raw:
    """A client whose socket and stream hold little."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=4096)
    return Raw(reader, writer)


async def test_row_21_the_slot_is_free_when_the_backend_is_done(connect: Connect) -> None:
    """A client that has not read its answer yet does not hold the backend's slot."""

    async def medium(peer: Peer) -> None:
        peer.send(SSE_HEAD)
        peer.event({"role": "assistant", "content": "y" * 60_000})
        peer.event({}, "stop")
        peer.done()
        peer.end()

    async with backend_of(medium) as backend, gateway_of(config_of(backend, concurrency=1)) as gateway:
        raw = await slow_reader(gateway)
        await raw.send(post(ask(stream=True)))
        await asyncio.sleep(0.1)
        await gateway.settled()
        raw.abort()


async def test_row_24_many_clients_vanish_at_once(connect: Connect) -> None:
    watch = Watch(head=True, begun=True)
    count = 300
    async with backend_of(watch) as backend:
        config = config_of(backend, concurrency=count).replace("300ms, total: 2s", "30s, total: 60s")
        async with gateway_of(config) as gateway:
            clients = []
            for number in range(count):
                watch.expect(str(number))
                raw = await connect(gateway)
                await raw.send(post(ask(str(number), stream=True)))
                clients.append(raw)
            for raw in clients:
                await raw.head()
            for raw in clients:
                raw.abort()
            await asyncio.wait_for(asyncio.gather(*watch.closed.values()), 10)
            await gateway.settled()
            assert gateway.numbers["client_aborts"] == count


async def test_pipelined_requests_are_answered_in_order(connect: Connect) -> None:
    async with backend_of(good) as backend, gateway_of(config_of(backend)) as gateway:
        raw = await connect(gateway)
        await raw.send(post(ask(stream=True)) + post(ask()) + post(ask(stream=True)))
        kinds = [(await raw.response()).headers["content-type"].partition(";")[0] for _ in range(3)]
        assert kinds == ["text/event-stream", "application/json", "text/event-stream"]


async def test_the_limit_is_a_limit(connect: Connect) -> None:
    async def busy(peer: Peer) -> None:
        await asyncio.sleep(0.01)
        await good(peer)

    async with backend_of(busy) as backend:
        async with gateway_of(config_of(backend, concurrency=3, more="    queue: {wait: 5s}")) as gateway:
            clients = [await connect(gateway) for _ in range(60)]
            responses = await asyncio.gather(*(raw.chat(ask(stream=bool(n % 2))) for n, raw in enumerate(clients)))
            assert {response.status for response in responses} == {200}
            assert backend.peak == 3
            await gateway.settled()


@pytest.mark.parametrize(("queue", "code"), [("{requests: 2}", "queue_full"), ("{wait: 100ms}", "queue_timeout")])
async def test_who_cannot_be_served_is_told(connect: Connect, queue: str, code: str) -> None:
    release = asyncio.Event()

    async def hold(peer: Peer) -> None:
        await release.wait()
        await good(peer)

    async with backend_of(hold) as backend:
        async with gateway_of(config_of(backend, concurrency=1, more=f"    queue: {queue}")) as gateway:
            clients = [await connect(gateway) for _ in range(4)]
            for raw in clients:
                await raw.send(post(ask()))
                await asyncio.sleep(0.02)
            refused = await asyncio.wait_for(clients[-1].response(), 1)
            assert (refused.status, refused.error["code"], refused.error["type"]) == (429, code, "rate_limit_error")
            assert int(refused.headers["retry-after"]) >= 1
            assert int(refused.headers["retry-after-ms"]) >= 1
            release.set()
            assert (await clients[0].response()).status == 200
            await gateway.settled()


@pytest.mark.parametrize("cap", ["backends", "tiers", "nodes"])
async def test_zero_means_drained(connect: Connect, cap: str) -> None:
    async with backend_of() as backend:
        config = config_of(backend, concurrency=0 if cap == "backends" else 4)
        if cap == "tiers":
            config += "\n    concurrency: 0"
        if cap == "nodes":
            config = "nodes: {gpu: {concurrency: 0}}\n" + config.replace("serves: served", "serves: served, node: gpu")
        async with gateway_of(config, wait=False) as gateway:
            response = await asyncio.wait_for((await connect(gateway)).chat(ask()), 1)
            assert (response.status, response.error["code"]) == (503, "no_backend")
