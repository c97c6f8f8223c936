"""``/v1/embeddings`` through the official Python SDK and as bytes, in front of the simulated engine."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import openai
import orjson
import pytest
from openai import AsyncOpenAI

from penstock.sim import INSTANT, SimServer
from penstock.sim.faults import Fault
from tests.conftest import Connect, Gateway, gateway_of, post

PATH = "/v1/embeddings"
ASKED: dict[str, Any] = {"model": "instant-model", "input": "Name three rivers."}


@pytest.fixture
async def started() -> AsyncIterator[tuple[SimServer, int]]:
    server = SimServer(dialect="openai", model="served", speed=INSTANT)
    port = await server.start()
    yield server, port
    await server.stop()


@pytest.fixture
def engine(started: tuple[SimServer, int]) -> SimServer:
    return started[0]


@pytest.fixture(params=[False, True], ids=["", "stream_whole"])
async def gateway(started: tuple[SimServer, int], request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    config = f"""
backends:
  a: {{url: "http://127.0.0.1:{started[1]}/v1", concurrency: 4, stream_whole: {str(request.param).lower()}}}
tiers:
  instant: {{models: [instant-model], backends: [a], parameters: {{max_tokens: 100, default: {{temperature: 0.5}}}}}}
"""
    async with gateway_of(config) as running:
        yield running


@pytest.fixture
async def client(gateway: Gateway) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as sdk:
        yield sdk


async def test_base64_which_the_sdk_asks_for_and_numbers_are_the_same(client: AsyncOpenAI, gateway: Gateway) -> None:
    raw = await client.embeddings.with_raw_response.create(**ASKED)
    decoded = raw.parse()
    assert (decoded.model, decoded.object, len(decoded.data)) == ("instant-model", "list", 1)
    assert decoded.usage.prompt_tokens == decoded.usage.total_tokens == 5
    assert raw.headers["x-penstock-tier"] == "instant"
    assert "cache-control" not in raw.headers
    numbers = (await client.embeddings.create(**ASKED, encoding_format="float")).data[0].embedding
    pairs = zip(decoded.data[0].embedding, numbers, strict=True)
    assert all(math.isclose(one, other, rel_tol=1e-6) for one, other in pairs)
    await gateway.settled()
    assert gateway.requests() == {("ok", "-D"): 2}


async def test_dimensions_reach_the_backend(client: AsyncOpenAI) -> None:
    assert len((await client.embeddings.create(**ASKED, dimensions=3)).data[0].embedding) == 3


@pytest.mark.parametrize("given", [["a", "b", "c"], [[1, 2], [3], [4]], ["x"] * 9])
async def test_many_inputs_at_once(client: AsyncOpenAI, engine: SimServer, gateway: Gateway, given: Any) -> None:
    # Nine are more than the backend has slots.
    answer = await client.embeddings.create(**ASKED | {"input": given})
    assert [item.index for item in answer.data] == list(range(len(given)))
    assert engine.stats.started == 1
    await gateway.settled()


async def test_tokens_are_an_input(client: AsyncOpenAI) -> None:
    answer = await client.embeddings.create(**ASKED | {"input": [1, 2, 3]})
    assert (len(answer.data), answer.usage.prompt_tokens) == (1, 3)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": []}, "input"),
        ({"input": ["a", 1]}, "input[1]"),
        ({"dimensions": "x"}, "dimensions"),
        ({"extra_body": {"stream": True}}, "stream"),
    ],
)
async def test_what_is_wrong_names_its_parameter(
    client: AsyncOpenAI, engine: SimServer, more: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.embeddings.create(**ASKED | more)
    assert caught.value.param == param
    assert engine.stats.started == 0


async def test_a_failure_of_the_backend_is_an_error(client: AsyncOpenAI, engine: SimServer, gateway: Gateway) -> None:
    engine.fault = Fault.STATUS_500
    with pytest.raises(openai.InternalServerError) as caught:
        await client.embeddings.create(**ASKED)
    assert caught.value.code == "upstream_error"
    await gateway.settled()


async def test_the_path_has_the_rules_of_the_others(gateway: Gateway, connect: Connect) -> None:
    raw = await connect(gateway)
    for request, status, code in (
        (post(orjson.dumps(ASKED), PATH, content_type="text/plain"), 415, "unsupported_media_type"),
        (f"GET {PATH} HTTP/1.1\r\nhost: x\r\n\r\n".encode(), 405, "method_not_allowed"),
        (post(orjson.dumps(ASKED), PATH + "/"), 404, "unknown_url"),
        (post(b"{", PATH), 400, "invalid_json"),
        (post(orjson.dumps(ASKED | {"model": "none"}), PATH), 404, "model_not_found"),
    ):
        await raw.send(request)
        response = await raw.response()
        assert (response.status, response.error["code"]) == (status, code)
    await raw.send(post(orjson.dumps(ASKED), PATH))
    assert (await raw.response()).status == 200
