"""The forms that are made of others: a value or null, lists, and tables from names to values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from penstock.config.form import WRONG, Form, Place
from penstock.config.node import Mapping, Node, Scalar, Sequence
from penstock.config.scalars import Text


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
            value = self.value.read(entry.node, inner)
            try:
                values[self.key.parse(name)] = value
            except ValueError as error:
                place.report.error(entry.key_mark, inner.path, str(error))
                values[name] = WRONG
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
