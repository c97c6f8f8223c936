"""All that a backend may do to a request, by the word for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.mixed.failures import FAILURES
from tests.mixed.services import SERVICES

if TYPE_CHECKING:
    from tests.mixed.turn import Turn

ACTS: dict[str, Callable[[Turn], Awaitable[None]]] = {act.__name__: act for act in (*SERVICES, *FAILURES)}
