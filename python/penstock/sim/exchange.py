"""A chat request that was accepted: it runs in the engine, and its answer is sent, with a fault if one is chosen."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson

from penstock.sim.dialects import Answer
from penstock.sim.faults import ERROR_MESSAGE, GARBAGE, MID, STUCK, Fault
from penstock.sim.http import LAST_CHUNK, chunk
from penstock.sim.request import ToolChoice
from penstock.sim.script import plan

if TYPE_CHECKING:
    from penstock.sim.connection import Connection
    from penstock.sim.dialects import Dialect
    from penstock.sim.model import SimModel
    from penstock.sim.request import ChatRequest

__all__ = ["DONE", "Exchange"]

DONE = b"data: [DONE]\n\n"
FLOOD = b"a" * 65536


class Exchange:
    """One request that runs in the engine. Call `run`, and in any case `spoil` in the end."""

    def __init__(
        self,
        model: SimModel,
        wire: Connection,
        prompt_tokens: int,
        chat: ChatRequest,
        fault: Fault | None,
        *,
        dialect: Dialect,
    ) -> None:
        self._model = model
        self._dialect = dialect
        self._wire = wire
        self._chat = chat
        self._fault = fault
        room = model.context - prompt_tokens
        self._replies = [
            plan(chat, choice, model.seed, room, reasoning=model.reasoning) for choice in range(model.choices(chat))
        ]
        named = isinstance(chat.tool_choice, ToolChoice)
        self._finishes = [self._dialect.finish(reply, named=named) for reply in self._replies]
        outputs = [max(1, len(reply.pieces)) for reply in self._replies]
        self._steps = max(outputs)
        self._answer = Answer(
            seed=model.new_id(),
            created=int(time.time()),
            model=chat.model if self._dialect.echoes_model and chat.model else model.model,
            wants_usage=chat.wants_usage,
            prompt_tokens=prompt_tokens,
            output_tokens=sum(len(reply.pieces) for reply in self._replies),
            request_id=wire.request_id,
        )
        priority, sticks = chat.priority or 0, fault in STUCK
        self._generation = model.engine.submit(prompt_tokens, outputs, priority=priority, sticks=sticks)
        wire.generation = self._generation

    def spoil(self) -> None:
        """Count the request as spoiled by a fault, unless it is over already."""
        if self._generation.abandon() is not None:
            self._model.stats.faulted += 1

    async def run(self) -> bool:
        """Answer; returns whether the connection may stay open."""
        wire, fault = self._wire, self._fault
        await self._generation.admitted()
        if fault is Fault.HANG:
            await wire.stall()
        if fault in (Fault.REFUSE, Fault.RESET_BEFORE_HEAD, Fault.CLOSE_BEFORE_HEAD, Fault.GARBAGE_HEAD):
            self.spoil()
            if fault is Fault.GARBAGE_HEAD:
                await wire.send(b"\x15\x03\x01\x00\x02\x02\x50 this is no HTTP\r\n\r\n")
            if fault in (Fault.REFUSE, Fault.RESET_BEFORE_HEAD):
                wire.reset()
            return False
        if fault is Fault.HALF_HEAD:
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/ev")
            await wire.stall()
        wire.slow = fault is Fault.SLOW_BODY
        try:
            if self._chat.stream and fault is not Fault.JSON_FOR_STREAM:
                return await self._stream()
            return await self._whole()
        finally:
            wire.slow = False

    # A stream

    async def _stream(self) -> bool:
        lines = (f"content-type: {self._dialect.stream_type}", "transfer-encoding: chunked")
        start = self._wire.head(200, *lines)
        if self._dialect.early_head:
            await self._wire.send(start)
            start = b""
        await self._first_token()
        if start:
            await self._wire.send(start)
        if self._fault is Fault.STALL_BEFORE_EVENT:
            await self._wire.stall()
        if self._fault is Fault.OVERSIZE_EVENT:
            await self._flood(b'data: {"choices":[{"index":0,"delta":{"content":"')
        if self._fault is Fault.GARBAGE_EVENT:
            return await self._spoiled_end(chunk(b"data: " + GARBAGE + b"\n\n") + chunk(DONE) + LAST_CHUNK)
        if self._fault is Fault.ERROR_FIRST_EVENT:
            return await self._spoiled_end(self._error_event())
        for step in range(self._steps):
            await self._generation.tokens(step + 1)
            if step == self._steps // 2 and self._fault in MID:
                return await self._strike()
            if step < self._steps - 1:
                await self._wire.send(self._framed(self._events(step)))
        return await self._stream_end()

    def _events(self, step: int) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        for index, (reply, finish) in enumerate(zip(self._replies, self._finishes, strict=True)):
            if step < max(1, len(reply.pieces)):
                events += self._dialect.step(self._answer, index, reply, step, finish)
        if self._fault in (Fault.BARE_DONE, Fault.NO_FINISH_BODY):
            for event in events:
                event["choices"][0]["finish_reason"] = None
        return events

    def _framed(self, events: list[dict[str, Any]]) -> bytes:
        lines = [b"data: %b\n\n" % orjson.dumps(event) for event in events]
        return chunk(b"".join(lines)) if self._dialect.joins_events else b"".join(map(chunk, lines))

    async def _stream_end(self) -> bool:
        self._measure()
        events = self._events(self._steps - 1)
        if self._answer.wants_usage:
            events.append(self._dialect.usage_chunk(self._answer, self._dialect.usage(self._answer, self._replies)))
        self._finish()
        end = self._framed(events)
        end += b"" if self._fault is Fault.NO_FINISH_BODY else chunk(DONE)
        if self._fault is Fault.DONE_THEN_OPEN:
            await self._wire.send(end)
            await self._wire.stall()
        await self._wire.send(end + LAST_CHUNK)
        return True

    async def _strike(self) -> bool:
        """Perform a fault in the middle of a stream."""
        if self._fault is Fault.STALL_MID_STREAM:
            await self._wire.stall()
        if self._fault is Fault.EOF_MID_STREAM:
            return await self._spoiled_end(LAST_CHUNK)
        if self._fault is Fault.ERROR_MID_STREAM:
            return await self._spoiled_end(self._error_event())
        return self._cut()

    def _error_event(self) -> bytes:
        event = b"data: %b\n\n" % orjson.dumps(self._dialect.error_event(500, ERROR_MESSAGE))
        return chunk(event) + (chunk(DONE) if self._dialect.done_after_error else b"") + LAST_CHUNK

    # A whole answer

    async def _whole(self) -> bool:
        await self._first_token()
        await self._generation.tokens(self._steps)
        self._measure()
        kind = f"content-type: {self._dialect.json_type}"
        if self._fault is Fault.OVERSIZE_EVENT:
            await self._wire.send(self._wire.head(200, kind, "transfer-encoding: chunked"))
            await self._flood(b'{"id":"')
        spoiled = self._spoiled_body()
        body = orjson.dumps(self._whole_body()) if spoiled is None else spoiled
        start = self._wire.head(200, kind, f"content-length: {len(body)}")
        if self._fault is Fault.STALL_BEFORE_EVENT:
            await self._wire.send(start)
            await self._wire.stall()
        if self._fault in (Fault.STALL_MID_STREAM, Fault.RESET_MID_STREAM, Fault.TRUNCATED_BODY):
            await self._wire.send(start + body[: len(body) // 2])
            if self._fault is Fault.STALL_MID_STREAM:
                await self._wire.stall()
            return self._cut()
        if spoiled is None:
            self._finish()
        else:
            self.spoil()
        await self._wire.send(start + body)
        return True

    def _whole_body(self) -> dict[str, Any]:
        unfinished = self._fault in (Fault.BARE_DONE, Fault.NO_FINISH_BODY)
        finishes = [None if unfinished else finish for finish in self._finishes]
        return self._dialect.whole(self._answer, self._replies, finishes)

    def _spoiled_body(self) -> bytes | None:
        """Return the body that replaces the answer, if the fault is of that kind."""
        if self._fault is Fault.GARBAGE_EVENT:
            return GARBAGE
        if self._fault in (Fault.ERROR_FIRST_EVENT, Fault.ERROR_MID_STREAM):
            return orjson.dumps(self._dialect.error(500, ERROR_MESSAGE))
        if self._fault is Fault.EOF_MID_STREAM:
            body = orjson.dumps(self._whole_body())
            return body[: len(body) // 2]
        return None

    # Both

    async def _first_token(self) -> None:
        loop = asyncio.get_running_loop()
        self._began = loop.time()
        await self._generation.tokens(1)
        self._first = loop.time()

    def _measure(self) -> None:
        self._answer.prompt_ms = round((self._first - self._began) * 1000, 3)
        self._answer.predicted_ms = round((asyncio.get_running_loop().time() - self._first) * 1000, 3)

    def _finish(self) -> None:
        self._model.stats.output_tokens += self._answer.output_tokens
        self._generation.finish()

    def _cut(self) -> bool:
        """Close or reset the connection in the middle of the answer."""
        self.spoil()
        if self._fault is Fault.RESET_MID_STREAM:
            self._wire.reset()
        return False

    async def _spoiled_end(self, end: bytes) -> bool:
        self.spoil()
        await self._wire.send(end)
        return True

    async def _flood(self, start: bytes) -> None:
        """Send without end, as fast as the peer reads."""
        await self._wire.send(chunk(start))
        while True:
            await self._wire.send(chunk(FLOOD))
            await asyncio.sleep(0)
