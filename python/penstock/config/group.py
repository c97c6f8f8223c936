"""The form of a section, found from its declaration."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from penstock.config import node as nodes
from penstock.config.containers import List, Nullable, Table
from penstock.config.form import WRONG, Form, Place
from penstock.config.node import Node, Scalar
from penstock.config.problem import nearest
from penstock.config.scalars import Boolean, Json, Text, Words
from penstock.config.section import Key, Later, Section


@dataclass(frozen=True)
class Field:
    """A key as its section has it; ``key`` is None if its value is a section, which describes itself."""

    name: str
    form: Form
    key: Key | None
    info: msgspec.structs.FieldInfo

    @property
    def default(self) -> Any:
        """The default of the Struct, or msgspec.NODEFAULT."""
        factory = self.info.default_factory
        return self.info.default if factory is msgspec.NODEFAULT else factory()

    @property
    def required(self) -> bool:
        """Whether the file must have the key."""
        has_default = self.key is None or self.key.by_name or self.key.written or self.default is not msgspec.NODEFAULT
        return not has_default

    @property
    def has_one_default(self) -> bool:
        """Whether the default is the same everywhere."""
        return self.key is not None and not (self.required or self.key.profiles or self.key.by_name)

    @property
    def description(self) -> str:
        """What the key means, with its defaults if they differ."""
        if self.key is None or not self.key.profiles:
            return self.key.description if self.key else ""
        defaults = {**self.key.profiles, "else": self.default}
        shown = (f"{profile} {self.form.show(value) or 'none'}" for profile, value in defaults.items())
        return f"{self.key.description}; {', '.join(shown)}"

    def absent(self, place: Place) -> Any:
        """The value of the key in a section, whose place is given, where the file does not have it."""
        key = self.key
        if key is None:
            return self.form.read(nodes.Mapping(place.key_mark, {}), place)
        if key.by_name is not None:
            return key.by_name(place.name)
        if key.written is not None:
            return self.form.read(Scalar(place.key_mark, key.written, key.written), place)
        return key.profiles.get(place.profile or "", self.default)

    def shown(self, section: Section) -> Any:
        """The value of the key in a section, as the file would write it."""
        if self.key is not None and not self.key.applies(section):
            return None
        return self.form.show(getattr(section, self.name))

    def shown_default(self) -> Any:
        """The one default as the file would write it."""
        written = self.key.written if self.key else None
        return self.form.show(self.default) if written is None else written


@cache
def fields_of(section: type[Section]) -> tuple[Field, ...]:
    """The keys of a section, in their order."""
    found = []
    for info in msgspec.structs.fields(section):
        key = next((mark for mark in get_args(info.type)[1:] if isinstance(mark, Key)), None)
        form = form_of(info.type) if key is not None or _is_section(info.type) else None
        if form is not None:
            found.append(Field(info.name, form, key, info))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Group(Form):
    """The form of a section."""

    section: type[Section]

    expected = "a mapping"

    def _read(self, node: Node, place: Place) -> object:
        if not isinstance(node, nodes.Mapping):
            return self._expect(node, place)
        fields = {field.name: field for field in fields_of(self.section)}
        place = self._picked(fields, node, place)
        values: dict[str, object] = {}
        for name, entry in node.entries.items():
            inner = place.inner(name, entry.key_mark)
            values[name] = fields[name].form.read(entry.node, inner) if name in fields else self._refuse(name, inner)
        for name, field in fields.items():
            if field.required and name not in node.entries:
                message = f"must be given ({field.description})"
                place.report.error(place.key_mark, (*place.path, name), message)
                values[name] = WRONG
            elif name not in node.entries:
                values[name] = field.absent(place)
        if WRONG in values.values():
            return WRONG
        if "name" in self.section.__struct_fields__:
            values["name"] = place.name
        return self.section(**values)

    def _refuse(self, name: str, place: Place) -> object:
        fields = [field.name for field in fields_of(self.section)]
        if name in self.section.LATER:
            guess, message = None, f'"{name}" is not available in this version'
        else:
            guess = nearest(name, fields)
            message = "unknown key" if guess else f"unknown key; the keys here are {', '.join(fields)}"
        place.report.error(place.key_mark, place.path, message, guess)
        return WRONG

    def _picked(self, fields: Mapping[str, Field], node: nodes.Mapping, place: Place) -> Place:
        """The same place with the profile that holds in the section."""
        name = self.section.PICKS
        if name is None:
            return place
        entry = node.entries.get(name)
        word = WRONG if entry is None else fields[name].form.read(entry.node, place.inner(name, entry.key_mark))
        return replace(place, profile=word if isinstance(word, str) else fields[name].absent(place))

    def _show(self, value: Any) -> dict[str, Any]:
        return {field.name: field.shown(value) for field in fields_of(self.section)}

    def _variants(self) -> list[dict[str, Any]]:
        return [{"$ref": f"#/$defs/{self.section.__name__}"}]

    def definition(self) -> dict[str, Any]:
        """The JSON Schema of the section, to which ``schema`` only refers."""
        fields = fields_of(self.section)
        return {
            "title": self.section.__name__,
            "description": (inspect.getdoc(self.section) or "").partition("\n\n")[0],
            "type": "object",
            "properties": {field.name: _property(field) for field in fields},
            "required": [field.name for field in fields if field.required],
            "additionalProperties": False,
        }


def _property(field: Field) -> dict[str, Any]:
    about = {"description": field.description} if field.key else {}
    default = {"default": field.shown_default()} if field.has_one_default else {}
    return {**about, **default, **field.form.schema()}


def form_of(kind: Any) -> Form:
    """The form of a type: the one that it is annotated with, else by what it is."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _annotated(*arguments)
    form: Form
    if origin in (Union, types.UnionType):
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        form = Nullable(form_of(inner))
    elif origin is Literal:
        form = Words(tuple(sorted(arguments)))
    elif origin is tuple:
        form = List(form_of(arguments[0]))
    elif origin is dict:
        key = form_of(arguments[0])
        assert isinstance(key, Text)
        form = Table(key, form_of(arguments[1]))
    elif _is_section(kind):
        form = Group(kind)
    else:
        form = {bool: Boolean, Any: Json}[kind]()
    return form


def _annotated(kind: Any, *marks: Any) -> Form:
    for mark in marks:
        if isinstance(mark, Form):
            return mark
    form = form_of(kind)
    for mark in marks:
        if isinstance(mark, Meta) and isinstance(form, List):
            form = replace(form, least=mark.min_length or 0)
        elif isinstance(mark, Meta) and isinstance(form, Table):
            form = replace(form, least=mark.min_length or 0, most=mark.max_length)
        elif isinstance(mark, Later) and isinstance(form, Words):
            form = replace(form, later=mark.words)
    return form


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
