"""Variables and secret files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from penstock.config import load_text

Refuse = Callable[[str], list[str]]


def with_default(minimal: str, value: str) -> str:
    return minimal.replace("{models", f"{{parameters: {{default: {{x: {value}}}}}, models")


def loaded(minimal: str, value: str) -> Any:
    """What a free value of the file becomes."""
    return load_text(with_default(minimal, value), "p").tiers["instant"].parameters.default["x"]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"SLOTS": "64", "WORD": "w", "EMPTY": "", "YAML": "{a: [1]}", "KEY": "12345"}.items():
        monkeypatch.setenv(f"T_{name}", value)
    monkeypatch.delenv("T_UNSET", raising=False)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${T_SLOTS}", 64),
        ('"${T_SLOTS}"', "64"),
        ("'${T_SLOTS}'", "64"),
        ("a${T_SLOTS}b", "a64b"),
        ("${T_SLOTS}${T_SLOTS}", "6464"),
        ("${T_UNSET:-true}", True),
        ("${T_UNSET:-0o17}", 15),
        ('"${T_UNSET:-a b, c}"', "a b, c"),
        ("${T_UNSET:-}", ""),
        ("${T_EMPTY}", ""),
        ("${T_EMPTY:-d}", "d"),
        ("${T_WORD:-d}", "w"),
        ("$${T_WORD}", "${T_WORD}"),
        ("$$${T_WORD}", "$${T_WORD}"),
        ("$T_WORD $", "$T_WORD $"),
        ("${T_YAML}", "{a: [1]}"),
        ('"$${"', "${"),
    ],
)
def test_values(minimal: str, written: str, value: object) -> None:
    result = loaded(minimal, written)
    assert result == value
    assert type(result) is type(value)


def test_references_work_in_block_and_flow_style(minimal: str) -> None:
    flow = "admin: {listen: 127.0.0.1:9180, token: ${T_WORD}}\n"
    block = "admin:\n  token: ${T_WORD}\n"
    for text in (flow, block):
        assert load_text(text + minimal, "p").admin.token == "w"


def test_a_string_that_looks_like_a_number_stays_a_string_where_one_is_expected(minimal: str) -> None:
    text = minimal.replace("concurrency: 4", "concurrency: ${T_SLOTS}, api_key: ${T_KEY}, serves: ${T_SLOTS}")
    backend = load_text(text, "p").backends["a1"]
    assert (backend.concurrency, backend.request_headers, backend.serves) == (
        64,
        (("authorization", "Bearer 12345"),),
        "64",
    )


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("${T_UNSET}", "the environment variable T_UNSET is not set"),
        ("a ${T_UNSET} b", "the environment variable T_UNSET is not set"),
        ('"${1}"', "expected ${NAME} or ${NAME:-default} after $; write $${ for the text ${"),
        ('"${T_WORD"', "expected ${NAME} or ${NAME:-default} after $; write $${ for the text ${"),
        ("file:secret", "file: takes an absolute path, such as file:/run/secrets/key"),
        ("file:/none/such", "cannot read /none/such: No such file or directory"),
        ("file:/dev/zero", "/dev/zero is not a regular file"),
        ("file:/tmp", "/tmp is not a regular file"),
    ],
)
def test_problems(minimal: str, refuse: Refuse, written: str, problem: str) -> None:
    place = "p.yaml:4:39: tiers.instant.parameters.default.x"
    assert refuse(with_default(minimal, written)) == [f"{place}: {problem}"]


def test_an_unset_variable_is_the_only_problem_of_its_place(minimal: str, refuse: Refuse) -> None:
    text = minimal.replace("concurrency: 4", "concurrency: ${T_UNSET}, node: ${T_UNSET}")
    assert refuse(text) == [
        "p.yaml:2:41: backends.a1.concurrency: the environment variable T_UNSET is not set",
        "p.yaml:2:59: backends.a1.node: the environment variable T_UNSET is not set",
    ]


def test_secret_files(minimal: str, refuse: Refuse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    monkeypatch.setenv("T_DIR", str(tmp_path))
    for content, value in ((b"64\n", "64"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b"${T_WORD}", "${T_WORD}"), (b"", "")):
        secret.write_bytes(content)
        assert loaded(minimal, f"file:{secret}") == value
        assert loaded(minimal, '"file:${T_DIR}/secret"') == value
    for content, message in ((b"\xff", "is not valid UTF-8"), (b"x" * 65537, "is larger than 64 KiB")):
        secret.write_bytes(content)
        assert refuse(with_default(minimal, f"file:{secret}"))[0].endswith(f": {secret} {message}")
    secret.unlink()
    os.mkfifo(secret)
    assert refuse(with_default(minimal, f"file:{secret}"))[0].endswith(f": {secret} is not a regular file")


def test_secrets_are_not_in_messages(minimal: str, refuse: Refuse, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3 cret\n")
    text = minimal.replace("concurrency: 4", f"concurrency: 4, api_key: file:{tmp_path}/secret")
    assert "s3" not in "".join(refuse(text)).replace(str(tmp_path), "")


def test_variables_in_keys_are_left_alone(minimal: str) -> None:
    text = minimal.replace("{models", "{parameters: {default: {'${T_WORD}': 1}}, models")
    assert load_text(text, "p").tiers["instant"].parameters.default == {"${T_WORD}": 1}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("Null", None),
        ("", None),
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2001-01-01", "2001-01-01"),
        ("=", "="),
        ('"010"', "010"),
        ("'true'", "true"),
        ("{1: a, true: b}", {"1": "a", "true": "b"}),
        ("[&a {y: 1}, *a]", [{"y": 1}, {"y": 1}]),
        ("{<<: {a: 1, b: 2}, b: 3}", {"a": 1, "b": 3}),
        ("{b: 3, <<: [{a: 1}, {a: 2, b: 2, c: 2}]}", {"a": 1, "b": 3, "c": 2}),
        ("{'<<': 1}", {"<<": 1}),
    ],
)
def test_core_schema(minimal: str, written: str, value: object) -> None:
    result = loaded(minimal, written)
    assert result == value
    assert type(result) is type(value)
