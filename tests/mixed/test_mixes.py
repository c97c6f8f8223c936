"""Mixes of few kinds, each for one class of faults: what the whole mix shows now and then, they show at once."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from tests.conftest import gateway_of
from tests.mixed.book import Model
from tests.mixed.clients import Client, ClosedLoop, Run, receive, send
from tests.mixed.connection import Connection
from tests.mixed.plans import Words
from tests.mixed.requests import alive, get, hidden, post, refused
from tests.mixed.stage import PATIENCE, SECONDS, Stage, seed_of

PART = SECONDS * 0.06
PATIENT = "queue: {wait: 50s, requests: 10000}, retry: {budget: 100%}"
pytestmark = pytest.mark.timeout(PART + PATIENCE + 60)


async def play(stage: Stage, tiers: str, clients: dict[str, tuple[int, Client]]) -> None:
    """Run clients against the backends of a stage."""
    async with stage.served():
        backends = "\n".join(f"  {name}: {{{backend.config()}}}" for name, backend in stage.backends.items())
        async with gateway_of(f"log: {{level: warning}}\nbackends:\n{backends}\ntiers:\n{tiers}") as gateway:
            stage.port = gateway.port
            await stage.play(clients, PART)
            await gateway.settled(10.0)
    stage.assert_right()


async def test_whole_answers_beside_streams_with_swallowed_events() -> None:
    """What one connection is about to be sent must not become part of another's answer."""
    stage = Stage(seed_of("swallowed events"))
    stage.backend("a", 64)
    clients: dict[str, tuple[int, Client]] = {
        "whole": (8, ClosedLoop("whole", lambda _: ("good",), stream=False)),
        "streamed": (8, ClosedLoop("streamed", lambda _: ("swallow",), stream=True)),
    }
    await play(stage, f"  tier: {{profile: instant, models: [fast], backends: [a], {PATIENT}}}", clients)


async def test_a_head_that_comes_in_parts_is_no_request() -> None:
    """Behind an answered request comes a part of a head, and then what looks like a chat request and is a header."""
    stage = Stage(seed_of("parts of heads"))
    stage.backend("a", 64)

    async def parts(run: Run, connection: Connection, dice: random.Random) -> None:
        for _ in range(4):
            first, second = get("/livez", alive), hidden(run.book.ask("smuggled", dice))
            assert second.seam is not None
            send(run, connection, first, data=b"")
            send(run, connection, second, data=b"")
            connection.send(first.data + second.data[: second.seam])
            await receive(run, connection, first)
            await asyncio.sleep(dice.choice((0.0, 0.01, 0.1, 0.4)))
            connection.send(second.data[second.seam :])
            await receive(run, connection, second)

    tiers = f"  tier: {{profile: instant, models: [fast], backends: [a], {PATIENT}}}"
    beside = ClosedLoop("whole", lambda _: ("good",), stream=False)
    await play(stage, tiers, {"parts": (8, parts), "whole": (2, beside)})


async def test_sequences_that_the_configuration_adds_count() -> None:
    """The limit holds for what is sent to the backend, whoever has asked for it."""
    stage = Stage(seed_of("sequences"))
    parameters = {"some": "default: {n: 3}", "many": "default: {n: 8}", "forced": "force: {n: 3}"}
    for name in parameters:
        stage.backend(name, 4)
    tiers = "\n".join(
        f"  {name}: {{profile: instant, models: [{name}], backends: [{name}], {PATIENT}, parameters: {{{given}}}}}"
        for name, given in parameters.items()
    )

    async def too_many(run: Run, connection: Connection, dice: random.Random) -> None:
        """Without `n` it would be more than the backend may ever run."""
        ask = run.book.ask("too_many", dice, model=Model("many"), words=("paused",))
        sent = replace(post(ask, dice), ask=None, check=refused("invalid_value"))
        ask.is_sent = True
        send(run, connection, sent)
        await receive(run, connection, sent)

    models = (Model("some", choices=3), Model("forced", choices=3, is_forced=True))
    clients: dict[str, tuple[int, Client]] = {
        "whole": (6, ClosedLoop("whole", lambda _: ("paused",), stream=False, models=models)),
        "streamed": (6, ClosedLoop("streamed", lambda _: ("good",), stream=True, models=models)),
        "too_many": (4, too_many),
    }
    await play(stage, tiers, clients)


async def test_a_connection_that_dies_is_not_the_end_of_a_request() -> None:
    """Backends break off the first attempts at many requests, on kept connections and on fresh ones, soon and late."""
    stage = Stage(seed_of("dying connections"))
    for name in "abc":
        stage.backend(name, 8, keep_alive=0.3)
    deaths = tuple((word, "good") for word in ("die", "hang_up", "die_late", "hang_up_late"))
    scripts: tuple[Words, ...] = (("good",), *deaths, ("die", "die", "good"), ("hang_up", "hang_up", "good"))
    clients: dict[str, tuple[int, Client]] = {
        "whole": (6, ClosedLoop("whole", lambda dice: dice.choice(scripts), stream=False)),
        "streamed": (6, ClosedLoop("streamed", lambda dice: dice.choice(scripts), stream=True)),
    }
    tiers = f"  tier: {{profile: instant, models: [fast], backends: [a, b, c], {PATIENT}}}"
    await play(stage, tiers, clients)
