"""Valid files: text in, Settings out."""

import json
from collections.abc import Callable
from importlib import import_module
from ipaddress import ip_network
from pathlib import Path

import pytest

from penstock.config import ConfigError, load, load_text
from penstock.config.routing import routing_json
from penstock.config.settings import (
    Access,
    Address,
    Admin,
    Affinity,
    Backend,
    BackendTls,
    Bands,
    Cors,
    Drain,
    Limits,
    Log,
    Node,
    Parameters,
    PerTenant,
    Queue,
    Retry,
    Settings,
    Slo,
    Tier,
    Timeouts,
    Url,
)

MIB = 2**20


def test_minimal_file_gets_all_defaults(minimal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("penstock.config.values"), "auto_workers", lambda: 3)
    expected = Settings(
        source="p.yaml",
        listen=Address("127.0.0.1", 8080),
        listen_mode=0o600,
        admin=Admin(Address("127.0.0.1", 9180), listen_mode=0o600, token=None),
        workers=3,
        lane=True,
        limits=Limits(body=8 * MIB, head=16384, connections=10000, response=32 * MIB, event=MIB),
        access=Access(False, None, None),
        trusted_proxies=(),
        cors=Cors(()),
        drain=Drain(0.0, 60.0, 600.0),
        log=Log("auto", "info"),
        backends={
            "a1": Backend(
                "a1",
                Url("http", "h", 8000),
                4,
                dialect="openai",
                prefill_tokens=None,
                kv_tokens=None,
                weight=1.0,
                keep_alive=None,
                abort_grace=None,
                abort_hold=None,
                stream_whole=None,
                api_key=None,
                headers={},
                tls=None,
            )
        },
        tiers={
            "instant": Tier(
                name="instant",
                profile="instant",
                models=("m",),
                backends=("a1",),
                concurrency=None,
                share=4,
                slo=Slo(None, None),
                adaptive="observe",
                queue=Queue(requests=1024, tokens=2_000_000, bytes=256 * MIB, wait=2.0, per_tenant=PerTenant(256)),
                bands=Bands(high=8, normal=3, low=1),
                affinity=Affinity(prefix=True, header="x-session-id"),
                timeouts=Timeouts(connect=1.0, first_event=10.0, between_events=15.0, total=120.0),
                retry=Retry(0.1),
                parameters=Parameters({}, {}, None, "warn", allow=("enable_thinking", "thinking", "reasoning_effort")),
            )
        },
    )
    assert load_text(minimal, "p.yaml") == expected
    assert load_text(minimal, "p.yaml").warnings == ()


def test_every_key_arrives(example: str) -> None:
    engine = {
        "prefill_tokens": 8192,
        "kv_tokens": "auto",
        "weight": 1.5,
        "serves": "Qwen/Qwen3-8B",
        "dialect": "vllm",
        "keep_alive": 2.0,
        "abort_grace": 1.2,
        "abort_hold": 0.3,
        "stream_whole": True,
    }
    settings = load_text(example, "e")
    assert settings == Settings(
        source="e",
        workers=6,
        lane=False,
        listen=Address("0.0.0.0", 8080),
        admin=Admin(Address(path="/run/penstock/admin.sock"), listen_mode=0o660, token="adm1n"),
        limits=Limits(16 * MIB, 32768, 2000, 64 * MIB, 2 * MIB),
        access=Access(True, "x-tenant", "x-priority"),
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"), ip_network("192.0.2.7/32")),
        cors=Cors(("https://app.example", "http://localhost:3000", "app://notes")),
        drain=Drain(15.0, 90.0, 3600.0),
        log=Log("json", "warning"),
        nodes={"gpu-a": Node("gpu-a", 96), "gpu-b": Node("gpu-b", None)},
        backends={
            "a1": Backend(
                "a1",
                Url("http", "10.0.0.11", 8000),
                64,
                node="gpu-a",
                api_key="s3cret",
                **engine,  # type: ignore[arg-type]
            ),
            "a2": Backend(
                "a2",
                Url("https", "2001:db8::1", 443, "/llm"),
                64,
                node="gpu-b",
                headers={"x-api-key": "s3cret", "x-team": "blue"},
                tls=BackendTls("/etc/ca.pem", "/etc/client.pem", "/etc/client.key"),
                **engine,  # type: ignore[arg-type]
            ),
            "local": Backend("local", Url("unix", "localhost", 0, path="/run/engine.sock"), 0),
        },
        tiers={
            "instant": Tier(
                "instant",
                ("instant-model", "fast/model:8b"),
                ("a1", "a2"),
                "instant",
                128,
                share=6,
                slo=Slo(1.0, 0.06),
                adaptive="enforce",
                media_tokens=512,
                queue=Queue(512, 1_000_000, 128 * MIB, 0.5, PerTenant(64)),
                bands=Bands(5, 4, 2),
                affinity=Affinity(False, "x-conversation"),
                timeouts=Timeouts(2.0, 5.0, 10.0, 60.0),
                retry=Retry(0.125),
                parameters=Parameters(
                    {"max_tokens": 2048, "temperature": 0.7, "stop": ["\n\n"], "seed": None},
                    {"user": "${none}"},
                    8192,
                    "strict",
                    ("enable_thinking",),
                ),
            ),
            "thinking": Tier(
                "thinking",
                ("thinking-model",),
                ("a2",),
                "thinking",
                share=1,
                slo=Slo(30.0, 0.1),
                queue=Queue(wait=30.0),
                timeouts=Timeouts(1.0, 180.0, 120.0, 1800.0),
            ),
            "batch": Tier(
                "batch",
                ("batch-model",),
                ("local",),
                "thinking",
                share=1,
                slo=Slo(30.0, 0.1),
                queue=Queue(wait=30.0),
                timeouts=Timeouts(1.0, 180.0, 120.0, 1800.0),
            ),
        },
    )


