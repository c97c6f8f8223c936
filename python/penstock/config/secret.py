"""Strings that no message, log line or view may show."""

from __future__ import annotations

REDACTED = "<redacted>"


class Secret(str):
    """A string whose ``repr`` hides it, so that the repr of settings, which may reach a log, holds no secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return REDACTED
