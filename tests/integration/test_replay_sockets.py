"""Recorded answers over real sockets, in two writes, split at every 97th byte."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.backend import Backend, Peer, backend_of, config_of
from tests.conftest import Connect, Response, gateway_of

RECORDINGS = Path(__file__).parent.parent / "recordings"
STEP = 97
MASK = re.compile(rb'"(id|created)": ?("chatcmpl-[^"]*"|\d+)')


@pytest.mark.parametrize(
    "server", ["llama-server-b11549", "ollama-0.33", "tgi-3.3.6", "transformers-5.17", "vllm-0.32.0"]
)
@pytest.mark.timeout(120)
async def test_every_97th_split(connect: Connect, server: str) -> None:
    raw, cut = b"", 0

    async def replay(peer: Peer) -> None:
        peer.send(raw[:cut])
        await asyncio.sleep(0.001)
        peer.send(raw[cut:])
        await peer.writer.drain()
        peer.writer.close()

    def config(backend: Backend) -> str:
        """Leave a busy machine all the time that it needs: this is about bytes."""
        return config_of(backend).replace(": 300ms", ": 30s").replace("total: 2s", "total: 60s")

    async with backend_of(replay) as backend, gateway_of(config(backend)) as gateway:
        client = await connect(gateway)
        for file in sorted((RECORDINGS / server).glob("*.raw")):
            raw, name = file.read_bytes(), file.stem
            head, _, body = file.with_suffix(".http").read_bytes().partition(b"\r\n\r\n")
            if not raw.startswith(b"HTTP/1.1 200") or not head.startswith(b"POST /v1/chat/completions "):
                continue
            try:
                asked = json.loads(body)
            except json.JSONDecodeError:
                continue
            answers = set()
            for place in range(0, len(raw), STEP):
                cut = place
                response: Response = await client.chat({**asked, "model": "fast"})
                answers.add((response.status, MASK.sub(b"", response.body)))
            assert len(answers) == 1, name
