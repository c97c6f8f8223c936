"""`/livez` and `/readyz`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock._core import Segment
    from penstock.config.settings import Tier

__all__ = ["Health"]


class Health:
    """Whether this worker runs, and whether it should get traffic. Neither involves a backend."""

    def __init__(self, segment: Segment, tiers: list[Tier]) -> None:
        self._segment = segment
        self._tiers = tiers
        self.draining = False

    def live(self) -> tuple[int, dict[str, Any]]:
        """Return 200: that the event loop answers is all that is asked."""
        return 200, {"status": "ok"}

    def ready(self, *, verbose: bool = False) -> tuple[int, dict[str, Any]]:
        """Return 503 until every tier has had a usable backend once; then 200 while any has one, unless draining."""
        readiness = self._segment.readiness()
        if self.draining:
            status = "draining"
        elif not any(ready for ready, _ in readiness):
            status = "no backend"
        elif not all(was_ready for _, was_ready in readiness):
            status = "starting"
        else:
            status = "ok"
        body: dict[str, Any] = {"status": status}
        if verbose:
            states = dict(self._segment.states())
            body["tiers"] = [
                {"name": tier.name, "ready": ready, "backends": {name: states[name] for name in tier.backends}}
                for tier, (ready, _) in zip(self._tiers, readiness, strict=True)
            ]
        return (200 if status == "ok" else 503), body
