"""`penstock guide configuration` has every key of the file's schema with its default, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from click.testing import CliRunner
from tests.unit.guide.pages import name, names, section, table

from penstock.cli.check import check
from penstock.cli.config import config
from penstock.config.section import Section
from penstock.config.settings import Settings

PROFILES = """
backends: {a: {url: "http://h", concurrency: 1}}
tiers:
  instant: {models: [m], backends: [a]}
  thinking: {models: [n], backends: [a]}
"""
# Its default is neither the schema's nor the same for all tiers: it goes by the tier's name.
BY_NAME = "tiers.*.profile"


@cache
def schema() -> dict[str, Any]:
    result = CliRunner().invoke(config, ["schema"])
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@cache
def effective(folder: Path) -> dict[str, Any]:
    """Return what is in force where the file says next to nothing."""
    (file := folder / "penstock.yaml").write_text(PROFILES)
    result = CliRunner().invoke(config, ["show", "-c", str(file), "--json"], catch_exceptions=False)
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def keys(node: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], dict[str, Any], bool]]:
    """Yield the path of each key that is no section, what the schema says of it, and whether it must be given."""
    if reference := reference_of(node):
        node = schema()["$defs"][reference]
    for key, value in node["properties"].items():
        inner = value.get("additionalProperties")
        if reference_of(value):
            yield from keys(value, (*path, key))
        elif isinstance(inner, dict) and reference_of(inner):
            yield from keys(inner, (*path, key, "*"))
        else:
            yield (*path, key), value, key in node.get("required", ())


def reference_of(node: dict[str, Any]) -> str | None:
    """Return the section that a value is, if it is one; null beside it does not count."""
    options = [option for option in node.get("anyOf", [node]) if option.get("type") != "null"]
    reference: str = options[0].get("$ref", "") if len(options) == 1 else ""
    return reference.removeprefix("#/$defs/") or None


def text_of(value: object) -> str:
    """Return a default as the page writes it."""
    if value is None:
        return "none"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    return f"`{value if isinstance(value, str) else json.dumps(value)}`"


def by_profile(path: tuple[str, ...], folder: Path) -> str:
    """Return the defaults of both profiles."""
    tiers = effective(folder)["tiers"]
    found = []
    for tier in ("instant", "thinking"):
        value = tiers[tier]
        for key in path[2:]:
            value = value[key]
        found.append(text_of(value))
    return ", ".join(dict.fromkeys(found))


def said() -> dict[str, str]:
    """Return the default of each key, as the page has it."""
    found = {}
    for title, prefix in (("Top level", ""), ("Backends", "backends.*."), ("Tiers", "tiers.*.")):
        for row in re.findall(r"^\| (`[^|]+`) \| ([^|]+) \|", section("configuration", title), re.MULTILINE):
            found[prefix + name(row[0])] = row[1]
    return found


def test_every_key_and_no_other() -> None:
    assert sorted(said()) == sorted(".".join(path) for path, _, _ in keys(schema()))


def test_their_defaults(tmp_path: Path) -> None:
    wanted = {}
    for path, value, is_required in keys(schema()):
        key = ".".join(path)
        if is_required:
            wanted[key] = "required"
        elif key == BY_NAME:
            wanted[key] = "by its name"
        elif "default" in value:
            wanted[key] = same_size(text_of(value["default"]))
        else:
            wanted[key] = by_profile(path, tmp_path)
    assert said() == wanted


def same_size(text: str) -> str:
    """Return a duration as the page has it: ``60s`` and ``1m`` are one."""
    return {"`60s`": "`1m`", "`600s`": "`10m`"}.get(text, text)


def test_the_timers_of_a_stream_are_the_timeouts() -> None:
    rows = table("streams", "key under `timeouts`")
    timeouts = {path[-1] for path, _, _ in keys(schema()) if path[-2:-1] == ("timeouts",)}
    assert {name(row["key under `timeouts`"]) for row in rows} == timeouts


def later() -> list[str]:
    text = section("configuration", "Not available in this version")
    return names(text[: text.index(". The file")])


def test_the_keys_of_later_versions() -> None:
    assert sorted(later()) == sorted(keys_of_later_versions(Settings))


def keys_of_later_versions(section: type[Section], path: str = "") -> Iterator[str]:
    """Yield the paths of the keys that the sections of the tree refuse as not available."""
    yield from (path + name for name in section.LATER)
    for key, hint in get_type_hints(section).items():
        options = [option for option in (hint, *get_args(hint)) if isinstance(option, type)]
        for inner in options:
            if issubclass(inner, Section):
                yield from keys_of_later_versions(
                    inner, f"{path}{key}.*." if get_origin(hint) is dict else f"{path}{key}."
                )


@pytest.mark.parametrize("key", later())
def test_they_are_refused(key: str, tmp_path: Path) -> None:
    value: Any = "x"
    for part in reversed(key.split(".")):
        value = {"a" if part == "*" else part: value}
    (file := tmp_path / "penstock.yaml").write_text(json.dumps(value))
    result = CliRunner().invoke(check, ["-c", str(file)])
    assert result.exit_code == 2
    assert f'"{key.rpartition(".")[2]}" is not available in this version' in result.stderr
