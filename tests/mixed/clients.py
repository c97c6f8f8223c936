"""The kinds of clients. Each has one connection and what it does on it, and raises what is wrong."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol

from tests.mixed.book import FAST, Book, Model
from tests.mixed.connection import Connection
from tests.mixed.fault import Fault
from tests.mixed.plans import Words, draw
from tests.mixed.requests import Sent, cut_up, post
from tests.mixed.settle import settle, settle_part

# Requests on one connection, at most.
MANY = 200
NS = (None, None, 1, 2)
# What the configuration makes of a request without `n` on each model.
WIDE = Model("wide", choices=3)
BRIEF = Model("brief")
MODELS = (*(FAST,) * 6, WIDE)
# The lane hands a request over that has not come within this.
SLOW_SECONDS = 1.0


class Run(Protocol):
    """What a client knows of the run."""

    book: Book
    port: int
    has_lane: bool

    @property
    def is_over(self) -> bool: ...


Client = Callable[[Run, Connection, random.Random], Awaitable[None]]


def send(run: Run, connection: Connection, sent: Sent, *, data: bytes | None = None) -> None:
    """Send a request, or note that its bytes are on their way some other way."""
    connection.reader.expect(sent.method)
    run.book.posted += sent.counts
    if sent.ask is not None:
        sent.ask.is_sent = True
    connection.send(sent.data if data is None else data)


async def receive(run: Run, connection: Connection, sent: Sent, before: Sent | None = None) -> None:
    """Wait for the answer, and hold it against the request. `before`: the request in front, to be shown."""
    try:
        answer = await connection.answer()
    except Fault as fault:
        behind = "" if before is None else f"\n    behind {before}"
        raise Fault(f"{fault}\n    for {sent}{behind}") from None
    if sent.ask is not None:
        settle(run.book, sent.ask, answer)
        return
    assert sent.check is not None
    run.book.answered += sent.counts
    sent.check(answer)
    run.book.outcomes[f"{sent.method}: {answer.status}"] += 1


class ClosedLoop:
    """Chat requests, one behind the other."""

    def __init__(
        self, name: str, words: Callable[[random.Random], Words], *, stream: bool, models: Sequence[Model] = (FAST,)
    ) -> None:
        """`words`: chooses what the attempts of a request are to meet."""
        self.name = name
        self._words = words
        self._stream = stream
        self._models = models

    async def __call__(self, run: Run, connection: Connection, dice: random.Random) -> None:
        for _ in range(dice.randrange(1, MANY)):
            if run.is_over:
                return
            words, model = self._words(dice), dice.choice(self._models)
            ask = run.book.ask(self.name, dice, model=model, words=words, stream=self._stream, n=dice.choice(NS))
            sent = post(ask, dice)
            send(run, connection, sent)
            await receive(run, connection, sent)


whole = ClosedLoop("whole", partial(draw, stream=False), stream=False, models=MODELS)
streamed = ClosedLoop("streamed", partial(draw, stream=True), stream=True, models=MODELS)


async def stalled(run: Run, connection: Connection, dice: random.Random) -> None:
    """Requests of a tier with short timers, whose backends do not answer."""
    stream = dice.random() < 0.7
    words = dice.choice((("stall",), ("stall", "good"), ("stall_stream",))) if stream else ("stall",)
    sent = post(run.book.ask("stalled", dice, model=BRIEF, words=words, stream=stream), dice)
    send(run, connection, sent)
    await receive(run, connection, sent)


async def slow_reader(run: Run, connection: Connection, dice: random.Random) -> None:
    """Large answers, read in small pieces."""
    for _ in range(2):
        stream = dice.random() < 0.5
        ask = run.book.ask("slow_reader", dice, stream=stream, size=dice.choice((3_000, 30_000, 100_000)))
        sent = post(ask, dice)
        send(run, connection, sent)
        while not connection.reader.answers and connection.fault is None and not connection.is_lost:
            connection.pause()
            await asyncio.sleep(dice.choice((0, 0.005, 0.03)))
            before = connection.reader.read
            connection.resume()
            await connection.wait_for(lambda before=before: connection.reader.read > before)  # type: ignore[misc]
        await receive(run, connection, sent)


async def slow_sender(run: Run, connection: Connection, dice: random.Random) -> None:
    """Heads and bodies in pieces, with pauses; some take longer than the lane waits."""
    for _ in range(4):
        if run.is_over:
            return
        stream = dice.random() < 0.5
        sent = post(run.book.ask("slow_sender", dice, stream=stream), dice)
        pieces = cut_up([sent], sent.data, dice)
        send(run, connection, sent, data=b"")
        await connection.send_slowly(pieces, dice, dice.choice((0.1, 0.1, 1.5 * SLOW_SECONDS)))
        await receive(run, connection, sent)


async def leaver(run: Run, connection: Connection, dice: random.Random) -> None:
    """Ask, and leave at any moment: within the request, in the queue, before or behind the first event."""
    stream = dice.random() < 0.7
    words = ((dice.choice(("good", "paused", "paused", "swallow", "stall")),), ("die", "paused"))
    ask = run.book.ask("leaver", dice, words=dice.choice(words), stream=stream)
    sent = post(ask, dice)
    if dice.random() < 0.15:
        ask.is_sent = True
        connection.reader.expect("POST")
        # It counts if its head had come; whether it has is the gateway's to say.
        run.book.posted += 1
        connection.send(sent.data[: dice.randrange(1, len(sent.data))])
        await asyncio.sleep(dice.random() * 0.1)
    else:
        send(run, connection, sent)
        await _until_leaving(connection, dice)
    connection.reset() if dice.random() < 0.5 else connection.close()
    if connection.fault is not None:
        raise connection.fault
    if connection.reader.answers:
        await receive(run, connection, sent)
    elif connection.reader.current is not None:
        settle_part(ask, connection.reader.current)
    run.book.outcomes[f"left, {'stream' if stream else 'whole'} {' '.join(ask.words)}"] += 1


async def _until_leaving(connection: Connection, dice: random.Random) -> None:
    """Wait until some bytes of the answer have come, or for some time."""
    if dice.random() < 0.5:
        await asyncio.sleep(dice.random() * dice.choice((0, 0.01, 0.3)))
        return
    after = dice.choice((1, 400, 2000))
    try:
        async with asyncio.timeout(0.5):
            await connection.wait_for(lambda: connection.reader.read >= after)
    except TimeoutError:
        return


async def half_closer(run: Run, connection: Connection, dice: random.Random) -> None:
    """Ask and close one's own side: to Penstock such a client has left, and the connection ends."""
    stream = dice.random() < 0.5
    ask = run.book.ask("half_closer", dice, words=(dice.choice(("good", "paused")),), stream=stream)
    sent = post(ask, dice)
    send(run, connection, sent)
    await asyncio.sleep(dice.random() * dice.choice((0, 0.05)))
    connection.half_close()
    await connection.wait_for(lambda: False)
    if connection.fault is not None:
        raise connection.fault
    if connection.reader.answers:
        await receive(run, connection, sent)
    elif connection.reader.current is not None:
        settle_part(ask, connection.reader.current)
    run.book.outcomes["left, half-closed"] += 1
