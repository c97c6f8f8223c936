"""The simplest value that satisfies a JSON Schema: the arguments that the simulated model passes to a tool."""

from __future__ import annotations

from typing import Any

__all__ = ["value_for"]

DEPTH = 16
"""The maximum depth, below which every value is null: a schema may refer to itself."""


def value_for(schema: Any, name: str = "value", root: Any = None, depth: int = DEPTH) -> Any:
    """Return a value for `schema`, whose property name is `name`; `root` resolves local references.

    Understood: enum, const, default, examples, type (one or several), properties, required, items, minItems, minLength,
    maxLength, minimum, exclusiveMinimum, anyOf, oneOf, allOf and ``#/…`` references. Anything else is ignored.
    """
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth == 0:
        return None
    if (instead := _instead(schema, root)) is not None:
        return value_for(instead, name, root, depth - 1)
    for ready in ("const", "default"):
        if ready in schema:
            return schema[ready]
    for several in ("enum", "examples"):
        if schema.get(several):
            return schema[several][0]
    return _of_type(_type_of(schema), schema, name, root, depth)


def _instead(schema: dict[str, Any], root: Any) -> Any:
    """Return the schema that a reference or a combination leads to."""
    if isinstance(reference := schema.get("$ref"), str):
        return _resolve(reference, root)
    for several in ("anyOf", "oneOf"):
        if schema.get(several):
            return schema[several][0]
    merged: dict[str, Any] = {}
    for part in schema.get("allOf", ()):
        merged |= part
    return merged or None


def _type_of(schema: dict[str, Any]) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    return kind[0] if isinstance(kind, list) else kind


def _of_type(kind: Any, schema: dict[str, Any], name: str, root: Any, depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties", {})
        # A tool without required properties still gets all its properties, so that tests see arguments.
        wanted = schema.get("required") or list(properties)
        return {key: value_for(properties.get(key, {}), key, root, depth - 1) for key in wanted}
    if kind == "array":
        length = max(1, schema.get("minItems", 1))
        return [value_for(schema.get("items", {}), name, root, depth - 1)] * length
    if kind in ("integer", "number"):
        least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + 1)
        return int(least) if kind == "integer" else least
    if kind == "string":
        return f"some {name}".ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
    return True if kind == "boolean" else None


def _resolve(reference: str, root: Any) -> Any:
    found = root
    for step in reference.removeprefix("#/").split("/"):
        found = found.get(step) if isinstance(found, dict) else None
    return found
