"""Forms: how the file writes a value, and what the program holds for it.

A form reads a value from a node, shows it as the file would write it, and describes it in JSON Schema. The forms of
single values are in ``scalars``, that of a mapping with fixed keys in ``section``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from penstock.config.node import Mapping, Node, Scalar, Sequence, describe

if TYPE_CHECKING:
    from penstock.config.problem import Mark, Path, Report
    from penstock.config.scalars import Text

WRONG: Final = object()
"""The value of a node whose error has been reported."""

# Where one scalar is expected, a reference may stand for it until the file is loaded; an editor cannot judge it.
REFERENCE: Final = {"$ref": "#/$defs/Reference"}


@dataclass(frozen=True)
class Place:
    """Where reading is: ``path`` leads to the value, ``key_mark`` is where its key stands.

    ``profile`` is the word that picks the defaults here (see ``section.Section.PICKS``).
    """

    report: Report
    path: Path
    key_mark: Mark
    profile: str | None = None

    @property
    def name(self) -> str:
        """The key of the value; ``""`` at the top of the file."""
        return str(self.path[-1]) if self.path else ""

    def inner(self, part: str | int, key_mark: Mark) -> Place:
        """The place of a value within this one."""
        return replace(self, path=(*self.path, part), key_mark=key_mark)

    def wrong(self, node: Node, message: str, suggestion: str | None = None) -> object:
        """Report an error of the value, and return ``WRONG`` in its stead."""
        self.report.error(node.mark, self.path, message, suggestion)
        return WRONG


class Form(ABC):
    """One way of writing values. ``expected`` is what messages call it."""

    expected: str
    is_scalar = False

    def read(self, node: Node, place: Place) -> object:
        """The value that the program holds, or ``WRONG`` after an error was reported."""
        if isinstance(node, Scalar) and node.broken:
            return WRONG
        return self._read(node, place)

    @abstractmethod
    def _read(self, node: Node, place: Place) -> object: ...

    def show(self, value: Any) -> Any:
        """The value as the file writes it, with secrets redacted: strings, numbers, lists and dicts."""
        return self._show(value)

    def _show(self, value: Any) -> Any:
        return value

    def schema(self) -> dict[str, Any]:
        """The JSON Schema of a value."""
        variants = [*self._variants(), REFERENCE] if self.is_scalar else self._variants()
        return variants[0] if len(variants) == 1 else {"anyOf": variants}

    @abstractmethod
    def _variants(self) -> list[dict[str, Any]]:
        """JSON Schemas of which a value matches one, unless it is a reference."""

    def _expect(self, node: Node, place: Place) -> object:
        return place.wrong(node, f"expected {self.expected}, got {describe(node)}")


@dataclass(frozen=True, eq=False)
class Nullable(Form):
    """A value, or null, for which the program holds ``null``."""

    inner: Form
    null: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_scalar", self.inner.is_scalar)

    def _read(self, node: Node, place: Place) -> object:
        if isinstance(node, Scalar) and node.value is None:
            return self.null
        return self.inner.read(node, place)

    def _show(self, value: Any) -> Any:
        return None if value is None else self.inner.show(value)

    def _variants(self) -> list[dict[str, Any]]:
        return [*self.inner._variants(), {"type": "null"}]


@dataclass(frozen=True, eq=False)
class List(Form):
    """A list of values of one form, held as a tuple."""

    item: Form
    least: int = 0

    expected = "a list"

    def _read(self, node: Node, place: Place) -> object:
        if not isinstance(node, Sequence):
            return self._expect(node, place)
        if len(node.items) < self.least:
            return place.wrong(node, "must have at least one entry")
        values = [self.item.read(item, place.inner(at, item.mark)) for at, item in enumerate(node.items)]
        return WRONG if WRONG in values else tuple(values)

    def _show(self, value: Any) -> list[Any]:
        return [self.item.show(item) for item in value]

    def _variants(self) -> list[dict[str, Any]]:
        bounds = {"minItems": self.least} if self.least else {}
        return [{"type": "array", "items": self.item.schema(), **bounds}]


@dataclass(frozen=True, eq=False)
class Table(Form):
    """A mapping from names to values of one form, held as a dict in the order of the file."""

    key: Text
    value: Form
    least: int = 0
    most: int | None = None

    expected = "a mapping"

    def _read(self, node: Node, place: Place) -> object:
        if not isinstance(node, Mapping):
            return self._expect(node, place)
        if not self.least <= len(node.entries) <= (self.most or math.inf):
            wanted = "at least one entry" if not node.entries else f"at most {self.most} entries"
            return place.wrong(node, f"must have {wanted}")
        values: dict[object, object] = {}
        for name, entry in node.entries.items():
            inner = place.inner(name, entry.key_mark)
            key: object = name
            try:
                key = self.key.parse(name)
            except ValueError as error:
                place.report.error(entry.key_mark, inner.path, str(error))
            values[key] = self.value.read(entry.node, inner)
        return WRONG if WRONG in values.values() else values

    def _show(self, value: Any) -> dict[str, Any]:
        return {name: self.value.show(entry) for name, entry in value.items()}

    def _variants(self) -> list[dict[str, Any]]:
        bounds = {"minProperties": self.least, "maxProperties": self.most}
        return [
            {
                "type": "object",
                "propertyNames": dict(self.key.constraints),
                "additionalProperties": self.value.schema(),
                **{name: bound for name, bound in bounds.items() if bound},
            }
        ]
