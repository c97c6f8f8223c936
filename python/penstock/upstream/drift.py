"""Detects in a server's gauges what its operator should know: a state machine without sockets or clock."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from penstock.upstream.gauges import Counted, Gauges

__all__ = ["REPEAT_SECONDS", "DriftDetector", "DriftSignal"]

# A server's gauges and our counts are never taken at the same instant, so one reading proves nothing.
READINGS_TO_REPORT = 3
# A lasting condition is reported once a minute: often enough for a counter's rate, rarely enough for a log.
REPEAT_SECONDS = 60.0
# The server's own queue should be nearly empty, because it knows nothing of our priorities and deadlines.
QUEUE_SET_POINT = 2

# The gauges that a working server always shows.
STEADY: tuple[Literal["running", "waiting", "kv_usage"], ...] = ("running", "waiting", "kv_usage")


class DriftSignal(StrEnum):
    """The values of the label ``signal`` of ``drift_total`` that come from the gauges."""

    FOREIGN_TRAFFIC = "foreign_traffic"
    """The server has more requests than we have sent: somebody bypasses the gateway, so its limit is not kept."""
    ENGINE_QUEUE = "engine_queue"
    """Too many requests wait inside the server: the configured limit is too high for it."""
    PREEMPTIONS = "preemptions"
    """The server ran out of KV memory and preempted requests."""
    GAUGES_MISSING = "gauges_missing"
    """Gauges have disappeared: they were switched off, or renamed by a new version."""


class DriftDetector:
    """Compares the successive readings of one server with ``own``, the slots that our requests use there.

    The caller counts ``own`` before and after the reading and passes the larger number, so that a request that starts
    or ends in between does not look like foreign traffic.
    """

    def __init__(self) -> None:
        self._last = Gauges()
        self._streaks = dict.fromkeys(DriftSignal, 0)
        self._reported: dict[DriftSignal, float] = {}

    def observe(self, gauges: Gauges, own: int, now: float) -> list[DriftSignal]:
        """Take a reading at ``now`` (seconds); return what is to be reported."""
        seen = {
            DriftSignal.FOREIGN_TRAFFIC: self._is_fresh(gauges) and (gauges.running or 0) + (gauges.waiting or 0) > own,
            # While our requests run, even an old number belongs to this load; when idle it may belong to the last one.
            DriftSignal.ENGINE_QUEUE: (own > 0 or self._is_fresh(gauges)) and (gauges.waiting or 0) > QUEUE_SET_POINT,
            DriftSignal.PREEMPTIONS: _rose(self._last.preemptions, gauges.preemptions),
            # A server that has just started shows some gauges only after its first request.
            DriftSignal.GAUGES_MISSING: own > 0 and self._has_lost(gauges),
        }
        self._last = gauges | self._last
        return [signal for signal, is_seen in seen.items() if self._is_due(signal, is_seen, now)]

    def skip(self) -> None:
        """Take note of a round without a reading: the readings before and after it are not consecutive."""
        self._streaks = dict.fromkeys(DriftSignal, 0)

    def _is_due(self, signal: DriftSignal, is_seen: bool, now: float) -> bool:
        self._streaks[signal] = self._streaks[signal] + 1 if is_seen else 0
        needed = 1 if signal is DriftSignal.PREEMPTIONS else READINGS_TO_REPORT
        if self._streaks[signal] < needed or now < self._reported.get(signal, -REPEAT_SECONDS) + REPEAT_SECONDS:
            return False
        self._reported[signal] = now
        return True

    def _is_fresh(self, gauges: Gauges) -> bool:
        if gauges.counted is Counted.STEP:
            return _rose(self._last.steps, gauges.steps)
        return gauges.counted is Counted.NOW

    def _has_lost(self, gauges: Gauges) -> bool:
        return any(getattr(self._last, name) is not None and getattr(gauges, name) is None for name in STEADY)


def _rose(before: int | None, after: int | None) -> bool:
    """Tell whether a counter rose. The first reading has nothing to be compared with, and a restart lowers it."""
    return before is not None and after is not None and after > before
