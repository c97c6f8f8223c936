"""`kv_tokens: auto` where the engine does not tell its size: what is not bounded is said.

`prefill_tokens: auto` always has a limit: one chunk, until a rate is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from penstock.config.settings import Backend

__all__ = ["LOOK_SECONDS", "Unlimited"]

# Between two looks a healthy engine has been asked for all its pages. What it has not told by the second, it does not
# tell.
LOOK_SECONDS = 10.0
KV = "kv_tokens: auto, but the engine does not tell its size: no limit"


class Unlimited:
    """Tells of the backends whose ``auto`` is no limit."""

    def __init__(self, backends: Sequence[Backend], log: FilteringBoundLogger) -> None:
        self._backends = backends
        self._log = log
        self._seen: set[int] = set()
        self._told: set[int] = set()

    def of(self, index: int, numbers: Mapping[str, Any]) -> list[str]:
        """Return what is not limited on a backend though it should be, by its part of the snapshot."""
        is_silent = self._backends[index].kv_tokens == "auto" and numbers["kv_tokens"]["limit"] is None
        return [KV] if is_silent else []

    def look(self, numbers: Sequence[Mapping[str, Any]]) -> None:
        """Log once what a backend's engine does not tell. To be called every `LOOK_SECONDS` with all of a snapshot."""
        silent = {
            index
            for index, backend in enumerate(numbers)
            if backend["state"] in ("healthy", "slow_start") and KV in self.of(index, backend)
        }
        for index in sorted(silent & self._seen - self._told):
            self._told.add(index)
            self._log.warning("backend_unlimited", backend=self._backends[index].name, reason=KV)
        self._seen = silent
