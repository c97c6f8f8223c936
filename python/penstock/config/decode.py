"""A tree of nodes to the structs of ``schema``, noting every wrong key and value instead of stopping at the first."""

from __future__ import annotations

import difflib
import math
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from msgspec import inspect

from penstock.config import availability, schema
from penstock.config.loader import Mapping, Node, Scalar, Sequence, describe
from penstock.config.problem import Mark, Path, Report

if TYPE_CHECKING:
    from collections.abc import Iterable

_NAMES: Final[dict[type[inspect.Type], str]] = {
    inspect.BoolType: "true or false",
    inspect.FloatType: "a number",
    inspect.IntType: "a whole number",
    inspect.StrType: "a string",
}
# The value of a node that was reported.
_WRONG: Final = object()


def decode(root: Mapping, report: Report) -> schema.File | None:
    """The file as a struct, or None if a required part is wrong.

    Only if ``report`` has no errors afterwards is the struct complete: a wrong optional value leaves its default.
    """
    value = _Decoder(report).struct(_file_type(), root, (), root.mark)
    return value if isinstance(value, schema.File) else None


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that is most likely meant, if any is close."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), None)


@cache
def _file_type() -> inspect.StructType:
    kind = inspect.type_info(schema.File)
    assert isinstance(kind, inspect.StructType)
    return kind


