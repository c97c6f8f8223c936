"""One line of the tree is a key: it is read, has its defaults, is shown, described, and given to the Rust core."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

import pytest

from penstock.config import load_text
from penstock.config.form import WRONG, Place
from penstock.config.group import Group
from penstock.config.json_schema import json_schema
from penstock.config.loader import parse
from penstock.config.node import Mapping, Node
from penstock.config.problem import Report
from penstock.config.redact import redact
from penstock.config.routing import routing_json
from penstock.config.section import Key, Later, Section
from penstock.config.values import Duration, Token


class Inner(Section, frozen=True):
    """What is inside."""

    wait: Annotated[Duration, Key("How long", profiles={"slow": 60.0, "odd": 0.5})] = 2.0


class Outer(Section, frozen=True):
    """What is outside.

    Not for the schema.
    """

    LATER: ClassVar = ("soon",)
    PICKS: ClassVar = "kind"

    name: str
    kind: Annotated[Literal["fast", "slow", "odd"], Later("new"), Key("Which", by_name=lambda name: name or "fast")]
    key: Annotated[Token | None, Key("Secret")] = None
    inner: Inner = Inner()


def read(text: str) -> tuple[Any, Report]:
    report = Report("p.yaml")
    root = parse(text, report)
    return Group(Outer).read(root, Place(report, (), root.mark)), report


@pytest.mark.parametrize(
    ("text", "kind", "wait"),
    [
        ("key: k", "fast", 2.0),
        ("kind: slow", "slow", 60.0),
        ("inner: {}\nkind: odd", "odd", 0.5),
        ("inner: {wait: 3s}\nkind: slow", "slow", 3.0),
    ],
)
def test_a_key_picks_the_defaults_of_its_section_and_of_those_below(text: str, kind: str, wait: float) -> None:
    section, report = read(text)
    report.raise_errors()
    assert (section.kind, section.inner.wait) == (kind, wait)


@pytest.mark.parametrize(("text", "word"), [("kind: new", "new"), ("soon: 1", "soon")])
def test_words_and_keys_of_later_versions(text: str, word: str) -> None:
    section, report = read(text)
    assert section is WRONG
    with pytest.raises(Exception, match=f'"{word}" is not available in this version'):
        report.raise_errors()


def test_what_is_shown_holds_no_secret() -> None:
    section, _ = read("key: s3cret")
    assert section.key == "s3cret"
    assert "s3cret" not in repr(section)
    assert Group(Outer).show(section) == {"kind": "fast", "key": "<redacted>", "inner": {"wait": "2s"}}


def test_the_schema_says_what_the_declaration_says() -> None:
    outer, inner = Group(Outer).definition(), Group(Inner).definition()
    assert outer["description"] == "What is outside."
    assert outer["properties"]["inner"] == {"$ref": "#/$defs/Inner"}
    assert outer["properties"]["kind"]["anyOf"][0] == {"enum": ["fast", "odd", "slow"]}
    assert inner["properties"]["wait"]["description"] == "How long; slow 1m, odd 500ms, else 2s"


def described(section: str, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys in the JSON Schema; ``*`` stands for any name."""
    for key, schema in json_schema()["$defs"][section]["properties"].items():
        yield (*path, key)
        below = (*path, key, "*") if "additionalProperties" in schema else (*path, key)
        for inner in set(re.findall(r"#/\$defs/(\w+)", json.dumps(schema))) - {"Reference"}:
            yield from described(inner, below)


def given(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all keys in a file, in the same form."""
    for name, entry in node.entries.items() if isinstance(node, Mapping) else ():
        inner = (*path, "*" if path in {("nodes",), ("backends",), ("tiers",)} else name)
        yield inner
        yield from given(entry.node, inner)


def test_the_example_has_every_key(example: str) -> None:
    """So a new key is covered by the tests that use the example."""
    assert set(described("Settings")) - set(given(parse(example, Report("e")))) == set()


def test_the_core_gets_every_key_that_is_routed(example: str) -> None:
    settings = load_text(example, "e")
    shown, routing = redact(settings), json.loads(routing_json(settings))
    renamed = {"retry": "retry_budget"}
    for tier in routing["tiers"]:
        assert {renamed.get(key, key) for key in shown["tiers"][tier["name"]]} | {"name"} == set(tier)
    for backend in routing["backends"]:
        kept = set(shown["backends"][backend["name"]]) - {"url", "api_key", "tls"}
        assert kept | {"name", "prefix", "headers"} == set(backend)
