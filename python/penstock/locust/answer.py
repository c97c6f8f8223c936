"""The timing of one streamed answer, as its client sees it."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from penstock.locust.chunk import Meaning, code_of, decode

__all__ = ["Answer"]

DONE = b"[DONE]"


@dataclass
class Answer:
    """When the events of an answer came: points on one clock and the times between them, in seconds."""

    sent: float
    """When the request was sent."""
    first: float | None = None
    """When the first meaningful event came."""
    gaps: list[float] = field(default_factory=list)
    """From each event with output to the next one with output."""
    done: float | None = None
    """When ``[DONE]`` came."""
    _latest: float | None = None
    _events: int = 0
    _usage: int | None = None
    _broken: str | None = None

    def read(self, data: bytes, now: float) -> None:
        """Take the data of the next event, which came at ``now``; events after ``[DONE]`` or an error are ignored."""
        if self.done is not None or self._broken is not None:
            return
        if data == DONE:
            self.done = now
            return
        try:
            chunk = decode(data)
        except msgspec.DecodeError:
            self._broken = "malformed event"
            return
        if chunk.error is not None:
            self._broken = f"error event: {code_of(chunk.error)}"
            return
        if chunk.usage is not None and chunk.usage.completion_tokens is not None:
            self._usage = chunk.usage.completion_tokens
        meaning = chunk.meaning
        if meaning is not Meaning.NOTHING and self.first is None:
            self.first = now
        if meaning is Meaning.OUTPUT:
            if self._latest is not None:
                self.gaps.append(now - self._latest)
            self._latest = now
            self._events += 1

    @property
    def tokens(self) -> int:
        """Output tokens, from the last ``usage``; without one, the number of events with output."""
        return self._events if self._usage is None else self._usage

    @property
    def failure(self) -> str | None:
        """Why this ended answer is a failure; without numbers, so that locust counts equal failures together."""
        if self._broken is not None:
            return self._broken
        if self.done is None:
            return "no [DONE]"
        return "empty answer" if self.first is None else None
