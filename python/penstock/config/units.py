"""Durations, sizes and shares as people write them: ``250ms``, ``8MiB``, ``10%``.

Each ``parse_*`` raises ValueError with a message for the author of the file; each ``format_*`` gives back a text that
parses to exactly the same number.
"""

from __future__ import annotations

import re
from decimal import Decimal

DURATION_PATTERN = r"^[0-9]{1,12}(\.[0-9]{1,12})?(ms|s|m|h)$"
SIZE_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,12})?(B|KB|MB|GB|KiB|MiB|GiB)$"
SHARE_PATTERN = r"^[0-9]{1,3}(\.[0-9]{1,6})?%$"

DURATION_EXAMPLES = "a duration such as 250ms, 2s, 1.5m or 1h"
SIZE_EXAMPLES = "a size such as 512B, 16KiB, 8MiB or 10MB"
SHARE_EXAMPLES = "a share such as 10%"

_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}

# Larger values are typing errors, and would overflow the integers of the Rust core.
MAX_SECONDS = 366 * 24 * 3600
MAX_BYTES = 1024 * 2**30


def parse_duration(text: str) -> float:
    """Seconds; the number is decimal, so ``0.1s`` is exactly the float 0.1."""
    number, unit = _split(text, DURATION_PATTERN, DURATION_EXAMPLES)
    seconds = number * _SECONDS[unit]
    if seconds > MAX_SECONDS:
        raise ValueError(f'"{text}" is longer than 366 days')
    return float(seconds)


def parse_size(text: str) -> int:
    """Bytes. ``KiB`` is 1024, ``KB`` is 1000; a part of a byte is an error."""
    number, unit = _split(text, SIZE_PATTERN, SIZE_EXAMPLES)
    size = number * _BYTES[unit]
    if size != int(size):
        raise ValueError(f'"{text}" is not a whole number of bytes')
    if size > MAX_BYTES:
        raise ValueError(f'"{text}" is more than 1024GiB')
    return int(size)


def parse_share(text: str) -> float:
    """A fraction from 0 to 1."""
    number, _ = _split(text, SHARE_PATTERN, SHARE_EXAMPLES)
    if number > 100:
        raise ValueError(f'"{text}" is more than 100%')
    return float(number / 100)


def format_duration(seconds: float) -> str:
    """The largest unit that gives a whole number; below a second milliseconds."""
    exact = Decimal(repr(seconds))
    if exact == 0:
        return "0s"
    for unit in ("h", "m", "s"):
        if exact % _SECONDS[unit] == 0:
            return f"{_plain(exact / _SECONDS[unit])}{unit}"
    unit = "s" if exact > 1 else "ms"
    return f"{_plain(exact / _SECONDS[unit])}{unit}"


def format_size(size: int) -> str:
    """The largest unit that gives a whole number."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


def format_share(share: float) -> str:
    """A percentage."""
    return f"{_plain(Decimal(repr(share)) * 100)}%"


def _split(text: str, pattern: str, examples: str) -> tuple[Decimal, str]:
    # fullmatch: "$" alone would let a trailing line break pass.
    if re.fullmatch(pattern, text) is None:
        raise ValueError(f'expected {examples}, got "{text}"')
    number = text.rstrip("%BKMGihms")
    return Decimal(number), text[len(number) :]


def _plain(number: Decimal) -> str:
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
