"""The prompts that are used where a locustfile gives none."""

from __future__ import annotations

import secrets
from itertools import cycle, islice

__all__ = ["prompt_of", "unique"]

TEXT = "the river takes its time past fields and low bridges until a town begins on both of its banks"


def prompt_of(words: int) -> str:
    """Return a text of so many words; it is always the same."""
    return " ".join(islice(cycle(TEXT.split()), words))


def unique(prompt: str) -> str:
    """Return the prompt after a random word, so that no prefix cache has its beginning."""
    return f"{secrets.token_hex(8)} {prompt}"
