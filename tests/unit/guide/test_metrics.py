"""`penstock guide metrics` has what /metrics, the log and the sources have, and nothing else."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from tests.unit.guide.pages import ROOT, letters_of, name, names, section, table, words_of

from penstock._core import Gateway, Segment
from penstock.config import load_text
from penstock.config.routing import routing_json
from penstock.metrics.exposition import page
from penstock.upstream.gauges import Gauges

CONFIG = """
nodes: {gpu: {concurrency: 8}}
backends: {a: {url: "http://127.0.0.1:1", concurrency: 4, node: gpu}}
tiers: {instant: {models: [fast], backends: [a], concurrency: 4}}
"""
# Loggers, and the channel over which the supervisor and the workers tell control what it is to log.
LOGS = {"debug", "info", "warning", "error", "exception", "send"}


def segment() -> Segment:
    return Segment(routing_json(load_text(CONFIG, "test.yaml")), shared=False)


def refusal(gateway: Gateway, code: str) -> None:
    """Have an inference request refused, counted and logged."""
    gateway.error_answer(code, "no", request_id=None, keep_alive=False, http10=False, counted=True)


def exposition() -> str:
    """Return the page after two refusals and a sign of drift, with an engine that tells all."""
    shared = segment()
    gateway = Gateway(shared, lambda *_: None)
    for code in ("invalid_json", "connection_limit"):
        refusal(gateway, code)
    shared.drift(0, "preemptions")
    return page(shared, {"a": Gauges(running=1, waiting=1, kv_usage=0.5, preemptions=1)}).decode()


def said() -> dict[str, tuple[str, set[str]]]:
    """Return kind and labels of each metric, by its name, as the page of the reference has them."""
    rows = table("metrics", "name", "type", "labels")
    return {
        f"penstock_{name(row['name'])}": (row["type"], set(filter(None, row["labels"].split(", ")))) for row in rows
    }


def labels_in(text: str) -> dict[str, set[str]]:
    """Return the labels of each metric that has a sample."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        of = f"{family.name}_total" if family.type == "counter" else family.name
        for sample in family.samples:
            found.setdefault(of, set()).update(set(sample.labels) - {"le"})
    return found


def test_every_metric_and_no_other() -> None:
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", exposition(), re.MULTILINE))
    assert kinds == {metric: kind for metric, (kind, _) in said().items()}


def test_their_labels() -> None:
    labels = labels_in(exposition())
    assert said().keys() - labels.keys() == {"penstock_upstream_attempts_total", "penstock_normalised_total"}
    assert labels == {metric: of for metric, (_, of) in said().items() if metric in labels}


def test_the_values_of_labels() -> None:
    rows = {row["label"]: row["values"] for row in table("metrics", "label", "values")}
    samples = [sample for family in text_string_to_metric_families(exposition()) for sample in family.samples]

    def values(label: str) -> set[str]:
        return {sample.labels[label] for sample in samples if label in sample.labels}

    assert set(names(rows["outcome"])) == set(words_of("Outcome"))
    assert set(names(rows["result"])) == set(words_of("AttemptResult"))
    assert set(names(rows["signal"])) == set(words_of("Drift"))
    assert set(names(rows["rule"])) == set(words_of("Rule"))
    assert set(names(rows["state"])) == values("state")
    assert set(names(rows["direction"])) == values("direction")


def test_the_states_of_a_backend_are_explained() -> None:
    rows = {row["label"]: row["values"] for row in table("metrics", "label", "values")}
    explained = {name(row["state of a backend"]) for row in table("limits", "state of a backend")}
    assert explained == set(names(rows["state"]))


def test_the_letters_of_term() -> None:
    assert {name(row["letter"]) for row in table("metrics", "letter", "who")} == set(letters_of("Who"))
    assert {name(row["letter"]) for row in table("metrics", "letter", "where")} == set(letters_of("Where"))
    terms = [term for term in names(section("metrics", "Who ended a request, and where")) if len(term) == 2]
    assert len(terms) > 8
    assert {who for who, _ in terms} <= set(letters_of("Who"))
    assert {where for _, where in terms} <= set(letters_of("Where"))


def test_every_field_of_a_requests_line() -> None:
    gateway = Gateway(segment(), lambda *_: None)
    refusal(gateway, "invalid_json")
    line: dict[str, Any] = json.loads(gateway.take_log())
    rows = table("metrics", "field of a request's line")
    fields = [field for row in rows for field in names(row["field of a request's line"])]
    assert sorted(fields) == sorted(line)


def test_every_event_of_the_log() -> None:
    logged: set[str] = set()
    for path in sorted((ROOT / "python/penstock").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr=attr), args=[ast.Constant(value=str(event)), *_]):
                    if attr in LOGS and event.isidentifier():
                        logged.add(event)
                case _:
                    pass
    assert len(logged) > 15
    events = [event for row in table("metrics", "event", "level") for event in names(row["event"])]
    assert sorted(events) == sorted(logged)
