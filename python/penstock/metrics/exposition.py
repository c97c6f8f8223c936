"""The metrics page: the core's numbers under their public names."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from penstock import __version__

if TYPE_CHECKING:
    from penstock._core import Segment
    from penstock.upstream.gauges import Gauges

__all__ = ["CONTENT_TYPE_LATEST", "page"]

STATES = ("unknown", "healthy", "slow_start", "ejected", "draining", "down")
HISTOGRAMS = {
    "queue_wait": ("queue_wait_seconds", "Time in the queue."),
    "first_token": ("time_to_first_token_seconds", "From arrival to the first meaningful event written."),
    "inter_token": ("inter_token_seconds", "Between pieces of an answer, the first excluded."),
    "duration": ("request_duration_seconds", "From arrival to the end."),
    "overhead": ("overhead_seconds", "Penstock's own time, queue excluded."),
}


def page(segment: Segment, engines: Mapping[str, Gauges]) -> bytes:
    """Return the page in the Prometheus text format. `engines`: by backend, the current gauges of its engine."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Numbers(segment, engines))
    return generate_latest(registry)


class _Numbers(Collector):
    def __init__(self, segment: Segment, engines: Mapping[str, Gauges]) -> None:
        self._segment = segment
        self._engines = engines

    def collect(self) -> Iterable[Metric]:
        numbers = self._segment.snapshot()
        yield from _requests(numbers)
        yield from _load(numbers)
        yield from _engines(self._engines)
        yield from _times(numbers["tiers"])
        yield from _process(numbers)


def _process(numbers: dict[str, Any]) -> Iterator[Metric]:
    workers = [((str(index),), worker) for index, worker in enumerate(numbers["workers"])]
    connections = ((name, worker["connections"]) for name, worker in workers)
    yield _gauge("connections", "Open client connections.", ["worker"], connections)
    lag = ((name, worker["loop_lag"]) for name, worker in workers)
    yield _gauge("loop_lag_seconds", "Lateness of the event loop, the worst of a second.", ["worker"], lag)
    yield _gauge("config_generation", "Generation of the running configuration.", [], [((), 1)])
    yield _gauge("config_last_reload_success", "Whether the last reload was accepted.", [], [((), 1)])
    yield _counter(
        "permits_leaked", "Permits that no request owned; must stay 0.", [], [((), numbers["permits_leaked"])]
    )
    dropped = [((), numbers["log_dropped"])]
    yield _counter("log_dropped", "Log lines dropped because nobody read them.", [], dropped)
    without = [((), numbers["series_dropped"])]
    yield _counter("series_dropped", "Counts that found no place among a process's series.", [], without)
    yield _gauge("build_info", "The version that runs.", ["version"], [((__version__,), 1)])


def _counter(name: str, text: str, labels: list[str], samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = CounterMetricFamily(f"penstock_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _gauge(name: str, text: str, labels: list[str], samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(f"penstock_{name}", text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _requests(numbers: dict[str, Any]) -> Iterator[Metric]:
    labels = ["tier", "model", "backend", "variant", "outcome", "term"]
    requests = (((t, m, b, "", outcome, term), n) for t, m, b, outcome, term, n in numbers["requests"])
    yield _counter("requests", "Inference requests that ended.", labels, requests)
    shed = (((tier, reason), n) for tier, reason, n in numbers["shed"])
    yield _counter("shed", "Requests turned away.", ["tier", "reason"], shed)
    attempts = (((backend, result), n) for backend, result, n in numbers["attempts"])
    yield _counter("upstream_attempts", "Attempts at a backend.", ["backend", "result"], attempts)
    normalised = (((backend, rule), n) for backend, rule, n in numbers["normalised"])
    yield _counter("normalised", "Answers put right, by rule.", ["backend", "rule"], normalised)
    tokens = [(("prompt",), numbers["prompt_tokens"]), (("output",), numbers["output_tokens"])]
    yield _counter("tokens", "Tokens as the backends report them.", ["direction"], tokens)
    yield _counter("client_aborts", "Clients that left before the end.", [], [((), numbers["client_aborts"])])


def _load(numbers: dict[str, Any]) -> Iterator[Metric]:
    tiers, backends = numbers["tiers"], numbers["backends"]
    inflight = (((tier["name"], backend), n) for tier in tiers for backend, n in tier["inflight"])
    yield _gauge("inflight", "Slots taken.", ["tier", "backend"], inflight)
    limits = itertools.chain(
        (((tier["name"], ""), tier["limit"]) for tier in tiers if tier["limit"] is not None),
        ((("", backend["name"]), backend["limit"]) for backend in backends),
    )
    yield _gauge("limit", "Slots that there are.", ["tier", "backend"], limits)
    depth = (((tier["name"],), tier["queue_depth"]) for tier in tiers)
    yield _gauge("queue_depth", "Requests that wait.", ["tier"], depth)
    states = (((b["name"], state), float(b["state"] == state)) for b in backends for state in STATES)
    yield _gauge("backend_state", "The backend's state, one-hot.", ["backend", "state"], states)
    nodes = (((name,), limit) for name, limit, _ in numbers["nodes"] if limit is not None)
    yield _gauge("node_limit", "Slots of a GPU node.", ["node"], nodes)
    drift = (((backend, signal), n) for backend, signal, n in numbers["drift"])
    yield _counter("drift", "Signs that a backend is not as assumed.", ["backend", "signal"], drift)


def _engines(engines: Mapping[str, Gauges]) -> Iterator[Metric]:
    """Show only current gauges: an old number would look like load."""

    def current(name: str) -> Iterator[tuple[tuple[str, ...], float]]:
        values = ((backend, getattr(gauges, name)) for backend, gauges in engines.items())
        return (((backend,), value) for backend, value in values if value is not None)

    yield _gauge("engine_running", "Requests in the engine's batch, by its own word.", ["backend"], current("running"))
    yield _gauge("engine_waiting", "Requests in the engine's own queue.", ["backend"], current("waiting"))
    yield _gauge("engine_kv_usage", "Used part of the engine's KV memory, 0 to 1.", ["backend"], current("kv_usage"))
    preemptions = current("preemptions")
    yield _counter("engine_preemptions", "Requests thrown out of the engine's batch.", ["backend"], preemptions)


def _times(tiers: list[dict[str, Any]]) -> Iterator[Metric]:
    for key, (name, text) in HISTOGRAMS.items():
        family = HistogramMetricFamily(f"penstock_{name}", text, labels=["tier", "variant"])
        for tier in tiers:
            buckets, total = tier[key]
            counts = itertools.accumulate(count for _, count in buckets)
            bounds = ("+Inf" if bound == float("inf") else f"{bound:.12g}" for bound, _ in buckets)
            family.add_metric([tier["name"], ""], list(zip(bounds, counts, strict=True)), total)
        yield family
