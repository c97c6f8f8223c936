"""``stream_whole``: what is assembled is what the server itself gives as a whole answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock.sim import INSTANT, SimServer
from tests.conftest import Connect, Gateway, ask, gateway_of


def without_nothing(value: Any) -> Any:
    """Leave out what is null or empty: servers that say it in whole answers may not do so in streams."""
    if isinstance(value, dict):
        members = {name: without_nothing(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member not in (None, [], {})}
    return [without_nothing(item) for item in value] if isinstance(value, list) else value


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@asynccontextmanager
async def both_ways(dialect: str) -> AsyncIterator[Gateway]:
    """Two tiers on one simulated server: one asks it for streams."""
    sim = SimServer(dialect=dialect, speed=INSTANT, reasoning=dialect == "vllm")
    url = f"http://127.0.0.1:{await sim.start()}"
    config = f"""
backends:
  as-asked: {{url: "{url}", serves: sim, concurrency: 8}}
  streamed: {{url: "{url}", serves: sim, concurrency: 8, stream_whole: true}}
tiers:
  a: {{models: [as-asked], backends: [as-asked]}}
  b: {{models: [streamed], backends: [streamed]}}
"""
    try:
        async with gateway_of(config) as gateway:
            yield gateway
    finally:
        await sim.stop()


ASKED: list[dict[str, Any]] = [{}, {"max_tokens": 3}, {"max_tokens": 1}, {"n": 3}, {"tools": [TOOL]}]
# TGI gives one choice, and its streams do not finish their calls.
PAIRS = [(name, more) for name in ("vllm", "sglang", "llamacpp") for more in ASKED]
PAIRS += [("tgi", more) for more in ASKED[:3]]


@pytest.mark.parametrize(("dialect", "more"), PAIRS)
async def test_it_is_the_servers_own_whole_answer(connect: Connect, dialect: str, more: dict[str, Any]) -> None:
    async with both_ways(dialect) as gateway:
        raw = await connect(gateway)
        responses = [await raw.chat(ask(model=model, **more)) for model in ("as-asked", "streamed")]
        assert [response.status for response in responses] == [200, 200]
        own, ours = (without_nothing(response.value) for response in responses)
        for value in (own, ours):
            # The id of a call is made anew for each answer by some.
            for choice in value["choices"]:
                for call in choice["message"].get("tool_calls", ()):
                    call["id"] = "id"
        assert ours["choices"] == own["choices"]
        assert ours["usage"] == own["usage"]
        assert ours.get("system_fingerprint") == own.get("system_fingerprint")
        await gateway.settled()
