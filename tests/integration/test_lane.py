"""A connection's way between the lane and aiohttp."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from penstock.server.connection import ClientConnection
from penstock.server.deadlines import BODY_SECONDS
from penstock.server.target import ENDPOINTS
from tests.backend import backend_of, config_of
from tests.conftest import LANE, Connect, Gateway, ask, gateway_of, post

pytestmark = pytest.mark.skipif(LANE == "off", reason="there is no lane to go to")

MODELS = b"GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n"
CHUNKED = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"


def who(gateway: Gateway) -> str:
    """Return who has the one open connection."""
    (connection,) = gateway.service.worker.registry.connections()
    return type(connection).__name__


def chunked(body: bytes) -> bytes:
    return CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("foreign", [MODELS, chunked(b'{"model": "none"}')], ids=["models", "chunked"])
async def test_it_goes_to_aiohttp_and_comes_back(connect: Connect, foreign: bytes) -> None:
    async with backend_of() as backend, gateway_of(config_of(backend)) as gateway:
        raw = await connect(gateway)
        for _ in range(3):
            await raw.send(post(ask()))
            assert (await raw.response()).status == 200
            assert who(gateway) == "LaneConnection"
            await raw.send(foreign)
            assert (await raw.response()).status in (200, 400)
            assert who(gateway) == "ClientConnection"
        assert gateway.requests()["ok", "-D"] == 3


async def test_every_endpoint_is_served_on_the_lane(connect: Connect) -> None:
    async with backend_of() as backend, gateway_of(config_of(backend)) as gateway:
        raw = await connect(gateway)
        for path in ENDPOINTS * 2:
            await raw.send(post({"model": "none"}, path))
            response = await raw.response()
            assert (response.status, response.error["code"]) == (400, "missing_required_parameter")
            assert who(gateway) == "LaneConnection"
        assert gateway.requests() == {("client_error", "CR"): 2 * len(ENDPOINTS)}


async def test_what_comes_in_pieces_or_behind_another_request_stays(connect: Connect) -> None:
    """Only a whole head between two messages is taken back: nothing that aiohttp has begun to read."""
    request = post(ask())
    async with backend_of() as backend, gateway_of(config_of(backend)) as gateway:
        raw = await connect(gateway)
        await raw.send(MODELS + request)
        answers: list[Any] = [await raw.response(), await raw.response()]
        assert [one.status for one in answers] == [200, 200]
        assert who(gateway) == "ClientConnection"
        await raw.send(request[:20])
        await asyncio.sleep(0.05)
        await raw.send(request[20:])
        assert (await raw.response()).status == 200
        assert who(gateway) == "ClientConnection"
        head, body = request.split(b"\r\n\r\n")
        await raw.send(head + b"\r\n\r\n" + body[:5])
        await asyncio.sleep(0.05)
        await raw.send(body[5:])
        assert (await raw.response()).status == 200
        assert who(gateway) == "LaneConnection"


async def test_a_connection_that_was_let_in_stays_let_in(connect: Connect) -> None:
    """Neither way between the lane and aiohttp asks again whether it is one too many."""
    async with backend_of() as backend, gateway_of("limits: {connections: 2}\n" + config_of(backend)) as gateway:
        first, second = await connect(gateway), await connect(gateway)
        await first.send(post(ask()))
        assert (await first.response()).status == 200
        await first.send(MODELS)
        assert (await first.response()).status == 200
        surplus = await connect(gateway)
        await surplus.send(MODELS)
        assert (await surplus.response()).status == 503
        another = await connect(gateway)
        await first.send(post(ask()))
        assert (await first.response()).status == 200
        await second.send(MODELS)
        assert (await second.response()).status == 200
        await another.send(post(ask()))
        assert (await another.response()).status == 503


async def test_a_header_with_two_jobs_does_both(connect: Connect) -> None:
    """A user's name is its tenant and its session: all its requests go to one backend."""
    trust = "access: {tenant_header: X-User}\ntrusted_proxies: [127.0.0.1]\n"
    async with backend_of() as one, backend_of() as two, backend_of() as three:
        backends = [one, two, three]
        affinity = "    affinity: {prefix: false, header: x-user}"
        async with gateway_of(trust + config_of(*backends, more=affinity)) as gateway:
            raw = await connect(gateway)
            for turn in range(9):
                await raw.send(post(ask(f"{turn} is the number"), x_user="me"))
                assert (await raw.response()).status == 200
            assert who(gateway) == "LaneConnection"
            assert sorted(backend.posts for backend in backends) == [0, 0, 9]


async def test_what_comes_slowly_has_no_longer_for_it(connect: Connect) -> None:
    """The lane gives a slow request to aiohttp after a while, which counts."""
    async with backend_of() as backend, gateway_of(config_of(backend)) as gateway:
        raw = await connect(gateway)
        for _ in range(2):
            await raw.send(post(ask()))
            assert (await raw.response()).status == 200
        before = time.monotonic()
        request = post(ask())
        await raw.send(request[:-1])
        await asyncio.sleep(0.01)
        after = time.monotonic()
        while who(gateway) == "LaneConnection":
            await asyncio.sleep(0.05)
        (connection,) = gateway.service.worker.registry.connections()
        assert isinstance(connection, ClientConnection)
        # The lane knows the time of the loop's last turn, a tick at most before.
        assert before - 0.1 <= connection.deadlines.head_came <= after
        assert connection.deadlines.body_due == connection.deadlines.head_came + BODY_SECONDS
        await raw.send(request[-1:])
        assert (await raw.response()).status == 200
        # The next one has all the time again.
        await raw.send(CHUNKED)
        await asyncio.sleep(0.01)
        assert connection.deadlines.body_due > time.monotonic() + BODY_SECONDS - 1
