"""The private API of locust that the streaming user depends on. No other file names any of it.

It is apart from `penstock.net.private` because importing locust replaces the standard library's sockets and threads,
which must never happen in the gateway. An upgrade may remove each of these without notice:
`tests/unit/locust/test_private.py` has a test for each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import locust.stats
from locust.contrib.fasthttp import FAILURE_EXCEPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust.contrib.fasthttp import ResponseContextManager

__all__ = ["FAILURE_EXCEPTIONS", "lines_of", "round_percentiles_with"]


def lines_of(response: ResponseContextManager) -> Iterator[bytes]:
    """Yield the lines of a response's body as they arrive; the public ways wait until a block is full."""
    body = response._response
    assert body is not None
    return iter(lambda: body.readline(b"\n"), b"")


class Rounding(Protocol):
    """Returns a rounded time; the parameter's name is locust's."""

    def __call__(self, response_time: float) -> int: ...


def round_percentiles_with(rounding: Rounding) -> None:
    """Replace the function by which locust rounds times before it counts them for its percentiles."""
    locust.stats.bucket_response_time = rounding
