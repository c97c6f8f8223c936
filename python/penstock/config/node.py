"""The file as a tree: scalars, lists and mappings that know their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from penstock.config.problem import Mark

Value: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Scalar:
    """One value. ``text`` is what stood in the file; ``quoted`` that it was in quotes or a block, so is a string.

    ``replaced``: the text was one whole ``${VAR}``, so where a string is expected ``text`` counts, not ``value``.
    ``broken``: a reference in it could not be replaced, which is reported already; nothing else is said about it.
    """

    mark: Mark
    text: str
    value: Value
    quoted: bool = False
    replaced: bool = False
    broken: bool = False


@dataclass(frozen=True)
class Sequence:
    """A list."""

    mark: Mark
    items: tuple[Node, ...]


@dataclass(frozen=True)
class Mapping:
    """A mapping; keys are kept as text, as every key of the file is a name."""

    mark: Mark
    entries: dict[str, Entry]


@dataclass(frozen=True)
class Entry:
    """One key of a mapping and its value."""

    key_mark: Mark
    node: Node


Node: TypeAlias = Scalar | Sequence | Mapping


def describe(node: Node) -> str:
    """What a node is, for messages; never its content, which may be a secret."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    names = {type(None): "nothing", bool: "a boolean", int: "a whole number", float: "a number", str: "a string"}
    return names[type(node.value)]
