"""The exceptions that Penstock raises on purpose.

The tree is small: whatever a command cannot do ends in a :class:`PenstockError`, whose ``exit_code`` is the process's
exit code. Anything else that reaches the top is a bug.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.config.problem import Problem


class PenstockError(Exception):
    """Base of all errors that are shown to a person as a message, without a traceback."""

    exit_code = 1


class ConfigError(PenstockError):
    """A configuration file that cannot be used; ``problems`` holds at least one, in the order of the file."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))
