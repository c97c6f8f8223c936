"""The JSON Schema agrees with the loader, as far as a schema can."""

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest

from penstock.config.json_schema import json_schema
from penstock.config.loader import parse
from penstock.config.node import Mapping, Node, Scalar, Sequence
from penstock.config.problem import Report

from .later_keys import LATER_KEYS


def plain(node: Node) -> Any:
    """The file as an editor sees it: JSON values, references not replaced."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    assert isinstance(node, Mapping)
    return {name: plain(entry.node) for name, entry in node.entries.items()}


def validator() -> Any:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def errors(text: str) -> list[str]:
    document = plain(parse(text, Report("p.yaml")))
    return [error.json_path for error in validator().iter_errors(document)]


def test_it_accepts_the_examples(example: str, minimal: str) -> None:
    assert errors(example) == []
    assert errors(minimal) == []


def test_it_accepts_references_and_both_spellings_of_off(minimal: str) -> None:
    text = minimal.replace("concurrency: 4", "concurrency: ${N}, tls: {ca: file:/x}, keep_alive: ${T:-1s}")
    text = text.replace("url:", "weight: ${X}, kv_tokens: ${K:-auto}, url:").replace(
        "models:", "adaptive: false, models:"
    )
    assert errors(f"lane: false\nworkers: ${{W}}\ntrusted_proxies: [${{P}}]\n{text}") == []


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("concurrency: 4", "concurrency: -1"), "$.backends.a1.concurrency"),
        (("concurrency: 4", "concurrency: '4'"), "$.backends.a1.concurrency"),
        (("concurrency: 4", "concurrency: 1.5"), "$.backends.a1.concurrency"),
        ((", concurrency: 4", ""), "$.backends.a1"),
        (("concurrency: 4", "concurrency: 4, context: auto"), "$.backends.a1"),
        (("concurrency: 4", "concurrency: 4, dialect: auto"), "$.backends.a1.dialect"),
        (("http://h:8000", "ftp://h"), "$.backends.a1.url"),
        (("http://h:8000", "'http://h/?q'"), "$.backends.a1.url"),
        (("a1: {", "a 1: {"), "$.backends"),
        (("backends: [a1]", "backends: []"), "$.tiers.instant.backends"),
        (("models: [m]", "models: []"), "$.tiers.instant.models"),
        (("models: [m]", "models: m"), "$.tiers.instant.models"),
        (("models: [m]", "models: ['']"), "$.tiers.instant.models[0]"),
        (("models: [m], ", ""), "$.tiers.instant"),
        (("models:", "quue: {}, models:"), "$.tiers.instant"),
        (("models:", "queue: {wait: 2}, models:"), "$.tiers.instant.queue.wait"),
        (("models:", "queue: {wait: 2 s}, models:"), "$.tiers.instant.queue.wait"),
        (("models:", "timeouts: {total: 0s}, models:"), "$.tiers.instant.timeouts.total"),
        (("models:", "profile: slow, models:"), "$.tiers.instant.profile"),
        (("models:", "retry: {budget: 0.1}, models:"), "$.tiers.instant.retry.budget"),
        (("models:", "parameters: {default: {model: x}}, models:"), "$.tiers.instant.parameters.default"),
        (("models:", "parameters: {force: {stream_options: x}}, models:"), "$.tiers.instant.parameters.force"),
        (("models:", "parameters: {max_tokens: 0}, models:"), "$.tiers.instant.parameters.max_tokens"),
        (("backends:\n", "workers: 0\nbackends:\n"), "$.workers"),
        (("backends:\n", "workers: 65\nbackends:\n"), "$.workers"),
        (("backends:\n", "workers: all\nbackends:\n"), "$.workers"),
        (("backends:\n", "trusted_proxies: [proxy]\nbackends:\n"), "$.trusted_proxies[0]"),
        (("backends:\n", "cors: {origins: [a.example]}\nbackends:\n"), "$.cors.origins[0]"),
        (("backends:\n", "access: {tenant_header: 'a b'}\nbackends:\n"), "$.access.tenant_header"),
        (("url:", "weight: 0, url:"), "$.backends.a1.weight"),
        (("url:", "weight: auto, url:"), "$.backends.a1.weight"),
        (("url:", "kv_tokens: 0, url:"), "$.backends.a1.kv_tokens"),
        (("url:", "prefill_tokens: none, url:"), "$.backends.a1.prefill_tokens"),
        (("models:", "share: 0, models:"), "$.tiers.instant.share"),
        (("models:", "slo: {first_token: 0s}, models:"), "$.tiers.instant.slo.first_token"),
        (("models:", "adaptive: on, models:"), "$.tiers.instant.adaptive"),
        (("models:", "bands: {low: 0}, models:"), "$.tiers.instant.bands.low"),
        (("models:", "affinity: {header: ''}, models:"), "$.tiers.instant.affinity.header"),
        (("models:", "queue: {per_tenant: {requests: 0}}, models:"), "$.tiers.instant.queue.per_tenant.requests"),
        (("backends:\n", "lane: maybe\nbackends:\n"), "$.lane"),
        (("backends:\n", "limits: {body: 8}\nbackends:\n"), "$.limits.body"),
        (("backends:\n", "access: {allow_anonymous: yes}\nbackends:\n"), "$.access.allow_anonymous"),
        (("backends:\n", "open: true\nbackends:\n"), "$"),
        (("tiers:", "teirs:"), "$"),
    ],
)  # fmt: skip
def test_it_refuses_what_the_loader_refuses(
    minimal: str, refuse: Callable[[str], list[str]], change: tuple[str, str], path: str
) -> None:
    text = minimal.replace(*change)
    assert text != minimal
    assert refuse(text)
    assert path in errors(text)


def test_it_has_no_keys_of_later_versions() -> None:
    definitions = json_schema()["$defs"]
    places = {"limits": "Limits"}
    for *parents, key in LATER_KEYS:
        match parents:
            case []:
                owner = "Settings"
            case [section]:
                owner = places[section]
            case [section, "*"]:
                owner = section.removesuffix("s").title()
            case [*_, section]:
                owner = section.title()
        assert key not in definitions[owner]["properties"]


def test_every_key_is_described_or_a_section() -> None:
    for name, definition in json_schema()["$defs"].items():
        assert definition["description"], name
        for key, value in definition.get("properties", {}).items():
            assert "description" in value or "$ref" in value, f"{name}.{key}"
