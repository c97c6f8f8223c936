"""The metrics page: what the engines say of themselves."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from penstock._core import Segment
from penstock.config import load_text
from penstock.config.routing import routing_json
from penstock.metrics.exposition import page
from penstock.upstream.gauges import Gauges

CONFIG = """
backends:
  a: {url: "http://127.0.0.1:1", concurrency: 4}
  b: {url: "http://127.0.0.1:2", concurrency: 4}
tiers: {instant: {models: [fast], backends: [a, b]}}
"""


def engines(**said: Gauges) -> dict[tuple[str, str], float]:
    """Return the series of the engines, by name and backend."""
    segment = Segment(routing_json(load_text(CONFIG, "test.yaml")), shared=False)
    families = text_string_to_metric_families(page(segment, said).decode())
    samples = (sample for family in families for sample in family.samples)
    return {(s.name, s.labels["backend"]): s.value for s in samples if s.name.startswith("penstock_engine_")}


def test_what_the_engines_tell_and_nothing_else() -> None:
    said = engines(
        a=Gauges(running=3, waiting=0, kv_usage=0.25, preemptions=7, steps=99, prefix_hits=1), b=Gauges(running=1)
    )
    assert said == {
        ("penstock_engine_running", "a"): 3,
        ("penstock_engine_running", "b"): 1,
        ("penstock_engine_waiting", "a"): 0,
        ("penstock_engine_kv_usage", "a"): 0.25,
        ("penstock_engine_preemptions_total", "a"): 7,
    }
    assert engines(a=Gauges(), b=Gauges()) == {}
