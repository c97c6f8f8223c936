"""Forms: how the file writes a value, and what the program holds for it.

A form reads a value from a node, shows it as the file would write it, and describes it in JSON Schema. The forms of
single values are in ``scalars``, those made of others in ``containers``, that of a section in ``group``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from penstock.config.node import Node, Scalar, describe

if TYPE_CHECKING:
    from penstock.config.problem import Mark, Path, Report

WRONG: Final = object()
"""The value of a node whose error has been reported."""

# A scalar may be a reference such as ${PORT}, which an editor cannot check.
REFERENCE: Final = {"$ref": "#/$defs/Reference"}


@dataclass(frozen=True)
class Place:
    """Where reading is: ``path`` leads to the value, ``key_mark`` is where its key stands.

    ``profile`` picks the defaults here (``section.Section.PICKS``).
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
        """Report an error of the value, and return ``WRONG`` instead of it."""
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
