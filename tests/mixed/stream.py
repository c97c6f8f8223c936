"""What a streamed chat answer has to be, event by event."""

from __future__ import annotations

from typing import Any

from tests.mixed.chat import DONE, EVENT, check_error, check_identity, json_of, require
from tests.mixed.fault import Fault
from tests.mixed.reader import Answer


class Stream:
    """Reads the events of one answer; what has been read must have been a right beginning, also if no more comes."""

    def __init__(self, answer: Answer, model: str, n: int, include_usage: bool) -> None:
        """Read what there is of the answer. `n`: how many choices it has to have."""
        self.id: str | None = None
        self.contents = [""] * n
        self.usage: Any = None
        self.error: str | None = None
        self.is_done = False
        self._model = model
        self._n = n
        self._include_usage = include_usage
        self._created: int | None = None
        self._introduced: set[int] = set()
        self._finished: set[int] = set()
        self._check_head(answer)
        body = bytes(answer.body)
        at = 0
        while (end := body.find(b"\n\n", at)) >= 0:
            self._event(body, at, end)
            at = end + 2
        if answer.is_complete:
            if at < len(body):
                raise Fault("expected nothing behind the last whole event", body, at)
            require(self.is_done or self.error is not None, "[DONE] or an error as the last event", body[-300:])

    @property
    def is_finished(self) -> bool:
        """Whether every choice has its finish_reason."""
        return len(self._finished) == self._n

    @staticmethod
    def _check_head(answer: Answer) -> None:
        wanted = {
            "content-type": "text/event-stream; charset=utf-8",
            "transfer-encoding": "chunked",
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
        }
        got = {name: answer.headers.get(name) for name in wanted}
        require(got == wanted, f"the headers {wanted}", got)

    def _event(self, body: bytes, at: int, end: int) -> None:
        if not body.startswith(EVENT, at) or b"\n" in body[at:end] or b"\r" in body[at:end]:
            raise Fault("expected one line `data: …` and a blank one", body, at)
        if self.is_done or self.error is not None:
            raise Fault("expected nothing behind the last event", body, at)
        try:
            self._data(body[at + len(EVENT) : end].decode())
        except (Fault, KeyError, TypeError, UnicodeDecodeError) as fault:
            raise Fault(f"an event that is none: {fault!s}", body, at) from None

    def _data(self, text: str) -> None:
        if text == DONE:
            require(self.is_finished, f"finish_reason of {self._n} choices before [DONE]", self._finished)
            self.is_done = True
            return
        value = json_of(text)
        if "error" in value:
            self.error = check_error(value, None)
            return
        check_identity(value, "chat.completion.chunk", self._model)
        self.id, self._created = self.id or value["id"], self._created or value["created"]
        identity = (value["id"], value["created"])
        require(identity == (self.id, self._created), f"one identity, {self.id} and {self._created}", identity)
        require(self.usage is None, "nothing but [DONE] behind the usage", value)
        require(("usage" in value) == self._include_usage, f"include_usage: {self._include_usage}", value)
        if not value["choices"]:
            require(self.is_finished and isinstance(value.get("usage"), dict), "usage, behind every choice", value)
            self.usage = value["usage"]
            return
        require(value.get("usage") is None, "usage in a chunk of its own", value)
        for choice in value["choices"]:
            self._choice(choice)

    def _choice(self, choice: dict[str, Any]) -> None:
        index, delta, finish = choice["index"], choice["delta"], choice["finish_reason"]
        require(index in range(self._n), f"an index below {self._n}", choice)
        require(index not in self._finished, "nothing behind the finish_reason of a choice", choice)
        is_first = index not in self._introduced
        self._introduced.add(index)
        role = delta.get("role")
        require(role == ("assistant" if is_first else None) and ("role" in delta) == is_first, "one role", choice)
        content = delta.get("content") or ""
        require(finish in (None, "stop"), "finish_reason null or stop", choice)
        if finish is not None:
            require(not content, "no content together with finish_reason", choice)
            self._finished.add(index)
        else:
            require(bool(content) or is_first, "no delta that says nothing", choice)
        self.contents[index] += content
