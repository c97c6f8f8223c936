"""JSON pages: recorded ones, ones made by the documented form, and junk."""

import json
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.upstream.gauges import MAX_NUMBER, Counted, EngineFamily, Facts, Gauges, Reader, Reading
from penstock.upstream.json_pages import (
    read_info,
    read_loads,
    read_models,
    read_props,
    read_server_info,
    read_slots,
    read_version,
)

from .recorded import page

READERS = [read_info, read_loads, read_models, read_props, read_server_info, read_slots, read_version]
SLOTS = page("llama-server-b11549", "slots")


def of(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_recorded_props() -> None:
    facts = Facts(EngineFamily.LLAMACPP, version="b0-unknown", slots=4, context=2048)
    assert read_props(page("llama-server-b11549", "props")) == Reading(facts=facts)


def test_recorded_slots() -> None:
    facts = Facts(EngineFamily.LLAMACPP, slots=4)
    assert read_slots(SLOTS) == Reading(Gauges(running=0, counted=Counted.NOW), facts)
    busy = SLOTS.replace(b'"is_processing":false', b'"is_processing":true', 3)
    assert read_slots(busy) == Reading(Gauges(running=3, counted=Counted.NOW), facts)


def test_recorded_models_and_version() -> None:
    assert read_models(page("vllm-0.32.0", "models")) == Reading(facts=Facts(context=2048))
    assert read_version(page("vllm-0.32.0", "version")) == Reading(facts=Facts(version="0.32.0"))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("server", ["vllm-0.32.0", "tgi-3.3.6", "ollama-0.33", "transformers-5.17"])
def test_a_recorded_refusal_is_nothing(read: Reader, server: str) -> None:
    assert read(page(server, "props")) is None


# SGLang and TGI's /info have no recording: these are made by their documented form.
RANK = {
    "dp_rank": 0,
    "num_running_reqs": 7,
    "num_waiting_reqs": 2,
    "token_usage": 0.4,
    "max_total_num_tokens": 163642,
    "max_running_requests": 128,
}


def test_loads() -> None:
    reading = read_loads(of({"timestamp": "x", "version": "0.5.19", "loads": [RANK]}))
    assert reading == Reading(
        Gauges(running=7, waiting=2, kv_usage=0.4, counted=Counted.NOW),
        Facts(EngineFamily.SGLANG, version="0.5.19", kv_tokens=163642, slots=128),
    )


def test_loads_of_two_ranks_add_up() -> None:
    second = RANK | {"dp_rank": 1, "num_running_reqs": 5, "token_usage": 0.9}
    reading = read_loads(of({"version": "0.5.19", "loads": [RANK, second]}))
    assert reading == Reading(
        Gauges(running=12, waiting=4, kv_usage=0.9, counted=Counted.NOW),
        Facts(EngineFamily.SGLANG, version="0.5.19", kv_tokens=327284, slots=256),
    )
    del second["max_total_num_tokens"]
    reading = read_loads(of({"loads": [RANK, second]}))
    assert reading is not None
    assert reading.facts.kv_tokens is None  # half of it would be too small


def test_the_older_load_counts_the_waiting_twice() -> None:
    old = [{"dp_rank": rank, "num_reqs": 9, "num_waiting_reqs": 2, "num_tokens": 100} for rank in range(2)]
    gauges = Gauges(running=14, waiting=4, counted=Counted.NOW)
    assert read_loads(of(old)) == Reading(gauges, Facts(EngineFamily.SGLANG))


SERVER_INFO: dict[str, Any] = {
    "model_path": "m",
    "api_key": "secret",
    "context_length": None,
    "max_running_requests": 256,
    "max_total_num_tokens": 163642,
    "internal_states": [
        {"memory_usage": {"token_capacity": 163642, "kvcache": 18.0}, "effective_max_running_requests_per_dp": 128}
    ],
    "version": "0.5.19",
}


def test_server_info() -> None:
    reading = read_server_info(of(SERVER_INFO))
    assert reading == Reading(facts=Facts(EngineFamily.SGLANG, version="0.5.19", kv_tokens=163642, slots=128))
    assert "secret" not in repr(reading)
    two = SERVER_INFO | {"internal_states": SERVER_INFO["internal_states"] * 2, "context_length": 8192}
    assert read_server_info(of(two)) == Reading(
        facts=Facts(EngineFamily.SGLANG, version="0.5.19", kv_tokens=327284, slots=256, context=8192)
    )
    old = {key: value for key, value in SERVER_INFO.items() if key != "internal_states"}
    assert read_server_info(of(old)) == Reading(
        facts=Facts(EngineFamily.SGLANG, version="0.5.19", kv_tokens=163642, slots=256)
    )


def test_info() -> None:
    new = {"router": "text-generation-router", "max_concurrent_requests": 128, "max_total_tokens": 2048}
    new |= {"max_input_tokens": 1024, "version": "3.3.6"}
    facts = Facts(EngineFamily.TGI, version="3.3.6", slots=128, context=2048)
    assert read_info(of(new)) == Reading(facts=facts)
    assert read_info(of(new | {"max_batch_total_tokens": 32000})) == Reading(facts=facts | Facts(kv_tokens=32000))


@pytest.mark.parametrize("size", [0, -5, True, 1.5, "2048", None, [], {}])
def test_a_size_that_is_none_is_unknown(size: object) -> None:
    assert read_props(of({"build_info": "b1", "total_slots": size})) == Reading(
        facts=Facts(EngineFamily.LLAMACPP, "b1")
    )


@pytest.mark.parametrize("size", [0, -5, True, 2**53 + 1, 4 * 10**18, 2**64 - 1, 10**30, 1e308])
def test_no_page_has_a_size_that_cannot_be(size: object) -> None:
    sizes = ("n_ctx", "max_total_num_tokens", "max_running_requests", "context_length", "max_model_len")
    sizes += ("max_concurrent_requests", "max_total_tokens", "max_batch_total_tokens", "token_capacity")
    each = dict.fromkeys((*sizes, "effective_max_running_requests_per_dp"), size)
    page = {
        **each,
        "build_info": "b1",
        "default_generation_settings": each,
        "internal_states": [{**each, "memory_usage": each}],
        "loads": [each | {"num_running_reqs": 1, "num_waiting_reqs": 1}],
        "data": [each],
    }
    for read in READERS:
        reading = read(of(page))
        if reading is not None:
            assert (reading.facts.kv_tokens, reading.facts.slots, reading.facts.context) == (None, None, None), read


@pytest.mark.parametrize("ranks", [1, 2, 6])
@pytest.mark.parametrize("value", [-1, True, "7", 7.5, None, 2**53 + 1, 4 * 10**18, 2**64 - 1, 10**30, 1e308])
def test_no_page_has_a_load_that_cannot_be(value: object, ranks: int) -> None:
    bad = RANK | {"num_running_reqs": value}
    assert read_loads(of({"loads": [bad] * ranks})) is None
    usage = read_loads(of({"loads": [RANK | {"token_usage": value}] * ranks}))
    assert usage is not None
    assert usage.gauges.kv_usage is None


def test_sums_over_ranks_are_bounded_too() -> None:
    reading = read_loads(of({"loads": [RANK | {"num_running_reqs": 2**53, "max_total_num_tokens": 2**53}] * 6}))
    assert reading is not None
    assert (reading.gauges.running, reading.gauges.waiting, reading.facts.kv_tokens) == (None, 12, None)
    old = [{"num_reqs": 2**53, "num_waiting_reqs": 1}] * 6
    reading = read_loads(of(old))
    assert reading is not None
    assert (reading.gauges.running, reading.gauges.waiting) == (None, 6)


KEYS = st.sampled_from(
    [
        "loads",
        "data",
        "internal_states",
        "memory_usage",
        "default_generation_settings",
        "is_processing",
        "version",
        "total_slots",
        "n_ctx",
        "num_reqs",
        "num_running_reqs",
        "num_waiting_reqs",
        "token_usage",
        "token_capacity",
        "max_total_num_tokens",
        "max_total_tokens",
        "max_model_len",
        "max_running_requests",
        "build_info",
    ]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(values | st.dictionaries(KEYS, values))
def test_any_value_is_read_or_nothing(value: object) -> None:
    for read in READERS:
        reading = read(of(value))
        if reading is None:
            continue
        assert reading.gauges.running is None or reading.gauges.running >= 0
        assert reading.facts.kv_tokens is None or reading.facts.kv_tokens > 0
        for record in (reading.gauges, reading.facts):
            assert all(number <= MAX_NUMBER for number in astuple(record) if isinstance(number, int | float))


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("junk", [b"", b"null", b"[" * 100_000, b'{"loads":', b"\xff", b"<html>", b"[[1]]"])
def test_what_is_no_json_of_theirs_is_nothing(read: Reader, junk: bytes) -> None:
    assert read(junk) is None
