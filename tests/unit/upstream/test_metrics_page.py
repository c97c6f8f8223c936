"""Metrics pages: recorded ones, ones with other numbers, old names, many ranks, and junk."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.upstream.gauges import MAX_NUMBER, Counted, EngineFamily, Facts, Gauges
from penstock.upstream.metrics_page import MAX_LINE_BYTES, MAX_SAMPLES, NAMES, read_metrics

from .recorded import changed, page

VLLM = page("vllm-0.32.0", "metrics")
TGI = page("tgi-3.3.6", "metrics")
LLAMACPP = page("llama-server-b11549", "metrics")


def gauges(body: bytes) -> Gauges:
    reading = read_metrics(body)
    assert reading is not None
    return reading.gauges


def facts(body: bytes) -> Facts:
    reading = read_metrics(body)
    assert reading is not None
    return reading.facts


def test_recorded_vllm() -> None:
    assert gauges(VLLM) == Gauges(
        running=0,
        waiting=0,
        kv_usage=0.0,
        preemptions=0,
        prefix_queries=586,
        prefix_hits=0,
        steps=807,
        counted=Counted.STEP,
    )
    assert facts(VLLM) == Facts(EngineFamily.VLLM, kv_tokens=1048576)


def test_recorded_tgi() -> None:
    assert gauges(TGI) == Gauges(running=0, waiting=0, counted=Counted.NOW)
    assert facts(TGI) == Facts(EngineFamily.TGI)


def test_recorded_llamacpp() -> None:
    assert gauges(LLAMACPP) == Gauges(running=0, waiting=0, counted=Counted.NOW)
    assert facts(LLAMACPP) == Facts(EngineFamily.LLAMACPP)


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("ollama-0.33", "metrics"),
        ("transformers-5.17", "metrics"),
        ("vllm-0.32.0", "models"),
        ("llama-server-b11549", "props"),
    ],
)
def test_a_page_of_something_else_is_nothing(server: str, name: str) -> None:
    assert read_metrics(page(server, name)) is None


def test_numbers_of_a_busy_server() -> None:
    busy = changed(VLLM, num_requests_running=17, kv_cache_usage_perc=0.75, num_preemptions_total=3)
    assert (gauges(busy).running, gauges(busy).kv_usage, gauges(busy).preemptions) == (17, 0.75, 3)
    busy = changed(TGI, tgi_batch_current_size=9, tgi_queue_size=2)
    assert (gauges(busy).running, gauges(busy).waiting) == (9, 2)
    busy = changed(LLAMACPP, requests_processing=4, requests_deferred=60)
    assert (gauges(busy).running, gauges(busy).waiting) == (4, 60)


def test_what_waits_for_room_goes_before_what_waits() -> None:
    deferred = VLLM.replace(b'reason="deferred"} 0.0', b'reason="deferred"} 5.0')
    assert deferred != VLLM
    assert gauges(changed(deferred, num_requests_waiting=5)).waiting == 0
    old = b"\n".join(line for line in deferred.split(b"\n") if b"by_reason" not in line)
    assert gauges(changed(old, num_requests_waiting=5)).waiting == 5


def test_old_names_of_vllm() -> None:
    old = (
        VLLM.replace(b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc")
        .replace(b"vllm:prefix_cache", b"vllm:gpu_prefix_cache")
        .replace(b"vllm:iteration_tokens", b"vllm:other")
    )
    assert gauges(changed(old, gpu_cache_usage_perc=0.5)) == Gauges(
        running=0,
        waiting=0,
        kv_usage=0.5,
        preemptions=0,
        prefix_queries=586,
        prefix_hits=0,
        steps=830,  # the tokens generated
        counted=Counted.STEP,
    )


def test_kv_size_of_an_older_vllm() -> None:
    old = VLLM.replace(b'kv_cache_size_tokens="1048576",', b"")
    assert old != VLLM
    assert facts(old).kv_tokens == 8192 * 128
    assert facts(old.replace(b'num_gpu_blocks="8192"', b'num_gpu_blocks="None"')).kv_tokens is None
    unknown = VLLM.replace(b'kv_cache_size_tokens="1048576"', b'kv_cache_size_tokens="None"')
    assert facts(unknown).kv_tokens == 8192 * 128


def test_data_parallel_ranks_of_vllm_add_up() -> None:
    second = VLLM.replace(b'engine="0"', b'engine="1"')
    two = changed(VLLM, num_requests_running=3, kv_cache_usage_perc=0.25) + changed(
        second, num_requests_running=4, kv_cache_usage_perc=0.5
    )
    assert (gauges(two).running, gauges(two).kv_usage) == (7, 0.5)
    assert facts(two).kv_tokens == 2 * 1048576


# SGLang has no recording: these pages are made by its names and labels.
def sglang(rank: str, running: int, waiting: int, more: str = "") -> bytes:
    labels = f'model_name="m",engine_type="unified",{rank}{more}'
    return (
        f"# TYPE sglang:num_running_reqs gauge\n"
        f"sglang:num_running_reqs{{{labels}}} {running}.0\n"
        f"sglang:num_queue_reqs{{{labels}}} {waiting}.0\n"
        f"sglang:token_usage{{{labels}}} 0.28\n"
        f"sglang:num_retracted_requests_total{{{labels}}} 2.0\n"
        f"sglang:max_total_num_tokens{{{labels}}} 163642.0\n"
        f"sglang:context_len{{{labels}}} 131072.0\n"
    ).encode()


SGLANG_REQUESTS = b"""\
sglang:prompt_tokens_total{model_name="m",is_streaming="true"} 8.128902e+06
sglang:prompt_tokens_total{model_name="m",is_streaming="false"} 1000.0
sglang:cached_tokens_total{cache_source="device",model_name="m"} 300.0
sglang:cached_tokens_total{cache_source="host",model_name="m"} 30.0
"""


def test_sglang() -> None:
    body = sglang('tp_rank="0",pp_rank="0"', 12, 3) + SGLANG_REQUESTS
    assert gauges(body) == Gauges(
        running=12,
        waiting=3,
        kv_usage=0.28,
        preemptions=2,
        prefix_queries=8129902,
        prefix_hits=330,
        counted=Counted.LOGGED,
    )
    assert facts(body) == Facts(EngineFamily.SGLANG, kv_tokens=163642, context=131072)


def test_ranks_that_share_their_requests_count_once() -> None:
    shared = [sglang(f'tp_rank="{rank}",pp_rank="0"', running, 3) for rank, running in enumerate([12, 11])]
    assert gauges(b"".join(shared)).running == 12
    assert facts(b"".join(shared)).kv_tokens == 163642
    apart = [sglang(f'tp_rank="{rank}",dp_rank="{rank}"', running, 1) for rank, running in enumerate([12, 11])]
    assert (gauges(b"".join(apart)).running, gauges(b"".join(apart)).waiting) == (23, 2)
    assert facts(b"".join(apart)).kv_tokens == 2 * 163642


def test_priorities_are_parts_of_the_total_beside_them() -> None:
    total = sglang('tp_rank="0"', 5, 4, ',priority=""')
    parts = [sglang('tp_rank="0"', 2, 1, f',priority="{priority}"') for priority in ("0", "10", "None")]
    assert gauges(total + b"".join(parts)).running == 5
    assert gauges(b"".join(parts) + total).waiting == 4


@pytest.mark.parametrize("value", [b"NaN", b"+Inf", b"-1", b"1e300", b"many", b"", b"1_0"])
def test_what_is_no_number_is_passed_over(value: bytes) -> None:
    body = LLAMACPP.replace(b"requests_processing 0", b"requests_processing " + value)
    assert body != LLAMACPP
    assert gauges(body) == Gauges(waiting=0, counted=Counted.NOW)


def ranks(name: str, *values: str, labels: str = "") -> bytes:
    lines = [f'{name}{{engine="{rank}"{labels}}} {value}\n' for rank, value in enumerate(values)]
    return "".join(lines).encode()


# The largest that is believed, and sums and products of what is believed that are not.
@pytest.mark.parametrize(
    ("values", "total"),
    [
        ([str(MAX_NUMBER)], MAX_NUMBER),
        ([str(MAX_NUMBER - 2), "1", "1"], MAX_NUMBER),
        ([str(MAX_NUMBER), "1"], None),
        ([str(MAX_NUMBER)] * 6, None),
        (["4e18"] * 6, None),
        (["1e15"] * 4000, None),
        (["1e308"] * 6, None),
    ],
)
@pytest.mark.parametrize("engine", NAMES)
def test_absurd_numbers_are_no_gauges(engine: EngineFamily, values: list[str], total: int | None) -> None:
    names = NAMES[engine]
    for name in ("running", "waiting", "preemptions", "prefix_queries", "prefix_hits", "steps"):
        for spelled in getattr(names, name):
            reading = read_metrics(ranks(spelled, *values))
            assert (reading and getattr(reading.gauges, name)) == total
    for spelled in names.kv_tokens:
        body = ranks(names.running[0], "1") + ranks(spelled, *values)
        assert facts(body).kv_tokens == total
    for spelled in names.context:
        body = ranks(names.running[0], "1") + ranks(spelled, "4e18")
        assert facts(body).context is None


def test_an_absurd_kv_memory_is_no_fact() -> None:
    blocks = VLLM.replace(b'kv_cache_size_tokens="1048576"', b'kv_cache_size_tokens="None"')
    blocks = blocks.replace(b'num_gpu_blocks="8192"', b'num_gpu_blocks="999999999999999"')
    assert blocks.count(b"999999999999999") == 1
    assert facts(blocks).kv_tokens is None
    many = ranks("vllm:cache_config_info", *["1"] * 20, labels=',kv_cache_size_tokens="999999999999999"')
    assert facts(VLLM).kv_tokens == 1048576
    assert facts(many + ranks("vllm:num_requests_running", "1")).kv_tokens is None


def test_a_percentage_is_no_part() -> None:
    assert gauges(changed(VLLM, kv_cache_usage_perc=45.6)).kv_usage is None


def test_a_bad_line_does_not_hide_the_next() -> None:
    bad = b'vllm:num_requests_running{engine="0 3\nvllm:num_requests_running{{}} 4\n\xff\xfe{\n# TYPE\n'
    assert gauges(bad + VLLM + bad).running == 0
    assert gauges(VLLM.replace(b"\n", b"\r\n")) == gauges(VLLM)


def test_names_that_begin_alike_are_not_confused() -> None:
    assert read_metrics(b"llamacpp:requests_processing_seconds 5\n") is None


def test_bounds() -> None:
    label = b'llamacpp:requests_processing{x="%s"} 1\n'
    longest = label % (b"y" * (MAX_LINE_BYTES - len(label) + 3))
    assert gauges(longest).running == 1
    assert read_metrics(label % (b"y" * (MAX_LINE_BYTES - len(label) + 4))) is None
    most = b"".join(b'llamacpp:requests_processing{x="%d"} 1\n' % at for at in range(MAX_SAMPLES))
    assert gauges(most).running == MAX_SAMPLES
    assert read_metrics(most + b"llamacpp:requests_processing 1\n") is None


@given(st.binary(max_size=200), st.sampled_from([name for names in NAMES.values() for name in names.running]))
def test_any_bytes_after_a_name(junk: bytes, name: str) -> None:
    reading = read_metrics(name.encode() + junk)
    assert reading is None or reading.gauges.running is not None


@given(st.text('{}",=\\ #0123456789.eE+-NaInf_\t', max_size=60))
def test_any_labels_and_values(junk: str) -> None:
    reading = read_metrics(f"vllm:num_requests_running{junk}\n".encode() + VLLM)
    assert reading is not None
    assert reading.gauges.running is not None and reading.gauges.running >= 0


def test_a_page_cut_or_spoiled_anywhere() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    random_numbers = random.Random(seed)
    for _ in range(200):
        body = bytearray(LLAMACPP[: random_numbers.randrange(len(LLAMACPP))])
        for _ in range(min(len(body), 20)):
            body[random_numbers.randrange(len(body))] = random_numbers.randrange(256)
        read_metrics(bytes(body))
