"""A limit counts the sequences that a backend is really sent, whoever has asked for them."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.backend import Peer, answer, backend_of, config_of
from tests.conftest import Connect, ask, gateway_of

LIMIT = 4


class Sequences:
    """A backend that answers with as many choices as it is asked for, and counts those that run."""

    def __init__(self) -> None:
        self.running = 0
        self.peak = 0

    async def script(self, peer: Peer) -> None:
        wide = max(peer.body.get("n") or 1, peer.body.get("best_of") or 1)
        self.running += wide
        self.peak = max(self.peak, self.running)
        await asyncio.sleep(0.02)
        choices = [
            {"index": index, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
            for index in range(peer.body.get("n") or 1)
        ]
        self.running -= wide
        peer.send(answer(json.dumps({"id": "x", "created": 1, "model": "served", "choices": choices}).encode()))


@pytest.mark.parametrize(
    ("parameters", "more", "choices"),
    [
        ("{default: {n: 2}}", {}, 2),
        ("{default: {n: 3}}", {"n": None}, 3),
        ("{force: {n: 4}}", {"n": 1}, 4),
        ("{force: {best_of: 3}}", {}, 1),
        ("{default: {best_of: 2}, force: {n: 1}}", {"n": 100}, 1),
    ],
)
async def test_never_more_sequences_than_the_limit(
    parameters: str, more: dict[str, int | None], choices: int, connect: Connect
) -> None:
    sequences = Sequences()
    async with backend_of(sequences.script) as backend:
        config = config_of(backend, concurrency=LIMIT, more=f"    parameters: {parameters}\n    queue: {{wait: 5s}}")
        async with gateway_of(config) as gateway:
            clients = [await connect(gateway) for _ in range(8)]
            for _ in range(3):
                answers = await asyncio.gather(*(client.chat(ask(**more)) for client in clients))
                assert [(one.status, len(one.value["choices"])) for one in answers] == [(200, choices)] * 8
            await gateway.settled()
    assert LIMIT // 2 < sequences.peak <= LIMIT


async def test_more_by_default_than_there_will_ever_be_is_refused(connect: Connect) -> None:
    sequences = Sequences()
    async with backend_of(sequences.script) as backend:
        config = config_of(backend, concurrency=LIMIT, more="    parameters: {default: {n: 8}}")
        async with gateway_of(config) as gateway:
            refused = await (await connect(gateway)).chat(ask())
            assert (refused.status, refused.error["code"], refused.error["param"]) == (400, "invalid_value", "n")
    assert sequences.peak == 0
