"""Requests for text: refuses one or runs it as an :class:`Exchange`. Chat, and what is read as if it were chat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from penstock.sim.exchange import DONE, Exchange
from penstock.sim.faults import STATUSES, Fault
from penstock.sim.fence import Refusal
from penstock.sim.http import LAST_CHUNK, chunk
from penstock.sim.request import InvalidRequestError, read_chat

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.sim.connection import Connection
    from penstock.sim.dialects import Dialect
    from penstock.sim.http import Request
    from penstock.sim.model import SimModel
    from penstock.sim.request import ChatRequest

__all__ = ["answer_chat", "answer_text", "fault_of"]

FAULT_HEADER = "x-sim-fault"


async def answer_chat(model: SimModel, request: Request, wire: Connection) -> bool:
    """Answer ``POST /v1/chat/completions``; returns whether the connection may stay open."""
    return await answer_text(model, request, wire, read_chat, model.dialect)


async def answer_text(
    model: SimModel, request: Request, wire: Connection, read: Callable[[bytes], ChatRequest], dialect: Dialect
) -> bool:
    """Answer a request that `read` makes one for chat of, in the shapes of `dialect`.

    Returns whether the connection may stay open.
    """
    try:
        chat = read(request.body)
        fault = fault_of(model, request)
    except InvalidRequestError as error:
        return await wire.refuse(*dialect.invalid(str(error), error.param))
    try:
        tokens = _checked_size(model, dialect, chat)
    except _RefusedError as refused:
        if chat.stream and refused.place is Refusal.EVENT:
            return await _refuse_in_stream(model, dialect, wire, refused)
        return await wire.refuse(refused.status, refused.body)
    if fault in STATUSES:
        status, message = STATUSES[fault]
        lines = ("retry-after: 2",) if status == 429 else ()
        return await wire.refuse(status, dialect.error(status, message), *lines)
    exchange = Exchange(model, wire, tokens, chat, fault, dialect=dialect)
    try:
        return await exchange.run()
    finally:
        exchange.spoil()


class _RefusedError(Exception):
    """A request that is answered with an error of the dialect's own."""

    def __init__(self, status: int, message: str, body: dict[str, Any], place: Refusal) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
        self.place = place


async def _refuse_in_stream(model: SimModel, dialect: Dialect, wire: Connection, refused: _RefusedError) -> bool:
    model.stats.refused += 1
    lines = (f"content-type: {dialect.stream_type}", "transfer-encoding: chunked")
    event = b"data: %b\n\n" % orjson.dumps(dialect.error_event(refused.status, str(refused)))
    end = chunk(DONE) if dialect.done_after_error else b""
    await wire.send(wire.head(200, *lines) + chunk(event) + end + LAST_CHUNK)
    return True


def fault_of(model: SimModel, request: Request) -> Fault | None:
    """Return how this request is to be answered wrongly, if it is. Raises InvalidRequestError."""
    name = request.headers.get(FAULT_HEADER)
    if name is None:
        return model.fault
    try:
        return Fault(name)
    except ValueError as error:
        raise InvalidRequestError(f"{FAULT_HEADER}: {name!r} is none of {', '.join(Fault)}", FAULT_HEADER) from error


def _checked_size(model: SimModel, dialect: Dialect, chat: ChatRequest) -> int:
    """Return the prompt's tokens if this server can serve the request, and has room to take it."""
    places = model.engine.profile.max_num_seqs
    if dialect.checks_model and chat.model not in (model.model, None):
        body = dialect.no_model(chat.model or "", model.model)
        raise _RefusedError(404, "unknown model", body, Refusal.STATUS)
    tokens = chat.prompt_tokens()
    if tokens >= model.context:
        raise _RefusedError(*dialect.too_long(tokens, model.context), dialect.refusal)
    if chat.width > places:
        message = f"n is {chat.width}, but only {places} can run at once"
        raise _RefusedError(400, message, dialect.error(400, message, "n"), Refusal.STATUS)
    if dialect.fence.turns_away(model.engine, model.fence, model.choices(chat)):
        model.stats.turned_away += 1
        status, message = dialect.overload
        raise _RefusedError(status, message, dialect.error(status, message), model.refusal)
    return tokens
