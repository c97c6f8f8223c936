"""The forms of single values: strings that stand for something, numbers, words, and free JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from penstock.config import node as nodes
from penstock.config.form import Form, Place
from penstock.config.node import Node, Scalar, Sequence, describe
from penstock.config.problem import nearest


@dataclass(frozen=True, eq=False)
class Text(Form):
    """A string. ``parse`` makes of it what the program holds, raising ValueError; ``format`` is the way back.

    ``constraints`` are its keywords in JSON Schema; ``unit`` is proposed where the file has a number without one.
    """

    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str
    constraints: Mapping[str, Any] = field(default_factory=dict)
    expected: str = "a string"
    unit: str = ""

    is_scalar = True

    def _read(self, node: Node, place: Place) -> object:
        if not isinstance(node, Scalar):
            return self._expect(node, place)
        if not isinstance(node.value, str) and not node.replaced:
            return place.wrong(node, f"expected {self.expected}, got {describe(node)}{self._remedy(node)}")
        try:
            return self.parse(node.text)
        except ValueError as error:
            return place.wrong(node, str(error))

    def _remedy(self, node: Scalar) -> str:
        if self.unit and re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", node.text):
            return f"; write {node.text}{self.unit}"
        return "; put it in quotes" if node.value is not None and self.expected == "a string" else ""

    def _show(self, value: Any) -> str:
        return self.format(value)

    def _variants(self) -> list[dict[str, Any]]:
        return [{"type": "string", **self.constraints}]


@dataclass(frozen=True, eq=False)
class Number(Form):
    """A whole number from ``least`` to ``most``; with ``real`` also one with a fraction, held as a float."""

    least: float
    most: float
    real: bool = False
    expected: str = ""

    is_scalar = True

    def __post_init__(self) -> None:
        if not self.expected:
            object.__setattr__(self, "expected", "a number" if self.real else "a whole number")

    def _read(self, node: Node, place: Place) -> object:
        value = node.value if isinstance(node, Scalar) else None
        if not isinstance(node, Scalar) or isinstance(value, bool):
            return self._expect(node, place)
        if not isinstance(value, int | float if self.real else int):
            return self._expect(node, place)
        if not value >= self.least:  # not `<`, which is false for .nan
            return place.wrong(node, f"must be at least {self.least}, got {node.text}")
        if value > self.most:
            return place.wrong(node, f"must be at most {self.most}, got {node.text}")
        return float(value) if self.real else value

    def _variants(self) -> list[dict[str, Any]]:
        return [{"type": "number" if self.real else "integer", "minimum": self.least, "maximum": self.most}]


@dataclass(frozen=True, eq=False)
class Boolean(Form):
    """``true`` or ``false``."""

    expected = "true or false"
    is_scalar = True

    def _read(self, node: Node, place: Place) -> object:
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        return self._expect(node, place)

    def _variants(self) -> list[dict[str, Any]]:
        return [{"type": "boolean"}]


@dataclass(frozen=True, eq=False)
class Words(Form):
    """One of some words. ``parse`` makes of it what the program holds; ``format`` is the way back.

    The words ``later`` are refused as not available in this version.
    """

    words: tuple[str, ...]
    parse: Callable[[str], Any] = str
    format: Callable[[Any], Any] = str
    later: tuple[str, ...] = ()
    expected: str = ""

    is_scalar = True

    def __post_init__(self) -> None:
        if not self.expected:
            object.__setattr__(self, "expected", " or ".join(self.words))

    def _read(self, node: Node, place: Place) -> object:
        if not isinstance(node, Scalar):
            return self._expect(node, place)
        value = node.value
        if isinstance(value, bool):  # `off` is a string in YAML 1.2 and was a boolean in YAML 1.1
            value = "on" if value else "off"
        if value in self.words:
            return self.parse(str(value))
        if value in self.later:
            return place.wrong(node, f'"{node.text}" is not available in this version')
        guess = nearest(node.text, self.words)
        return place.wrong(node, f'expected {self.expected}, got "{node.text}"', guess)

    def _show(self, value: Any) -> Any:
        return self.format(value)

    def _variants(self) -> list[dict[str, Any]]:
        booleans = [value for word, value in (("on", True), ("off", False)) if word in self.words]
        return [{"enum": [*self.words, *booleans]}]


class NumberOrWord(Form):
    """A whole number, or a word that stands for one."""

    is_scalar = True

    def __init__(self, number: Number, words: Words) -> None:
        self.expected = f"{number.expected} or {words.expected}"
        self._number = replace(number, expected=self.expected)
        self._words = replace(words, expected=self.expected)

    def _read(self, node: Node, place: Place) -> object:
        is_word = isinstance(node, Scalar) and isinstance(node.value, str)
        return (self._words if is_word else self._number).read(node, place)

    def _variants(self) -> list[dict[str, Any]]:
        return [*self._number._variants(), *self._words._variants()]


class Json(Form):
    """A free value, which ends up in the JSON of a request."""

    expected = "a value"

    def _read(self, node: Node, place: Place) -> object:
        if isinstance(node, nodes.Mapping):
            return {
                name: self._read(entry.node, place.inner(name, entry.key_mark)) for name, entry in node.entries.items()
            }
        if isinstance(node, Sequence):
            return [self._read(item, place.inner(at, item.mark)) for at, item in enumerate(node.items)]
        if isinstance(node.value, float) and not math.isfinite(node.value):
            return place.wrong(node, f"{node.text} is not a number of JSON")
        if isinstance(node.value, int) and not -(2**63) <= node.value < 2**64:
            return place.wrong(node, "the number has more than 64 bits")
        return node.value

    def _variants(self) -> list[dict[str, Any]]:
        return [{}]
