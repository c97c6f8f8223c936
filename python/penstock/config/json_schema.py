"""The JSON Schema of the file, for editors (``penstock config schema``)."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.config.schema import File

# What stands for another value until the file is loaded, so an editor cannot judge it.
_REFERENCE = {
    "title": "Reference",
    "description": "A value from the environment, ${NAME} or ${NAME:-default}, or from a file, file:/path",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}|^file:/",
}


def json_schema() -> dict[str, Any]:
    """A schema of draft 2020-12 that accepts every valid file; rules between keys are beyond it."""
    generated = msgspec.json.schema(File)
    definitions = {name: _with_references(inner) for name, inner in generated["$defs"].items()}
    # `on` and `off` are strings in YAML 1.2 and booleans in YAML 1.1; msgspec has no literal booleans.
    for owner, key, booleans in (("File", "lane", [True, False]), ("Tier", "adaptive", [False])):
        _variants(definitions[owner]["properties"][key])[0]["enum"].extend(booleans)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of Penstock",
        "$ref": generated["$ref"],
        "$defs": {**definitions, "Reference": _REFERENCE},
    }


def _with_references(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a value, with references allowed wherever one scalar is expected."""
    schema = dict(schema)
    if "properties" in schema:
        schema["properties"] = {name: _with_references(inner) for name, inner in schema["properties"].items()}
    for key in ("additionalProperties", "items"):
        if isinstance(schema.get(key), dict):
            schema[key] = _with_references(schema[key])
    variants = _variants(schema)
    if not any(_is_narrow_scalar(variant) for variant in variants):
        return schema
    outer: dict[str, Any] = {key: schema[key] for key in ("description", "default") if key in schema}
    inner = [{key: value for key, value in variant.items() if key not in outer} for variant in variants]
    return {**outer, "anyOf": [*inner, {"$ref": "#/$defs/Reference"}]}


def _variants(schema: dict[str, Any]) -> list[dict[str, Any]]:
    variants: list[dict[str, Any]] = schema.get("anyOf", [schema])
    return variants


def _is_narrow_scalar(schema: dict[str, Any]) -> bool:
    limited = "pattern" in schema or "minLength" in schema or "enum" in schema
    return limited or schema.get("type") in {"integer", "number", "boolean"}
