"""Server-sent events from the lines of a body."""

from __future__ import annotations

__all__ = ["EventReader"]


class EventReader:
    """Joins lines to events, by the rules of the HTML standard, §9.2.6 "Interpreting an event stream".

    Comments (such as heartbeats) and the fields ``event``, ``id`` and ``retry``, which chat completions do not use, are
    ignored. Lines after the last empty line are not an event.
    """

    def __init__(self) -> None:
        self._data: list[bytes] = []

    def read(self, line: bytes) -> bytes | None:
        """Take one line with its end, LF or CRLF; return the data of the event that it ends, if it ends one."""
        line = line.rstrip(b"\r\n")
        if line:
            field, _, value = line.partition(b":")
            if field == b"data":
                self._data.append(value.removeprefix(b" "))
            return None
        data, self._data = self._data, []
        return b"\n".join(data) if data else None
