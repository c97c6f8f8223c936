"""Keys and values that the contract names and this version cannot serve yet.

A key whose feature does not exist is refused, never accepted and ignored. The step that brings a feature
deletes its line here and adds the key to ``schema.py``. ``*`` stands for any name.
"""

from __future__ import annotations

from penstock.config.problem import Path

KEYS: frozenset[tuple[str, ...]] = frozenset(
    {
        ("cluster",),
        ("keys",),
        ("tls",),
        ("limits", "connections_per_address"),
        ("backends", "*", "context"),
        ("backends", "*", "dialect"),
        ("backends", "*", "health"),
        ("backends", "*", "tokenizer"),
        ("tiers", "*", "heartbeat"),
        ("tiers", "*", "reasoning"),
        ("tiers", "*", "retry", "hedge"),
        ("tiers", "*", "variants"),
    }
)


def is_later_key(path: Path) -> bool:
    """Whether the key at ``path`` belongs to a later version."""
    return any(
        len(key) == len(path) and all(part in ("*", name) for part, name in zip(key, path, strict=True)) for key in KEYS
    )