@pytest.mark.parametrize(
    ("name", "line", "profile", "wait", "share", "slo"),
    [
        ("instant", "", "instant", 2.0, 4, Slo(None, None)),
        ("thinking", "", "thinking", 30.0, 1, Slo(30.0, 0.1)),
        ("other", "", "instant", 2.0, 4, Slo(None, None)),
        ("thinking", "profile: instant, ", "instant", 2.0, 4, Slo(None, None)),
        ("instant", "profile: thinking, ", "thinking", 30.0, 1, Slo(30.0, 0.1)),
        ("thinking", "queue: {wait: 1s}, share: 9, ", "thinking", 1.0, 9, Slo(30.0, 0.1)),
        ("instant", "slo: {inter_token: 60ms}, ", "instant", 2.0, 4, Slo(None, 0.06)),
        ("thinking", "slo: {first_token: 5m}, ", "thinking", 30.0, 1, Slo(300.0, 0.1)),
        ("thinking", "slo: {first_token: null, inter_token: ~}, ", "thinking", 30.0, 1, Slo(None, None)),
    ],
)
def test_profile_picks_the_defaults(
    minimal: str, name: str, line: str, profile: str, wait: float, share: int, slo: Slo
) -> None:
    tier = load_text(minimal.replace("instant: {", f"{name}: {{{line}"), "p").tiers[name]
    assert (tier.profile, tier.queue.wait, tier.share, tier.slo) == (profile, wait, share, slo)


@pytest.mark.parametrize("dialect", ["openai", "vllm", "llamacpp"])
def test_dialects_reach_the_core(minimal: str, dialect: str) -> None:
    settings = load_text(minimal.replace("url:", f"dialect: {dialect}, url:"), "p")
    assert settings.backends["a1"].dialect == dialect
    assert json.loads(routing_json(settings))["backends"][0]["dialect"] == dialect


@pytest.mark.parametrize("spelling", ["off", "false", '"off"', "False"])
def test_lane_off(minimal: str, spelling: str) -> None:
    assert load_text(f"lane: {spelling}\n{minimal}", "p").lane is False


@pytest.mark.parametrize("listen", ["127.0.0.1:1", "[::1]:1", "localhost:1", "unix:/run/p.sock", "127.9.9.9:0"])
def test_loopback_needs_no_permission(minimal: str, listen: str) -> None:
    assert str(load_text(f'listen: "{listen}"\n{minimal}', "p").listen) == listen


@pytest.mark.parametrize(
    ("text", "mode"),
    [("null", 0o600), ('"0600"', 0o600), ("'660'", 0o660), ('"0777"', 0o777), ('"0000"', 0), ("${T_MODE}", 0o660)],
)
def test_permissions_of_a_socket(minimal: str, text: str, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_MODE", "0660")
    listen = "listen: unix:/run/p.sock\nadmin: {listen: unix:/run/a.sock"
    assert load_text(f"{listen}}}\nlisten_mode: {text}\n{minimal}", "p").listen_mode == mode
    assert load_text(f"{listen}, listen_mode: {text}}}\n{minimal}", "p").admin.listen_mode == mode


def test_secrets_are_not_in_the_repr(example: str) -> None:
    assert "s3cret" not in repr(load_text(example, "e"))
    assert "adm1n" not in repr(load_text(example, "e"))


def test_unused_names_are_warnings(minimal: str) -> None:
    text = minimal.replace("tiers:", "  a2: {url: http://h, concurrency: 1}\nnodes:\n  gpu: {}\ntiers:")
    assert [str(warning) for warning in load_text(text, "p.yaml").warnings] == [
        "p.yaml:3:3: backends.a2: no tier uses it",
        "p.yaml:5:3: nodes.gpu: no backend uses it",
    ]


def test_byte_order_mark_is_ignored(minimal: str, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + minimal.encode())
    assert load(path).source == str(path)


def _raw(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, ": cannot read the file: No such file or directory"),
        (Path.mkdir, ": cannot read the file: Is a directory"),
        (_raw(b"\n"), ": the file is empty"),
        (_raw(b"# nothing\n---\n"), ": the file is empty"),
        (_raw(b"- a\n- b\n"), ":1:1: the file must hold keys and values, not a list"),
        (_raw(b"penstock\n"), ":1:1: the file must hold keys and values, not a string"),
        (_raw(b"a: 1\nb: \xc3\xa9\xff\n"), ":2:5: not valid UTF-8: the byte 0xFF"),
        (_raw(b"a: 1\nbb: \x00\n"), ":2:5: not valid YAML: the character U+0000 is not allowed"),
        (_raw(b"\xff\xfea\x00"), ":1:1: not valid UTF-8: the byte 0xFF"),
        (_raw(b"# " + b"x" * 10_000_000), ": the file is larger than 1 MiB"),
        (_raw(b"[" * 100_000), ":1:65: " + "[0]" * 64 + ": nested more than 64 deep"),
        (_raw(b"a: 1\n---\nb: 1\n"), ":2:1: the file holds more than one YAML document"),
        (_raw(b"a: [1,\nb: 2\n"), ":3:1: not valid YAML: expected ',' or ']', but got '<stream end>'"),
        (_raw(b'a: "\\UFFFFFFFF"\n'), ": not valid YAML: an escape or a number is out of range"),
        (_raw(b'a: "\\ud800"\n'), ":1:4: a: half of a surrogate pair is not a character"),
    ],
)
def test_files_that_are_none(tmp_path: Path, make: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "p.yaml"
    make(path)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert f"{path}{message}" in str(caught.value).split("\n")
