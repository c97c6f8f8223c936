"""A backend that goes away and comes back: nobody who waits is lost, and the log has a line for each outage."""

from __future__ import annotations

import asyncio

import pytest

from tests.backend import Backend, Peer, backend_of, config_of, good, reset_at_once
from tests.conftest import Connect, ask, gateway_of


@pytest.mark.parametrize("stream", [True, False])
async def test_a_backend_that_refuses(connect: Connect, stream: bool) -> None:
    async with backend_of() as backend, backend_of() as gone:
        async with gateway_of(config_of(backend, gone)) as gateway:
            await gone.stop()
            raw = await connect(gateway)
            for _ in range(20):
                assert (await raw.chat(ask(stream=stream))).text == "hello"
            await gateway.settled()
            # Refusals are counted against it, and it is asked again only now and then.
            assert gateway.numbers["backends"][1]["state"] in ("ejected", "down")


async def test_all_refuse(connect: Connect) -> None:
    """Refused is not started: each waits for as long as it may, and no attempt is counted."""
    async with backend_of() as gone, gateway_of(config_of(gone, more="    queue: {wait: 300ms}")) as gateway:
        await gone.stop()
        clients = [await connect(gateway) for _ in range(5)]
        answers = await asyncio.gather(*(client.chat(ask()) for client in clients))
        assert {(answer.status, answer.error["code"]) for answer in answers} == {(503, "no_backend")}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers)
        await gateway.settled()
        assert gateway.requests() == {("rejected", "GQ"): 5}
        # It comes back, and the next one to try finds it.
        await gone.start()
        async with asyncio.timeout(5):
            while (await clients[0].chat(ask())).status != 200:
                await asyncio.sleep(0.02)


async def test_a_restart_leaves_the_queue_as_it_was(connect: Connect, capfd: pytest.CaptureFixture[str]) -> None:
    """One backend, limit 3: who waits is served by the engine that starts again, in turn, and nobody is told of it."""

    async def slow(peer: Peer) -> None:
        await asyncio.sleep(0.1)
        await good(peer)

    config = config_of(Backend(good), concurrency=3, more="    queue: {wait: 20s}").replace("total: 2s", "total: 30s")
    async with backend_of(slow) as backend:
        async with gateway_of(config.replace(":0'", f":{backend.port}'")) as gateway:
            clients = [await connect(gateway) for _ in range(30)]
            asked = [asyncio.ensure_future(client.chat(ask(str(at)))) for at, client in enumerate(clients)]
            await asyncio.sleep(0.05)
            assert backend.running == 3
            await backend.stop()
            await asyncio.sleep(2.2)
            await backend.start()
            answers = await asyncio.wait_for(asyncio.gather(*asked), 20)
            # What ran when it died may be lost; what waited is not.
            statuses = [answer.status for answer in answers]
            assert statuses.count(200) >= 27 and set(statuses) <= {200, 502}, statuses
            await gateway.settled()
            assert backend.peak == 3
            results = {result: count for _, result, count in gateway.numbers["attempts"]}
            assert 1 < results["connect_failed"] < 20
            await asyncio.sleep(0.1)
    said = [line for line in capfd.readouterr().out.splitlines() if "backend_" in line]
    assert sum("backend_unreachable" in line for line in said) == 1, said
    assert sum("backend_reachable" in line for line in said) == 1, said


async def test_a_restart_behind_an_open_port(connect: Connect) -> None:
    """A port that accepts and breaks off, as proxies of containers do: who waits is not burned either."""
    broken = False

    async def maybe(peer: Peer) -> None:
        await (reset_at_once if broken else good)(peer)

    config = config_of(Backend(good), concurrency=3, more="    queue: {wait: 20s}").replace("total: 2s", "total: 30s")
    async with backend_of(maybe) as backend:
        async with gateway_of(config.replace(":0'", f":{backend.port}'")) as gateway:
            clients = [await connect(gateway) for _ in range(30)]
            broken = True
            asked = [asyncio.ensure_future(client.chat(ask(str(at)))) for at, client in enumerate(clients)]
            await asyncio.sleep(1.5)
            broken = False
            answers = await asyncio.wait_for(asyncio.gather(*asked), 20)
            statuses = [answer.status for answer in answers]
            # The three that were there when it broke off may have been the cause.
            assert statuses.count(200) >= 27 and set(statuses) <= {200, 502}, statuses
            await gateway.settled()


async def test_a_request_that_is_always_broken_off_keeps_nobody_out_for_long(connect: Connect) -> None:
    """It may try again for some seconds, as the server may be starting; then it is the one that fails."""

    async def unless_killed(peer: Peer) -> None:
        await (reset_at_once if "killer" in str(peer.body) else good)(peer)

    config = config_of(Backend(good), concurrency=1, more="    queue: {wait: 20s}").replace("total: 2s", "total: 30s")
    async with backend_of(unless_killed) as backend:
        async with gateway_of(config.replace(":0'", f":{backend.port}'")) as gateway:
            first, killer, well = [await connect(gateway) for _ in range(3)]
            assert (await first.chat(ask("killer"))).status == 502
            started = asyncio.get_running_loop().time()
            killed = asyncio.ensure_future(killer.chat(ask("killer again")))
            await asyncio.sleep(0.02)
            answer = await asyncio.wait_for(well.chat(ask("fine")), 15)
            assert answer.status == 200
            assert (await killed).error["code"] == "upstream_reset"
            # Seven tries, 50 ms to 2 s apart; without a bound it would be the whole wait of 20 s.
            assert asyncio.get_running_loop().time() - started < 12
            await gateway.settled()
