"""What a backend does to a request, by the word for it in the prompt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.mixed.wire import (
    DONE,
    EVENT_STREAM_HEAD,
    LAST_CHUNK,
    Event,
    answer,
    chunk,
    cut,
    events_of,
    head,
    swallowed,
    whole_of,
)

if TYPE_CHECKING:
    from tests.mixed.backend import Turn

Act = Callable[["Turn"], Awaitable[None]]
# Values of a client, as they stand in an engine's refusal: words that a gateway might take for the engine's own.
ECHOED = ("overloaded", "the queue is full", "loading", "maximum context length", "context_length_exceeded")
# What is behind the end of an answer belongs to nobody.
MESSAGE = {"role": "assistant", "content": "spilt"}
SPILT = answer("200 OK", {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}]})


def tell(turn: Turn, *events: Event) -> None:
    """Send events, each in a chunk of its own."""
    for event in events:
        turn.send(chunk(event.data(turn.dice)))
        note(turn, event)


def note(turn: Turn, event: Event) -> None:
    turn.attempt.told[event.index] += event.text
    turn.attempt.has_told |= event.is_meaningful


async def good(turn: Turn) -> None:
    """Answer well, in whatever pieces."""
    await turn.pause(turn.dice.choice((0, 0, 0, 0.002, 0.02)))
    if turn.ask.stream:
        await stream(turn, 0, 0)
        return
    body = whole_of(turn.ask, turn.attempt, turn.dice)
    if turn.dice.random() < 0.5:
        message = head("200 OK", len(body)) + body
    else:
        message = head("200 OK", None) + b"".join(map(chunk, cut(body, turn.dice))) + LAST_CHUNK
    *pieces, last = cut(message, turn.dice) if turn.dice.random() < 0.3 else [message]
    for piece in pieces:
        turn.send(piece)
        await turn.pause()
    turn.end(last)


async def stream(turn: Turn, pause: float, swallow: float, end: bytes = chunk(DONE) + LAST_CHUNK) -> None:
    """Stream well, with pauses of up to `pause` seconds, and events that say nothing with the chance `swallow`."""
    turn.send(EVENT_STREAM_HEAD)
    joined = turn.dice.random() < 0.3 and not swallow
    for event in events_of(turn.ask, turn.attempt, turn.dice):
        data = event.data(turn.dice)
        # One event in several chunks and reads, or alone in each.
        for piece in cut(data, turn.dice) if joined else [data]:
            turn.send(chunk(piece))
            if joined:
                await turn.pause()
        note(turn, event)
        if pause:
            await turn.pause(turn.dice.uniform(0.001, pause))
        if turn.dice.random() < swallow:
            turn.send(chunk(swallowed(turn.ask, turn.dice).data(turn.dice)))
            await turn.pause(turn.dice.uniform(0.001, 0.03))
    turn.end(end)


async def paused(turn: Turn) -> None:
    """Answer well, and slowly."""
    await turn.pause(turn.dice.uniform(0.01, 0.2))
    await (stream(turn, 0.05, 0) if turn.ask.stream else good(turn))


async def swallow(turn: Turn) -> None:
    """Stream, with events alone in a read of which the client gets nothing, and then silence."""
    await (stream(turn, 0, 0.7) if turn.ask.stream else good(turn))


async def keepalive(turn: Turn) -> None:
    """Stream, with comments and events without data."""
    turn.send(EVENT_STREAM_HEAD)
    for event in events_of(turn.ask, turn.attempt, turn.dice):
        turn.send(
            chunk(
                turn.dice.choice((b": ping\n\n", b"data:\n\n", b"data: \n\n", b"event: ping\n\n", b"\n", b"id: 7\n\n"))
            )
        )
        tell(turn, event)
        await turn.pause(0.002)
    turn.end(chunk(DONE) + LAST_CHUNK)


async def no_done(turn: Turn) -> None:
    """Stream without [DONE]: the answer is complete all the same."""
    await stream(turn, 0.005, 0, end=LAST_CHUNK)


async def closes(turn: Turn) -> None:
    """Answer well, and close."""
    if turn.ask.stream:
        head_ = EVENT_STREAM_HEAD.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        turn.send(head_)
        tell(turn, *events_of(turn.ask, turn.attempt, turn.dice))
        turn.end(chunk(DONE) + LAST_CHUNK, closes=True)
        return
    body = whole_of(turn.ask, turn.attempt, turn.dice)
    turn.end(head("200 OK", len(body), "connection: close\r\n") + body, closes=True)


async def as_whole(turn: Turn) -> None:
    """Answer whole, also where a stream was asked for."""
    body = whole_of(turn.ask, turn.attempt, turn.dice)
    turn.end(head("200 OK", len(body)) + body)


async def created(turn: Turn) -> None:
    """Answer well, with another status that says so."""
    body = whole_of(turn.ask, turn.attempt, turn.dice)
    turn.end(head(turn.dice.choice(("201 Created", "202 Accepted")), len(body)) + body)


async def spill(turn: Turn) -> None:
    """Answer well, and send what nobody has asked for behind it."""
    body = whole_of(turn.ask, turn.attempt, turn.dice)
    turn.end(head("200 OK", len(body)) + body + SPILT)


async def die(turn: Turn) -> None:
    """Work, and break the connection without a word."""
    await turn.pause(turn.dice.choice((0, 0.01, 0.1)))
    turn.die(reset=True)


async def hang_up(turn: Turn) -> None:
    """Work, and close without a word."""
    await turn.pause(turn.dice.choice((0, 0.01, 0.1)))
    turn.die(reset=False)


async def die_late(turn: Turn) -> None:
    """Work for longer than a connection is kept, and break it without a word."""
    await turn.pause(0.5)
    turn.die(reset=True)


async def hang_up_late(turn: Turn) -> None:
    """Work for longer than a connection is kept, and close it without a word."""
    await turn.pause(0.5)
    turn.die(reset=False)


async def half_head(turn: Turn) -> None:
    """Close within the head."""
    turn.send(EVENT_STREAM_HEAD[: turn.dice.randrange(1, len(EVENT_STREAM_HEAD) - 4)])
    await turn.pause()
    turn.die(reset=False)


async def cut_early(turn: Turn) -> None:
    """Close before there is anything for the client: behind the role, or within a whole answer."""
    if turn.ask.stream:
        turn.send(EVENT_STREAM_HEAD)
        tell(turn, Event({"role": "assistant", "content": ""}))
    else:
        body = whole_of(turn.ask, turn.attempt, turn.dice)
        turn.send(head("200 OK", len(body)) + body[: turn.dice.randrange(len(body))])
    await turn.pause(turn.dice.choice((0, 0.01)))
    turn.die(reset=False)


async def begin(turn: Turn) -> None:
    """Stream some of the answer."""
    turn.send(EVENT_STREAM_HEAD)
    events = events_of(turn.ask, turn.attempt, turn.dice, merged=0)
    first = next(at for at, event in enumerate(events) if event.text)
    last = max(at for at, event in enumerate(events) if event.value["choices"])
    tell(turn, *events[: turn.dice.randrange(first, last) + 1])
    await turn.pause(turn.dice.choice((0, 0.02)))


async def cut_stream(turn: Turn) -> None:
    """Close in the middle of a stream, perhaps within an event."""
    await begin(turn)
    if turn.dice.random() < 0.5:
        turn.send(chunk(Event({"content": "never whole"}).data(turn.dice))[: turn.dice.randrange(1, 60)])
    turn.die(reset=False)


async def reset_stream(turn: Turn) -> None:
    """Reset the connection in the middle of a stream."""
    await begin(turn)
    turn.die(reset=True)


async def garbled_stream(turn: Turn) -> None:
    """Break the framing in the middle of a stream."""
    await begin(turn)
    turn.end(turn.dice.choice((b"zz\r\n", b"5\r\nabcdefgh\r\n", chunk(b"data: no json\n\n"))), closes=True)


async def error_event(turn: Turn) -> None:
    """Report a failure in the middle of a stream."""
    await begin(turn)
    error = b'data: {"error": {"message": "out of memory", "type": "server_error", "code": 500}}\n\n'
    turn.end(chunk(error) + LAST_CHUNK)


async def garbled(turn: Turn) -> None:
    """Send what is no answer."""
    body = turn.dice.choice((b"{", b"[]", b"<html>", b'{"choices": 7}'))
    turn.end(head("200 OK", len(body)) + body)


async def full(turn: Turn) -> None:
    """Have no room."""
    error = {"error": {"message": "Model is overloaded", "type": "overloaded", "code": 429}}
    turn.end(answer("429 Too Many Requests", error, "retry-after: 1\r\n"))


async def bad_gateway(turn: Turn) -> None:
    """Fail in a way that another try may mend."""
    turn.end(answer("502 Bad Gateway", {"error": {"message": "the engine has died", "type": "server_error"}}))


async def internal(turn: Turn) -> None:
    """Fail in a way that nothing mends."""
    turn.end(answer("500 Internal Server Error", {"error": {"message": "a bug", "type": "InternalServerError"}}))


async def echo(turn: Turn) -> None:
    """Refuse the request with the client's own words, as vLLM does."""
    said = turn.dice.choice(ECHOED)
    message = f"[{{'type': 'float_type', 'loc': ('body', 'temperature'), 'msg': 'not a number', 'input': '{said}'}}]"
    error = {"message": message, "type": "BadRequestError", "param": None, "code": 400}
    turn.end(answer("400 Bad Request", {"error": error}))


async def stall(turn: Turn) -> None:
    """Never answer."""
    await turn.stall()


async def stall_stream(turn: Turn) -> None:
    """Begin a stream, and never go on."""
    await begin(turn)
    await turn.stall()


GOOD = (good, paused, swallow, keepalive, no_done, closes, as_whole, created, spill)
BAD = (
    die,
    hang_up,
    die_late,
    hang_up_late,
    half_head,
    cut_early,
    cut_stream,
    reset_stream,
    garbled_stream,
    error_event,
    garbled,
    full,
)
REFUSED = (bad_gateway, internal, echo, stall, stall_stream)
ACTS: dict[str, Act] = {act.__name__: act for act in (*GOOD, *BAD, *REFUSED)}