class _Decoder:
    """Follows a type and a node at the same time."""

    def __init__(self, report: Report) -> None:
        self._report = report

    def struct(self, kind: inspect.StructType, node: Node, path: Path, key_mark: Mark) -> object:
        if not isinstance(node, Mapping):
            return self._wrong(node, path, f"expected a mapping, got {describe(node)}")
        fields = {field.encode_name: field for field in kind.fields}
        values: dict[str, object] = {}
        for name, entry in node.entries.items():
            inner = (*path, name)
            if name in fields:
                values[name] = self._value(fields[name].type, entry.node, inner, entry.key_mark)
            elif availability.is_later_key(inner):
                self._report.error(entry.key_mark, inner, f'"{name}" is not available in this version')
            else:
                guess = nearest(name, fields)
                message = "unknown key" if guess else f"unknown key; the keys here are {', '.join(fields)}"
                self._report.error(entry.key_mark, inner, message, guess)
        missing = [field for field in kind.fields if field.required and field.encode_name not in node.entries]
        for field in missing:
            message = f"must be given ({_description(field.type)})"
            self._report.error(key_mark, (*path, field.encode_name), message)
        wrong = {name for name, value in values.items() if value is _WRONG}
        if missing or any(fields[name].required for name in wrong):
            return _WRONG
        return kind.cls(**{name: value for name, value in values.items() if name not in wrong})

    def _value(  # noqa: PLR0911  # one return for each kind of type
        self, kind: inspect.Type, node: Node, path: Path, key_mark: Mark
    ) -> object:
        kind, extra = _unwrap(kind)
        if isinstance(node, Scalar) and node.broken:
            return _WRONG
        match kind:
            case inspect.StructType():
                return self.struct(kind, node, path, key_mark)
            case inspect.DictType():
                return self._dict(kind, node, path, extra)
            case inspect.VarTupleType():
                return self._tuple(kind, node, path)
            case inspect.AnyType():
                return self._json(node, path)
            case inspect.UnionType():
                return self._union(kind, node, path, key_mark)
            case _:
                return self._scalar(kind, node, path, extra)

    def _union(self, kind: inspect.UnionType, node: Node, path: Path, key_mark: Mark) -> object:
        options = [inner for inner in kind.types if not isinstance(inner, inspect.NoneType)]
        if len(options) < len(kind.types) and isinstance(node, Scalar) and node.value is None:
            return None
        if len(options) == 1:
            return self._value(options[0], node, path, key_mark)
        number, word = options
        is_word = isinstance(node, Scalar) and isinstance(node.value, str)
        return self._scalar(word if is_word else number, node, path, {"expected": _expected(kind, {})})

    def _dict(self, kind: inspect.DictType, node: Node, path: Path, extra: dict[str, Any]) -> object:
        if not isinstance(node, Mapping):
            return self._wrong(node, path, f"expected a mapping, got {describe(node)}")
        if not (kind.min_length or 0) <= len(node.entries) <= (kind.max_length or math.inf):
            wanted = "at least one entry" if not node.entries else f"at most {kind.max_length} entries"
            return self._wrong(node, path, f"must have {wanted}")
        read_key = _unwrap(kind.key_type)[1].get("read", str)
        values: dict[str, object] = {}
        for name, entry in node.entries.items():
            inner = (*path, name)
            if name in extra.get("refused", ()):
                self._report.error(entry.key_mark, inner, f'"{name}" cannot be set here')
            try:
                read_key(name)
            except ValueError as error:
                self._report.error(entry.key_mark, inner, str(error))
            values[name] = self._value(kind.value_type, entry.node, inner, entry.key_mark)
        return _WRONG if _WRONG in values.values() else values

    def _tuple(self, kind: inspect.VarTupleType, node: Node, path: Path) -> object:
        if not isinstance(node, Sequence):
            return self._wrong(node, path, f"expected a list, got {describe(node)}")
        if len(node.items) < (kind.min_length or 0):
            return self._wrong(node, path, "must have at least one entry")
        values = [self._value(kind.item_type, item, (*path, at), item.mark) for at, item in enumerate(node.items)]
        return _WRONG if _WRONG in values else tuple(values)

    def _json(self, node: Node, path: Path) -> object:
        """A free value that ends up in the JSON of a request."""
        if isinstance(node, Mapping):
            return {name: self._json(entry.node, (*path, name)) for name, entry in node.entries.items()}
        if isinstance(node, Sequence):
            return [self._json(item, (*path, at)) for at, item in enumerate(node.items)]
        if isinstance(node.value, float) and not math.isfinite(node.value):
            return self._wrong(node, path, f"{node.text} is not a number of JSON")
        if isinstance(node.value, int) and not -(2**63) <= node.value < 2**64:
            return self._wrong(node, path, "the number has more than 64 bits")
        return node.value

    def _scalar(self, kind: inspect.Type, node: Node, path: Path, extra: dict[str, Any]) -> object:
        if not isinstance(node, Scalar):
            return self._wrong(node, path, f"expected {_expected(kind, extra)}, got {describe(node)}")
        match kind:
            case inspect.StrType():
                return self._string(node, path, extra)
            case inspect.BoolType() if isinstance(node.value, bool):
                return node.value
            case inspect.LiteralType():
                return self._literal(kind, node, path, extra)
            case inspect.IntType() | inspect.FloatType():
                return self._number(kind, node, path, extra)
            case _:
                return self._wrong(node, path, f"expected {_expected(kind, extra)}, got {describe(node)}")

    def _string(self, node: Scalar, path: Path, extra: dict[str, Any]) -> object:
        if not isinstance(node.value, str) and not node.replaced:
            message = f"expected {_expected(inspect.StrType(), extra)}, got {describe(node)}"
            if "unit" in extra and re.fullmatch(r"[0-9]{1,12}(\.[0-9]+)?", node.text):
                message += f"; write {node.text}{extra['unit']}"
            elif node.value is not None and "expected" not in extra:
                message += "; put it in quotes"
            return self._wrong(node, path, message)
        try:
            extra.get("read", str)(node.text)
        except ValueError as error:
            return self._wrong(node, path, str(error))
        return node.text

    def _number(
        self, kind: inspect.IntType | inspect.FloatType, node: Scalar, path: Path, extra: dict[str, Any]
    ) -> object:
        value, is_float = node.value, isinstance(kind, inspect.FloatType)
        if not isinstance(value, int | float if is_float else int) or isinstance(value, bool):
            return self._wrong(node, path, f"expected {_expected(kind, extra)}, got {describe(node)}")
        if kind.ge is not None and not value >= kind.ge:  # so put, it holds for .nan too
            return self._wrong(node, path, f"must be at least {kind.ge}, got {node.text}")
        if kind.le is not None and value > kind.le:
            return self._wrong(node, path, f"must be at most {kind.le}, got {node.text}")
        return float(value) if is_float else value

    def _literal(self, kind: inspect.LiteralType, node: Scalar, path: Path, extra: dict[str, Any]) -> object:
        value = node.value
        if isinstance(value, bool):  # `off` is a string in YAML 1.2, and a habit from YAML 1.1
            value = "on" if value else "off"
        if value in kind.values:
            return value
        guess = nearest(node.text, map(str, kind.values))
        return self._wrong(node, path, f'expected {_expected(kind, extra)}, got "{node.text}"', guess)

    def _wrong(self, node: Node, path: Path, message: str, suggestion: str | None = None) -> object:
        self._report.error(node.mark, path, message, suggestion)
        return _WRONG


def _unwrap(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    extra: dict[str, Any] = {}
    while isinstance(kind, inspect.Metadata):
        extra = {**(kind.extra or {}), **extra}
        kind = kind.type
    return kind, extra


def _description(kind: inspect.Type) -> str:
    assert isinstance(kind, inspect.Metadata)
    return str((kind.extra_json_schema or {})["description"])


def _expected(kind: inspect.Type, extra: dict[str, Any]) -> str:
    if "expected" in extra:
        return str(extra["expected"])
    match kind:
        case inspect.LiteralType():
            return " or ".join(map(str, kind.values))
        case inspect.UnionType():
            return " or ".join(_expected(inner, {}) for inner in kind.types if not isinstance(inner, inspect.NoneType))
        case _:
            return _NAMES[type(kind)]
