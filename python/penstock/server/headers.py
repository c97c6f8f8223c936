"""Reads a client's headers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy

__all__ = ["last"]


def last(headers: CIMultiDictProxy[str], name: str) -> str | None:
    """Return the last value of a header, which is the one that the nearest proxy has added; None: there is none.

    Bytes that are not UTF-8 become replacement characters: aiohttp returns them as lone surrogates (PEP 383), which
    cannot be encoded again.
    """
    values = headers.getall(name, [])
    return values[-1].encode("utf-8", "surrogateescape").decode("utf-8", "replace") if values else None
