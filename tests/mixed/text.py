"""What backends say: text that is hard to carry, the same for the same marker."""

from __future__ import annotations

import random

# What framing, JSON and SSE give a meaning, and what takes several bytes or an escape.
WORDS = (
    *("river", "delta", "0\r\n\r\n", "\n\n", "data: ", "data: [DONE]\n\n", "HTTP/1.1 200 OK\r\n", '"', "\\", "\\u0000"),
    *("é", "日本", "🜁", "\u2028", "\t", '{"error":', "]}", "\r\n", " ", "129\r\n", "x" * 40, "event: error", ": ping"),
)
POOL_SIZE = 1 << 18
_dice = random.Random(20260101)
POOL = "".join(_dice.choices(WORDS, k=POOL_SIZE // 4)) * 2


def content_of(name: str, size: int) -> str:
    """Return about `size` characters that begin with `name`; the same name has the same text."""
    start = hash_of(name) % (len(POOL) // 2)
    return f"{name} {POOL[start : start + size]}"


def hash_of(name: str) -> int:
    """Return a number that does not change from process to process, as `hash` does."""
    return random.Random(name).getrandbits(32)
