"""The keys that admission works from: their spellings, their types, and what they warn of."""

from importlib import import_module

import pytest

from penstock.config import load_text
from penstock.config.settings import Affinity

NEVER = "the header never counts: there are no trusted_proxies"
NOTHING = "nothing comes of it: access names no header"


@pytest.mark.parametrize(
    ("spelling", "adaptive"),
    [("off", "off"), ("false", "off"), ('"off"', "off"), ("observe", "observe"), ("enforce", "enforce")],
)
def test_adaptive(minimal: str, spelling: str, adaptive: str) -> None:
    text = minimal.replace("models:", f"adaptive: {spelling}, models:")
    assert load_text(text, "p").tiers["instant"].adaptive == adaptive


@pytest.mark.parametrize(
    ("key", "spelling", "value"),
    [
        ("prefill_tokens", "1", 1),
        ("prefill_tokens", "auto", "auto"),
        ("prefill_tokens", "null", None),
        ("kv_tokens", str(2**53), 2**53),
        ("kv_tokens", '"auto"', "auto"),
        ("kv_tokens", "${NOT_SET:-400000}", 400_000),
        ("kv_tokens", "${NOT_SET:-auto}", "auto"),
        ("weight", "2", 2.0),
        ("weight", "0.001", 0.001),
        ("weight", "1e3", 1000.0),
        ("stream_whole", "true", True),
        ("stream_whole", "false", False),
        ("stream_whole", "${NOT_SET:-true}", True),
    ],
)
def test_resources_of_a_backend(minimal: str, key: str, spelling: str, value: object) -> None:
    backend = load_text(minimal.replace("url:", f"{key}: {spelling}, url:"), "p").backends["a1"]
    assert (getattr(backend, key), type(getattr(backend, key))) == (value, type(value))


@pytest.mark.parametrize("workers", [1, 64])
def test_workers_given(minimal: str, workers: int) -> None:
    assert load_text(f"workers: {workers}\n{minimal}", "p").workers == workers


def test_workers_found(minimal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("penstock.config.values"), "auto_workers", lambda: 3)
    assert load_text(f"workers: auto\n{minimal}", "p").workers == 3


def test_a_header_that_draws_can_be_switched_off(minimal: str) -> None:
    text = minimal.replace("models:", "affinity: {header: null}, models:")
    assert load_text(text, "p").tiers["instant"].affinity == Affinity(prefix=True, header=None)


@pytest.mark.parametrize(
    ("lines", "warnings"),
    [
        ("access: {tenant_header: x-t}", [f"1:25: access.tenant_header: {NEVER}"]),
        (
            "access: {tenant_header: x-t, priority_header: x-p}\ntrusted_proxies: []",
            [
                f"1:25: access.tenant_header: {NEVER}",
                f"1:47: access.priority_header: {NEVER}",
            ],
        ),
        ("trusted_proxies: [10.0.0.0/8]", [f"1:18: trusted_proxies: {NOTHING}"]),
        ("access: {tenant_header: null}\ntrusted_proxies: [10.0.0.0/8]", [f"2:18: trusted_proxies: {NOTHING}"]),
        ("access: {priority_header: x-p}\ntrusted_proxies: [10.0.0.0/8]", []),
        ("access: {tenant_header: null}\ntrusted_proxies: []", []),
    ],
)  # fmt: skip
def test_headers_and_proxies_need_each_other(minimal: str, lines: str, warnings: list[str]) -> None:
    found = load_text(f"{lines}\n{minimal}", "p.yaml").warnings
    assert [str(warning) for warning in found] == [f"p.yaml:{warning}" for warning in warnings]
