"""Prompts without roles: one text or several, or their tokens."""

from __future__ import annotations

__all__ = ["Texts", "texts_of", "tokens_of"]

Texts = str | list[str | int | list[int]]
"""A text, texts, tokens, or lists of tokens."""


def texts_of(given: Texts) -> list[str | list[int]]:
    """Return each text, or its tokens."""
    if isinstance(given, str):
        return [given]
    tokens = [token for token in given if isinstance(token, int)]
    return [tokens] if tokens else [text for text in given if not isinstance(text, int)]


def tokens_of(text: str | list[int]) -> int:
    """Return how many tokens a text has: one for each four bytes, where it is not given as tokens."""
    return max(1, -(-len(text.encode()) // 4)) if isinstance(text, str) else len(text)
