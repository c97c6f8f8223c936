"""`GET /v1/models`: the names that clients may use."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["Models"]


class Models:
    """The configured names. Backends' own names never show (contract §7)."""

    def __init__(self, settings: Settings) -> None:
        created = int(time.time())
        self._models = {
            name: {"id": name, "object": "model", "created": created, "owned_by": "penstock"}
            for tier in settings.tiers.values()
            for name in tier.models
        }

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._models)

    def listing(self) -> dict[str, object]:
        """Return the list object."""
        return {"object": "list", "data": list(self._models.values())}

    def get(self, name: str) -> dict[str, object] | None:
        """Return one model, or None."""
        return self._models.get(name)
