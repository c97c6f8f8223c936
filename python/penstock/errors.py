"""The exceptions that Penstock raises on purpose.

Whatever a command cannot do ends in a :class:`PenstockError`, whose ``exit_code`` is the process's exit code. Anything
else that reaches the top is a bug.
"""

from __future__ import annotations


class PenstockError(Exception):
    """Base of all errors that are shown to a person as a message, without a traceback."""

    exit_code = 1
