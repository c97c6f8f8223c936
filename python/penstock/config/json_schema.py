"""The JSON Schema of the file, for editors (``penstock config schema``)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from penstock.config.containers import List, Nullable, Table
from penstock.config.form import Form
from penstock.config.group import Group, fields_of
from penstock.config.settings import Settings

_REFERENCE = {
    "title": "Reference",
    "description": "A value from the environment, ${NAME} or ${NAME:-default}, or from a file, file:/path",
    "type": "string",
    "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?\}|^file:/",
}


def json_schema() -> dict[str, Any]:
    """A schema of draft 2020-12 that accepts every valid file; rules between keys are beyond it."""
    file = Group(Settings)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of Penstock",
        **file.schema(),
        "$defs": {group.section.__name__: group.definition() for group in _groups(file)} | {"Reference": _REFERENCE},
    }


def _groups(form: Form) -> Iterator[Group]:
    """All sections in a form."""
    match form:
        case Group():
            yield form
            for field in fields_of(form.section):
                yield from _groups(field.form)
        case Nullable():
            yield from _groups(form.inner)
        case List():
            yield from _groups(form.item)
        case Table():
            yield from _groups(form.value)
