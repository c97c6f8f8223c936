"""`penstock check` and `penstock config`, as a shell sees them."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from penstock.cli.check import check
from penstock.cli.config import config
from penstock.config import load_text
from penstock.config.redact import redact, to_yaml


def run(command: Any, *arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(command, arguments, env=environment, catch_exceptions=False)


@pytest.fixture
def valid(tmp_path: Path, minimal: str) -> str:
    path = tmp_path / "penstock.yaml"
    path.write_text(minimal.replace("tiers:", "  a2: {url: http://h, concurrency: 1}\ntiers:"))
    return str(path)


@pytest.fixture
def invalid(tmp_path: Path, minimal: str) -> str:
    path = tmp_path / "penstock.yaml"
    path.write_text(minimal.replace("models:", "quue: {}, models:"))
    return str(path)


def test_check_valid(valid: str) -> None:
    result = run(check, "-c", valid)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == (
        f"warning: {valid}:3:3: backends.a2: no tier uses it\n{valid}: valid; tiers: instant; backends: a1, a2\n"
    )


def test_check_invalid(invalid: str) -> None:
    result = run(check, "-c", invalid)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        f'{invalid}:4:13: tiers.instant.quue: unknown key; did you mean "queue"?\n{invalid}: not valid; 1 error\n'
    )


def test_check_json(valid: str) -> None:
    result = run(check, "--json", PENSTOCK_CONFIG=valid)
    assert (result.exit_code, result.stderr) == (0, "")
    warning = {"file": valid, "line": 3, "path": "backends.a2", "message": "no tier uses it", "suggestion": None}
    assert json.loads(result.stdout) == {"valid": True, "errors": [], "warnings": [warning]}


def test_check_json_invalid(invalid: str) -> None:
    result = run(check, "-c", invalid, PENSTOCK_JSON="1")
    assert (result.exit_code, result.stderr) == (2, "")
    error = {
        "file": invalid,
        "line": 4,
        "path": "tiers.instant.quue",
        "message": "unknown key",
        "suggestion": "queue",
    }
    assert json.loads(result.stdout) == {"valid": False, "errors": [error], "warnings": []}


def test_check_of_no_file(tmp_path: Path) -> None:
    result = run(check, "-c", str(tmp_path / "none.yaml"), "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["errors"][0]["line"] is None


@pytest.mark.parametrize("command", [check, config])
def test_usage(command: Any) -> None:
    assert "Example:" in run(command, "--help").stdout
    assert run(check).exit_code == 2


@pytest.mark.parametrize("as_json", [False, True])
def test_show_hides_secrets_and_nothing_else(tmp_path: Path, example: str, as_json: bool) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text(example)
    result = run(config, "show", "-c", str(path), *(["--json"] if as_json else []))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "s3cret" not in result.stdout
    assert "adm1n" not in result.stdout
    shown = (json.loads if as_json else yaml.safe_load)(result.stdout)
    assert (shown["listen"], shown["listen_mode"]) == ("0.0.0.0:8080", None)
    assert shown["admin"] == {
        "listen": "unix:/run/penstock/admin.sock",
        "listen_mode": "0660",
        "token": "<redacted>",
    }
    assert (shown["workers"], shown["lane"]) == (6, "off")
    assert shown["access"] == {"allow_anonymous": True, "tenant_header": "x-tenant", "priority_header": "x-priority"}
    assert shown["trusted_proxies"] == ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]
    assert shown["cors"] == {"origins": ["https://app.example", "http://localhost:3000", "app://notes"]}
    assert shown["drain"] == {"delay": "15s", "instant": "90s", "thinking": "1h"}
    assert shown["backends"]["a2"] == {
        "url": "https://[2001:db8::1]/llm",
        "serves": "Qwen/Qwen3-8B",
        "dialect": "vllm",
        "node": "gpu-b",
        "concurrency": 64,
        "prefill_tokens": 8192,
        "kv_tokens": "auto",
        "weight": 1.5,
        "keep_alive": "2s",
        "abort_grace": "1.2s",
        "abort_hold": "300ms",
        "stream_whole": True,
        "api_key": None,
        "headers": {"x-api-key": "<redacted>", "x-team": "<redacted>"},
        "tls": {"ca": "/etc/ca.pem", "cert": "/etc/client.pem", "key": "/etc/client.key"},
    }
    assert shown["tiers"]["instant"]["queue"] == {
        "requests": 512,
        "tokens": 1_000_000,
        "bytes": "128MiB",
        "wait": "500ms",
        "per_tenant": {"requests": 64},
    }
    picked = ("share", "slo", "adaptive", "media_tokens", "bands", "affinity")
    assert {key: shown["tiers"]["instant"][key] for key in picked} == {
        "share": 6,
        "slo": {"first_token": "1s", "inter_token": "60ms"},
        "adaptive": "enforce",
        "media_tokens": 512,
        "bands": {"high": 5, "normal": 4, "low": 2},
        "affinity": {"prefix": False, "header": "x-conversation"},
    }
    assert shown["tiers"]["thinking"]["slo"] == {"first_token": "30s", "inter_token": "100ms"}
    assert shown["tiers"]["thinking"]["timeouts"] == {
        "connect": "1s",
        "first_event": "3m",
        "between_events": "2m",
        "total": "30m",
    }


def test_what_is_shown_is_a_file_with_the_same_meaning(minimal: str) -> None:
    value = '{parameters: {default: {a: "0o17", b: "1e3", c: "no", d: "~", e: 0.7, f: [null, true]}}, models'
    settings = load_text(minimal.replace("{models", value), "p")
    assert load_text(to_yaml(redact(settings)), "p") == settings


def test_show_of_a_bad_file(invalid: str) -> None:
    result = run(config, "show", "-c", invalid)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "tiers.instant.quue: unknown key" in result.stderr


def test_schema() -> None:
    result = run(config, "schema")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
