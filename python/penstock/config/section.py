"""What the tree of keys in ``settings`` is written with: sections, and what a key is beside its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from msgspec import Struct


class Section(Struct, frozen=True):
    """Base of all sections.

    Keys are the fields with a ``Key`` in their type, and those that are sections. Other fields are filled by the
    program; one called ``name`` gets the key under which the section stands in the file.
    """

    LATER: ClassVar[tuple[str, ...]] = ()
    """Keys whose feature this version does not have. They are refused: a key is never accepted and ignored."""

    PICKS: ClassVar[str | None] = None
    """The key whose value is the profile that picks defaults here and in all sections below (``Key.profiles``)."""


@dataclass(frozen=True)
class Key:
    """What a key is beside its type and its default.

    - ``description``: for the JSON Schema, and for the message that the key is missing.
    - ``profiles``: by profile, the defaults that differ from that of the field (``Section.PICKS``).
    - ``by_name``: gives the default from the name of the section that has the key, such as the tier's.
    - ``written``: the default as the file would write it, for a value that is worked out when the file is read.
    - ``routed``: whether the Rust core gets the key (``routing``).
    - ``applies``: whether the key means anything in a section; where it does not, it is shown as null.
    """

    description: str
    profiles: Mapping[str, Any] = field(default_factory=dict)
    by_name: Callable[[str], Any] | None = None
    written: str | None = None
    routed: bool = True
    applies: Callable[[Any], bool] = lambda _: True


class Later:
    """Annotates a ``Literal`` with further words, which are refused as not available in this version."""

    def __init__(self, *words: str) -> None:
        self.words = words
