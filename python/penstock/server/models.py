"""`GET /v1/models`: the names that clients may use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock._core import Segment
    from penstock.config.settings import Settings

__all__ = ["Models"]


class Models:
    """The configured model names. Backends' own names are never shown.

    ``max_model_len`` (vLLM's name) is the number of tokens of prompt and answer together. If the backends of a model
    differ, it is the smallest, as a request may go to any of them; while no backend has reported it, it is absent.
    """

    def __init__(self, settings: Settings, segment: Segment) -> None:
        created = int(time.time())
        places = {name: index for index, name in enumerate(settings.backends)}
        self._models = {
            name: {"id": name, "object": "model", "created": created, "owned_by": "penstock"}
            for tier in settings.tiers.values()
            for name in tier.models
        }
        self._backends = {
            name: [places[backend] for backend in tier.backends]
            for tier in settings.tiers.values()
            for name in tier.models
        }
        self._segment = segment

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._models)

    def listing(self) -> dict[str, object]:
        """Return the list object."""
        contexts = self._segment.contexts()
        return {"object": "list", "data": [self._model(name, contexts) for name in self._models]}

    def get(self, name: str) -> dict[str, object] | None:
        """Return one model, or None."""
        return self._model(name, self._segment.contexts()) if name in self._models else None

    def _model(self, name: str, contexts: Sequence[int | None]) -> dict[str, object]:
        known = [context for backend in self._backends[name] if (context := contexts[backend]) is not None]
        return self._models[name] | ({"max_model_len": min(known)} if known else {})
