"""Recorded answers over real sockets, in two writes, split at every 97th byte (contract §10)."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.backend import Peer, backend_of, config_of
from tests.conftest import Connect, Response, gateway_of

RECORDINGS = Path(__file__).parent.parent / "recordings"
NAMES = ["chat-stream-usage", "chat-stream", "chat-logprobs-stream", "tool-forced-stream", "chat"]
STEP = 97
MASK = re.compile(rb'"(id|created)": ?("chatcmpl-[^"]*"|\d+)')


@pytest.mark.parametrize("server", ["llama-server-b11549", "ollama-0.33", "transformers-5.17", "vllm-0.32.0"])
@pytest.mark.timeout(120)
async def test_every_97th_split(connect: Connect, server: str) -> None:
    raw, cut = b"", 0

    async def replay(peer: Peer) -> None:
        peer.send(raw[:cut])
        await asyncio.sleep(0.001)
        peer.send(raw[cut:])
        await peer.writer.drain()
        peer.writer.close()

    async with backend_of(replay) as backend, gateway_of(config_of(backend)) as gateway:
        client = await connect(gateway)
        for name in NAMES:
            raw = (RECORDINGS / server / f"{name}.raw").read_bytes()
            asked = json.loads((RECORDINGS / server / f"{name}.http").read_bytes().partition(b"\r\n\r\n")[2])
            answers = set()
            for cut in range(0, len(raw), STEP):
                response: Response = await client.chat({**asked, "model": "fast"})
                assert response.status == 200, (name, cut, response.body)
                answers.add(MASK.sub(b"", response.body))
            assert len(answers) == 1, name
