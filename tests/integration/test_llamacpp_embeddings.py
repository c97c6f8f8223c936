"""Embeddings of the real llama.cpp server, through the official SDK."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from penstock.engines.embedded import EmbeddedEngine
from tests.conftest import gateway_of

pytestmark = pytest.mark.timeout(180)

TEXTS = ["The mill stands at the river.", "A watermill by the stream.", "Taxes are due in April."]


def config_of(url: str) -> str:
    return f"""
backends: {{real: {{url: "{url}", concurrency: 2, dialect: llamacpp}}}}
tiers: {{instant: {{models: [instant-model], backends: [real], queue: {{wait: 60s}}}}}}
"""


def client_of(url: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60)


async def test_real_embeddings_as_base64_and_as_numbers() -> None:
    engine = EmbeddedEngine("smol", slots=2, context=2048, embeddings=True)
    try:
        async with gateway_of(config_of(await engine.start())) as gateway, client_of(gateway.url) as client:
            asked: Any = {"model": "instant-model", "input": TEXTS}
            packed = await client.embeddings.create(**asked)
            plain = await client.embeddings.create(**asked, encoding_format="float")
            assert (packed.model, packed.object) == ("instant-model", "list")
            assert sorted(item.index for item in packed.data) == [0, 1, 2]
            assert packed.usage.prompt_tokens > 10
            for one, other in zip(packed.data, plain.data, strict=True):
                pairs = zip(one.embedding, other.embedding, strict=True)
                assert all(math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-5) for a, b in pairs)
            await gateway.settled()
    finally:
        await engine.stop()


async def test_a_real_server_without_embeddings_says_so() -> None:
    engine = EmbeddedEngine("smol", slots=2, context=2048)
    try:
        async with gateway_of(config_of(await engine.start())) as gateway, client_of(gateway.url) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                await client.embeddings.create(model="instant-model", input=TEXTS)
            assert "does not support embeddings" in caught.value.message
            await gateway.settled()
    finally:
        await engine.stop()
