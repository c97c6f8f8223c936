"""A connection of the gateway at a backend, and the request at work on it."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.mixed import acts
from tests.mixed.book import Ask, Attempt
from tests.mixed.fault import Fault
from tests.mixed.wire import answer

if TYPE_CHECKING:
    from tests.mixed.backend import Backend

MODELS = answer("200 OK", {"object": "list", "data": [{"id": "served", "object": "model"}]})
CHAT_LINE = "POST /v1/chat/completions HTTP/1.1"
HEADER = re.compile(r"([a-z0-9-]+): ([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)")


# Within this, what happens here is known there.
NEWS_SECONDS = 1.0


class LeftError(Exception):
    """The gateway has closed its side."""


class Turn:
    """One request at work on its connection."""

    def __init__(self, connection: Connection, ask: Ask, attempt: Attempt) -> None:
        self.ask = ask
        self.attempt = attempt
        # Whether the gateway wants a stream, which the client may not.
        self.streams = ask.stream or connection.backend.streams_whole
        book = connection.backend.book
        self.dice = random.Random(f"{book.seed}/{ask.marker}/{len(ask.attempts)}")
        self._connection = connection

    def send(self, data: bytes) -> None:
        self.attempt.has_begun = True
        self._connection.write(data)

    async def pause(self, seconds: float = 0.0) -> None:
        """Let others have their turn.

        Raises:
            LeftError: nobody waits for the rest.
        """
        if seconds == 0.0:
            await asyncio.sleep(0)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._connection.left.wait(), seconds)
        if self._connection.left.is_set():
            raise LeftError
        await self._connection.writable.wait()

    async def stall(self) -> None:
        """Do nothing more."""
        await self._connection.left.wait()
        raise LeftError

    def end(self, last: bytes, *, closes: bool = False) -> None:
        """Send the end of a whole answer; nothing runs any more."""
        self._connection.over("answered")
        self.send(last)
        if closes:
            self._connection.close()

    def die(self, *, reset: bool) -> None:
        """Break off."""
        self._connection.over("died")
        self._connection.abort() if reset else self._connection.close()


class Connection(asyncio.Protocol):
    """A connection of the gateway."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.left = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self._transport: asyncio.Transport | None = None
        self._data = b""
        self._key = f"{backend.name}#{backend.next_number()}"
        self._attempt: Attempt | None = None
        # When it began.
        self._since = 0.0
        # The last one that was answered, and when.
        self._last: tuple[Attempt, float] | None = None
        self._task: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self.backend.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            self._read()
        except Fault as fault:
            self.backend.book.fault(f"backend {self.backend.name}", fault)
            self.reset()

    def eof_received(self) -> None:
        self.over("left")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.over("left")
        self.writable.set()
        self.backend.connections.discard(self)
        self._transport = None
        if self._idle is not None:
            self._idle.cancel()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Close with a reset, which may overtake what was sent."""
        if self._transport is None:
            return
        if self._attempt is not None:
            self.over("restarted")
        elif self._last is not None and asyncio.get_running_loop().time() - self._last[1] < 2:
            self._last[0].may_be_lost = self._last[0].end in ("answered", "died")
        self.abort()

    def abort(self) -> None:
        """Close with a reset, which is all that is to be seen."""
        if self._transport is None:
            return
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def over(self, end: Any) -> None:
        """Nothing runs on this connection any more. First come counts."""
        if end == "left":
            self.left.set()
        attempt, self._attempt = self._attempt, None
        for cap in self.backend.caps:
            cap.set(self._key, 0)
        if attempt is not None:
            attempt.end, now = end, asyncio.get_running_loop().time()
            if end in ("died", "restarted") and attempt.reused and not attempt.has_begun and self._last is not None:
                # The gateway may see it later than it happens here.
                attempt.is_stale = now - self._last[1] < self.backend.keep_alive - NEWS_SECONDS
                attempt.is_late = now - self._since > 1.3 * self.backend.keep_alive
            self._last = attempt, now

    def _read(self) -> None:
        while self._data:
            if self._attempt is not None:
                raise Fault("expected nothing while a request is being answered", self._data, 0)
            head, separator, rest = self._data.partition(b"\r\n\r\n")
            if not separator:
                return
            if head.startswith(b"GET /"):
                self._data = rest
                self.write(MODELS)
                continue
            # Not all of the body may be there, but it runs.
            for cap in self.backend.caps:
                cap.set(self._key, 1)
            length = self._length(head)
            if len(rest) < length:
                return
            self._data = rest[length:]
            self._begin(rest[:length])

    def _length(self, head: bytes) -> int:
        line, *lines = head.decode("latin-1").split("\r\n")
        found = [HEADER.fullmatch(line) for line in lines]
        if line != CHAT_LINE or None in found:
            raise Fault(f"expected {CHAT_LINE!r} and well-formed headers", head, 0)
        headers = {header[1]: header[2] for header in found if header}
        if len(headers) != len(lines) or "transfer-encoding" in headers or not headers["content-length"].isdigit():
            raise Fault("expected each header once, and a length", head, 0)
        if headers["host"] != f"127.0.0.1:{self.backend.port}":
            raise Fault(f"expected this backend's own address as host, not {headers['host']}", head, 0)
        return int(headers["content-length"])

    def _begin(self, body: bytes) -> None:
        try:
            value = json.loads(body)
            prompt = value["messages"][0]["content"]
        except (ValueError, LookupError):
            raise Fault("expected a chat request", body, 0) from None
        ask = self.backend.book.asks.get(prompt.partition(" ")[0])
        if ask is None or not ask.is_sent or prompt != ask.prompt or len(value["messages"]) != 1:
            raise Fault(f"expected what a client has sent and waits for, not {ask}", body, 0)
        streams = ask.stream or self.backend.streams_whole
        if value["model"] != "served" or bool(value.get("stream")) != streams:
            raise Fault(f"expected the model `served` and stream: {streams}", body, 0)
        sequences = max(value.get("n") or 1, value.get("best_of") or 1)
        word = ask.words[min(len(ask.attempts), len(ask.words) - 1)]
        attempt = Attempt(self.backend.name, word, self._last is not None, value.get("n") or 1, [])
        attempt.told = [""] * attempt.sequences
        ask.attempts.append(attempt)
        self.backend.requests += 1
        self._attempt, self._since = attempt, asyncio.get_running_loop().time()
        for cap in self.backend.caps:
            cap.set(self._key, sequences)
        if self._idle is not None:
            self._idle.cancel()
        self._task = asyncio.create_task(self._run(Turn(self, ask, attempt)))

    async def _run(self, turn: Turn) -> None:
        try:
            await acts.ACTS[turn.attempt.word](turn)
        except LeftError:
            self.close()
            return
        except Exception as error:
            self.backend.book.fault(f"backend {self.backend.name}", error)
        if self._transport is not None and (seconds := self.backend.idle_seconds()) is not None:
            self._idle = asyncio.get_running_loop().call_later(seconds, self._close_idle)

    def _close_idle(self) -> None:
        """Close a kept connection, as servers do: nothing runs on it, though a request may be on its way."""
        if self._attempt is None:
            if self.backend.dice.random() < 0.3:
                self.write(answer("408 Request Timeout", {"detail": "idle"}, "connection: close\r\n"))
            self.close()

    async def stopped(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
