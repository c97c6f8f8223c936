"""`/livez` and `/readyz` (contract §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from penstock._core import Gateway

__all__ = ["Health"]


class Health:
    """Whether this worker lives, and whether it should get traffic. Neither question touches a model."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._all_were_ready = False
        self.draining = False

    def live(self) -> tuple[int, dict[str, Any]]:
        """200 while the loop turns: to answer is the proof."""
        return 200, {"status": "ok"}

    def ready(self, *, verbose: bool = False) -> tuple[int, dict[str, Any]]:
        """503 until every tier has had a usable backend once; then 200 while any tier has one, unless draining."""
        tiers = self._tiers()
        usable = [tier["ready"] for tier in tiers]
        self._all_were_ready = self._all_were_ready or all(usable)
        if self.draining:
            status = "draining"
        elif not any(usable):
            status = "no backend"
        elif not self._all_were_ready:
            status = "starting"
        else:
            status = "ok"
        body: dict[str, Any] = {"status": status}
        if verbose:
            body["tiers"] = tiers
        return (200 if status == "ok" else 503), body

    def _tiers(self) -> list[dict[str, Any]]:
        snapshot = self._gateway.snapshot()
        states = {backend["name"]: backend["state"] for backend in snapshot["backends"]}
        return [
            {
                "name": tier["name"],
                "ready": any(states[name] == "healthy" for name, _ in tier["inflight"]),
                "backends": {name: states[name] for name, _ in tier["inflight"]},
            }
            for tier in snapshot["tiers"]
        ]
