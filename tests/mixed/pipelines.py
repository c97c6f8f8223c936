"""Clients that send several requests at once, and malformed ones."""

from __future__ import annotations

import asyncio
import random

from tests.mixed.book import Ask
from tests.mixed.chat import require
from tests.mixed.clients import Run, receive, send
from tests.mixed.connection import Connection
from tests.mixed.plans import draw
from tests.mixed.requests import Sent, cut_up, malformed, other, plain, post


async def pipelined(run: Run, connection: Connection, dice: random.Random) -> None:
    """Several requests at once, in any pieces; something malformed in the end."""
    only_chat = dice.random() < 0.3
    for _ in range(dice.randrange(1, 20)):
        if run.is_over:
            return
        batch = [_any_request(run, dice, only_chat) for _ in range(dice.randrange(1, 9))]
        data = b"".join(sent.data for sent in batch)
        for sent in batch:
            send(run, connection, sent, data=b"")
        pieces = cut_up(batch, data, dice)
        sending = asyncio.create_task(connection.send_slowly(pieces, dice, dice.choice((0, 0, 0.02, 0.3))))
        try:
            for at, sent in enumerate(batch):
                await receive(run, connection, sent, batch[at - 1] if at else None)
                if connection.is_ending:
                    await _ended_within(run, connection, batch[at:])
                    return
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
    if dice.random() < 0.5:
        # Behind what aiohttp reads in the same piece, malformed bytes take the answers before them away.
        before = [_any_request(run, dice, True) for _ in range(dice.randrange(3))] if run.has_lane and only_chat else []
        await _end_malformed(run, connection, dice, before)


async def _ended_within(run: Run, connection: Connection, rest: list[Sent]) -> None:
    """The answer to `rest[0]` was the last: nothing behind it may run.

    That is right for a request whose handler has no use for its body and does not wait for it.
    """
    require(rest[0].seam is not None, "a connection that stays open", str(rest[0]))
    for sent in rest[1:]:
        run.book.posted -= sent.counts
        require(sent.ask is None or not sent.ask.attempts, "nothing that runs behind the last answer", str(sent))
        if sent.ask is not None:
            sent.ask.close()
    await connection.ended()


def _any_request(run: Run, dice: random.Random, only_chat: bool) -> Sent:
    if only_chat or dice.random() < 0.4:
        stream = dice.random() < 0.4
        ask = run.book.ask("pipelined", dice, words=draw(dice, stream=stream), stream=stream)
        sent = post(ask, dice)
        # Chunks and unusual headers are aiohttp's.
        return sent if not only_chat else Sent(plain(ask), "POST", ask, counts=True)
    return other(dice, lambda: _smuggled(run, dice))


def _smuggled(run: Run, dice: random.Random) -> Ask:
    """Return a request that is never really sent: it stands where only a wrong reading finds it."""
    return run.book.ask("smuggled", dice)


async def _end_malformed(run: Run, connection: Connection, dice: random.Random, before: list[Sent]) -> None:
    last = malformed(dice, plain(_smuggled(run, dice)))
    for sent in (*before, last):
        send(run, connection, sent, data=b"")
    connection.send(b"".join(sent.data for sent in (*before, last)))
    for sent in (*before, last):
        await receive(run, connection, sent)
    await connection.ended()


async def broken(run: Run, connection: Connection, dice: random.Random) -> None:
    """Malformed requests, alone or behind a good one."""
    if dice.random() < 0.5:
        sent = post(run.book.ask("broken", dice), dice)
        send(run, connection, sent)
        await receive(run, connection, sent)
    await _end_malformed(run, connection, dice, [])
