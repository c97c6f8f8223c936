"""What a backend does to a request that it does not serve, by the word for it in the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.mixed.services import tell
from tests.mixed.wire import EVENT_STREAM_HEAD, LAST_CHUNK, Event, answer, chunk, events_of, head, whole_of

if TYPE_CHECKING:
    from tests.mixed.turn import Turn

# Values of a client, as they stand in an engine's refusal: words that a gateway might take for the engine's own.
ECHOED = ("overloaded", "the queue is full", "loading", "maximum context length", "context_length_exceeded")


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
    if turn.streams:
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


DEATHS = (die, hang_up, die_late, hang_up_late, half_head, cut_early, cut_stream, reset_stream)
ERRORS = (garbled_stream, error_event, garbled, full, bad_gateway, internal, echo, stall, stall_stream)
FAILURES = (*DEATHS, *ERRORS)
