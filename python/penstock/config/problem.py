"""What is wrong with a configuration file, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from penstock.errors import PenstockError

Path = tuple[str | int, ...]
"""Where a value is in the file: keys, and indices of lists, from the top."""

# Reading stops here, so that a large file that is wrong in every line costs little.
MAX_PROBLEMS = 100


@dataclass(frozen=True)
class Mark:
    """A place in the file; both numbers count from 1, as editors do. ``column`` counts characters."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One error or warning. ``line`` and ``column`` are None when it concerns the whole file.

    ``path`` is the key path (``tiers.instant.queue.wait``), or ``""``; ``suggestion`` the nearest valid name, if any.
    """

    file: str
    line: int | None
    column: int | None
    path: str
    message: str
    suggestion: str | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        where = f"{place}: {self.path}: " if self.path else f"{place}: "
        hint = "" if self.suggestion is None else f'; did you mean "{self.suggestion}"?'
        return _printable(f"{where}{self.message}{hint}")


class ConfigError(PenstockError):
    """A configuration file that cannot be used; ``problems`` holds at least one, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Report:
    """Collects the problems of one file, so that all of them can be shown at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._errors: dict[Problem, None] = {}  # a set with an order: one node may be read several times
        self._warnings: dict[Problem, None] = {}

    def error(self, mark: Mark | None, path: Path, message: str, suggestion: str | None = None) -> None:
        """Note an error.

        Raises:
            ConfigError: there are ``MAX_PROBLEMS`` of them now.
        """
        self._errors[self._problem(mark, path, message, suggestion)] = None
        if len(self._errors) >= MAX_PROBLEMS:
            self.raise_errors()

    def fail(self, mark: Mark | None, path: Path, message: str) -> ConfigError:
        """Note an error after which reading cannot go on; the caller raises the result."""
        self._errors[self._problem(mark, path, message, None)] = None
        return ConfigError(_in_file_order(self._errors))

    def warn(self, mark: Mark | None, path: Path, message: str) -> None:
        """Note something that is allowed, and probably not meant."""
        self._warnings[self._problem(mark, path, message, None)] = None

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The warnings so far, in the order of the file."""
        return tuple(_in_file_order(self._warnings))

    def raise_errors(self) -> None:
        """Raise ConfigError if any error was noted."""
        if self._errors:
            raise ConfigError(_in_file_order(self._errors))

    def _problem(self, mark: Mark | None, path: Path, message: str, suggestion: str | None) -> Problem:
        line, column = (mark.line, mark.column) if mark else (None, None)
        return Problem(self.file, line, column, render_path(path), message, suggestion)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that is most likely meant, if any is close."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1)), None)


def render_path(path: Path) -> str:
    """``("tiers", "instant", "models", 0)`` → ``tiers.instant.models[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def _in_file_order(problems: dict[Problem, None]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line or 0, problem.column or 0))


def _printable(text: str) -> str:
    # A quoted key may hold line breaks and terminal escapes, which must not reach a terminal or split the message.
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
