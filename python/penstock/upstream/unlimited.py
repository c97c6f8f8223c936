"""Warns of `kv_tokens: auto` where the engine does not report its size, so that there is no limit.

`prefill_tokens: auto` always has a limit: one chunk, until a rate is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from penstock.config.settings import Backend

__all__ = ["CHECK_SECONDS", "Unlimited"]

# Within this time a healthy engine has been asked for all its pages: what two checks in a row miss is not reported.
CHECK_SECONDS = 10.0
KV = "kv_tokens: auto, but the engine does not tell its size: no limit"


class Unlimited:
    """Logs the backends whose ``auto`` is no limit, each once."""

    def __init__(self, backends: Sequence[Backend], log: FilteringBoundLogger) -> None:
        self._backends = backends
        self._log = log
        self._seen: set[int] = set()
        self._logged: set[int] = set()

    def of(self, index: int, numbers: Mapping[str, Any]) -> list[str]:
        """Return the missing limits of a backend, by its part of the snapshot."""
        is_silent = self._backends[index].kv_tokens == "auto" and numbers["kv_tokens"]["limit"] is None
        return [KV] if is_silent else []

    def check(self, numbers: Sequence[Mapping[str, Any]]) -> None:
        """Log new missing limits. To be called every `CHECK_SECONDS` with the backends of a snapshot."""
        silent = {
            index
            for index, backend in enumerate(numbers)
            if backend["state"] in ("healthy", "slow_start") and KV in self.of(index, backend)
        }
        for index in sorted(silent & self._seen - self._logged):
            self._logged.add(index)
            self._log.warning("backend_unlimited", backend=self._backends[index].name, reason=KV)
        self._seen = silent
