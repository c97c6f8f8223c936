"""Fixtures of those unit tests that need a configuration and a run directory of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock.config import load_text
from penstock.config.settings import Settings

CONFIG = """
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0}
workers: 3
trusted_proxies: [10.0.0.0/8]
access: {tenant_header: x-tenant}
backends:
  a: {url: "http://127.0.0.1:9", concurrency: 4, headers: {x-key: secret}}
tiers:
  instant: {models: [m], backends: [a]}
"""


@pytest.fixture(autouse=True)
def run_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("PENSTOCK_ADMIN_TOKEN", raising=False)


@pytest.fixture
def settings() -> Settings:
    return load_text(CONFIG, "test.yaml")
