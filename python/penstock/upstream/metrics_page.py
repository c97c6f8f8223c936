"""Reads a server's Prometheus page, by the metric names of all engine families, old and new."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

from penstock.upstream.gauges import Counted, EngineFamily, Facts, Gauges, Reading, number

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.samples import Sample

__all__ = ["read_metrics"]

# The parser takes time proportional to the square of a line's length; the longest line in use has 1.3 KB (vLLM's
# cache_config_info).
MAX_LINE_BYTES = 8 << 10
# A page with more samples of known names is not read, because it would block the event loop: this many, 20 names of 200
# ranks, take 80 ms.
MAX_SAMPLES = 4096


@dataclass(frozen=True, slots=True)
class MetricNames:
    """The metric names of an engine family: for each gauge all its names, newest first."""

    counted: Counted
    running: tuple[str, ...]
    waiting: tuple[str, ...]
    kv_usage: tuple[str, ...] = ()
    preemptions: tuple[str, ...] = ()
    prefix_queries: tuple[str, ...] = ()
    prefix_hits: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    kv_tokens: tuple[str, ...] = ()
    context: tuple[str, ...] = ()


NAMES = {
    EngineFamily.VLLM: MetricNames(
        counted=Counted.STEP,
        running=("vllm:num_requests_running",),
        waiting=("vllm:num_requests_waiting_by_reason", "vllm:num_requests_waiting"),
        kv_usage=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
        preemptions=("vllm:num_preemptions_total",),
        prefix_queries=("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
        prefix_hits=("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
        steps=("vllm:iteration_tokens_total_count", "vllm:generation_tokens_total"),
    ),
    EngineFamily.SGLANG: MetricNames(
        counted=Counted.LOGGED,
        running=("sglang:num_running_reqs",),
        waiting=("sglang:num_queue_reqs",),
        kv_usage=("sglang:token_usage",),
        preemptions=("sglang:num_retracted_requests_total",),
        prefix_queries=("sglang:prompt_tokens_total",),
        prefix_hits=("sglang:cached_tokens_total",),
        kv_tokens=("sglang:max_total_num_tokens",),
        context=("sglang:context_len",),
    ),
    EngineFamily.TGI: MetricNames(
        counted=Counted.NOW,
        running=("tgi_batch_current_size",),
        waiting=("tgi_queue_size",),
    ),
    EngineFamily.LLAMACPP: MetricNames(
        counted=Counted.NOW,
        running=("llamacpp:requests_processing",),
        waiting=("llamacpp:requests_deferred",),
        kv_usage=("llamacpp:kv_cache_usage_ratio",),
    ),
}
VLLM_CACHE = "vllm:cache_config_info"

STARTS = (
    *(name.encode() for names in NAMES.values() for row in astuple(names)[1:] for name in row),
    VLLM_CACHE.encode(),
)

# A sample with one of these labels counts only with this value: of the waiting requests only those that wait for room
# (vLLM), and of samples by priority only the total beside them (SGLang).
VALUES_THAT_COUNT = {"reason": "capacity", "priority": ""}
# Labels of processes that work on the same requests: their samples are copies, not parts to be added up. (Data-parallel
# ranks are parts.)
COPY_LABELS = {"tp_rank", "pp_rank", "moe_ep_rank", "attn_cp_rank"}


def read_metrics(page: bytes) -> Reading | None:
    """Read a page in the Prometheus text format; lines that are not understood are ignored."""
    samples = _samples(page)
    for engine, names in NAMES.items():
        gauges = Gauges(
            running=_total(samples, names.running),
            waiting=_total(samples, names.waiting),
            kv_usage=_fullest(samples, names.kv_usage),
            preemptions=_total(samples, names.preemptions),
            prefix_queries=_total(samples, names.prefix_queries),
            prefix_hits=_total(samples, names.prefix_hits),
            steps=_total(samples, names.steps),
        )
        if gauges == Gauges():
            continue
        facts = Facts(
            engine=engine,
            kv_tokens=_total(samples, names.kv_tokens) or _vllm_kv_tokens(samples),
            context=max((int(sample.value) for sample in _first(samples, names.context)), default=0) or None,
        )
        return Reading(gauges | Gauges(counted=names.counted), facts)
    return None


def _samples(page: bytes) -> dict[str, list[Sample]]:
    """Return the samples under a known name. Only their lines are parsed: 11 of 734 on vLLM's page."""
    lines = [line for line in page.splitlines() if line.startswith(STARTS) and len(line) <= MAX_LINE_BYTES]
    samples: dict[str, list[Sample]] = defaultdict(list)
    for line in lines if len(lines) <= MAX_SAMPLES else ():
        try:
            # The parser stops at the first bad line, so each line is parsed as a page of its own.
            families = list(text_string_to_metric_families(line.decode("utf-8", "replace")))
        except (ValueError, IndexError):  # IndexError is a bug of the parser, with an empty label name
            continue
        for family in families:
            for sample in family.samples:
                if _counts(sample):
                    samples[sample.name].append(sample)
    return samples


def _counts(sample: Sample) -> bool:
    labels = sample.labels
    wanted = all(labels.get(label, value) == value for label, value in VALUES_THAT_COUNT.items())
    return wanted and number(sample.value) is not None


def _first(samples: dict[str, list[Sample]], names: Iterable[str]) -> list[Sample]:
    """Return the samples of the first of the names that has any."""
    return next((samples[name] for name in names if name in samples), [])


def _total(samples: dict[str, list[Sample]], names: Iterable[str]) -> int | None:
    """Return the sum over all parts; of the copies of one part the largest is taken."""
    parts: dict[tuple[tuple[str, str], ...], float] = {}
    for sample in _first(samples, names):
        part = tuple(sorted(item for item in sample.labels.items() if item[0] not in COPY_LABELS))
        parts[part] = max(sample.value, parts.get(part, 0.0))
    return int(sum(parts.values())) if parts else None


def _fullest(samples: dict[str, list[Sample]], names: Iterable[str]) -> float | None:
    # Values above 1 are ignored: all known metrics here are fractions, not percentages.
    return max((sample.value for sample in _first(samples, names) if sample.value <= 1.0), default=None)


def _vllm_kv_tokens(samples: dict[str, list[Sample]]) -> int | None:
    """Return the size that vLLM gives in the labels of an information metric, one for each engine."""
    sizes: dict[str, int] = {}
    for sample in samples.get(VLLM_CACHE, ()):
        labels = sample.labels
        size = _number(labels.get("kv_cache_size_tokens"))
        size = size or _number(labels.get("num_gpu_blocks")) * _number(labels.get("block_size"))
        sizes[labels.get("engine", "")] = size
    return sum(sizes.values()) or None


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 16 else 0
