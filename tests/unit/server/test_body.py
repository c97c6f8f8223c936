"""The end of a chunked body, held against aiohttp's parser: it is where that finds it, or nowhere."""

from __future__ import annotations

import asyncio
import os
import random

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import HttpProcessingError

from penstock.server.body import ChunkedBody

HEAD = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
COUNT = 2000
ODD = [b"\r", b"\n", b"\r\n", b"0", b";", b" ", b"0\r\n\r\n", b"x", b"\x00", b"\xff", b"_", b"-", b"5\r\n"]


def end_of(data: bytes) -> int | None:
    """Return where the parser finds the end; None: it finds none."""
    loop = asyncio.get_running_loop()
    protocol = BaseProtocol(loop)
    parser = HttpRequestParser(protocol, loop, 1 << 20, auto_decompress=False)
    protocol._parser = parser
    ((_, payload),) = parser.feed_data(HEAD)[0]
    for at in range(len(data)):
        try:
            parser.feed_data(data[at : at + 1])
        except HttpProcessingError:
            return None
        if payload.is_eof():
            return at + 1
    return None


def body(chance: random.Random) -> bytes:
    """Return a chunked body, in one case of two one that somebody has damaged."""
    text = b""
    for _ in range(chance.randrange(4)):
        data = b"".join(chance.choices(ODD, k=chance.randrange(1, 12)))
        size = b"%x" % len(data)
        size = b"0" * chance.choice([0, 0, 1, 70]) + (size.upper() if chance.random() < 0.5 else size)
        extension = chance.choice([b"", b"", b";a", b';a="b"', b";a=b;c=d", b";" + b"e" * 100])
        text += size + extension + b"\r\n" + data + b"\r\n"
    text += chance.choice([b"0", b"000", b"0;a=b"]) + b"\r\n"
    text += b"".join(chance.choices([b"x-t: 1\r\n", b"y: " + b"z" * 100 + b"\r\n"], k=chance.randrange(3))) + b"\r\n"
    at = chance.randrange(len(text))
    match chance.randrange(6):
        case 0:
            return text[:at] + text[at + 1 :]
        case 1:
            return text[:at] + chance.choice(ODD) + text[at:]
        case 2:
            return text[:at] + bytes([chance.randrange(256)]) + text[at + 1 :]
    return text


def taken(pieces: list[bytes]) -> tuple[int, bool]:
    """Return how many bytes are taken, and whether that is all."""
    one = ChunkedBody()
    size = 0
    for piece in pieces:
        end = one.take(piece, 0)
        size += end
        if end < len(piece) or one.is_over:
            break
    assert not (one.is_over and one.is_broken)
    return size, one.is_over


async def test_the_end_is_where_the_parser_finds_it() -> None:
    seed = int(os.environ.get("PENSTOCK_SEED", random.randrange(1 << 32)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    whole = 0
    for _ in range(COUNT):
        text = body(chance)
        sent = text + b"GET /livez HTTP/1.1\r\n\r\n"
        cuts = sorted(chance.sample(range(1, len(sent)), chance.choice([0, 1, 5])))
        pieces = [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        size, is_over = taken(pieces)
        end = end_of(sent)
        if is_over and end is not None:
            whole += 1
            assert size == end, f"seed {seed}: {sent!r}"
        elif is_over:
            # What is wrong with it the parser says before it is over.
            assert end is None
        elif end is not None:
            # More leading zeros than are kept: then nothing is guessed.
            assert b"0" * 60 in sent, f"seed {seed}: {sent!r}"
    assert whole > COUNT // 4


@pytest.mark.parametrize(
    ("text", "size", "is_over"),
    [
        (b"0\r\n\r\n", 5, True),
        (b"5;x=y\r\n0\r\n\r\n\r\n0\r\n\r\nGET", 19, True),
        (b"0\r\nx: y\r\n\r\nGET", 11, True),
        (b"0\r\n\r", 4, False),
        (b"zz\r\nGET", 4, False),
        (b"\r\nGET", 2, False),
        (b"-1\r\nGET", 4, False),
    ],
)
def test_ends(text: bytes, size: int, *, is_over: bool) -> None:
    assert taken([text]) == (size, is_over)
    assert taken([text[at : at + 1] for at in range(len(text))]) == (size, is_over)
