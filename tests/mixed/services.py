"""How a backend serves a request, by the word for it in the prompt."""

from __future__ import annotations

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
    from tests.mixed.turn import Turn

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
    if turn.streams:
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
        *pieces, last = cut(data, turn.dice) if joined else [data]
        for piece in pieces:
            turn.send(chunk(piece))
            await turn.pause()
        turn.send(chunk(last))
        # Before anything else: a client that leaves now has had it.
        note(turn, event)
        if joined:
            await turn.pause()
        if pause:
            await turn.pause(turn.dice.uniform(0.001, pause))
        if turn.dice.random() < swallow:
            turn.send(chunk(swallowed(turn.ask, turn.dice).data(turn.dice)))
            await turn.pause(turn.dice.uniform(0.001, 0.02))
    turn.end(end)


async def paused(turn: Turn) -> None:
    """Answer well, and slowly."""
    await turn.pause(turn.dice.uniform(0.01, 0.1))
    await (stream(turn, 0.03, 0) if turn.streams else good(turn))


async def swallow(turn: Turn) -> None:
    """Stream, with events alone in a read of which the client gets nothing, and then silence."""
    await (stream(turn, 0, 0.7) if turn.streams else good(turn))


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
    if turn.streams:
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


SERVICES = (good, paused, swallow, keepalive, no_done, closes, as_whole, created, spill)
