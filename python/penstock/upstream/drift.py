"""What a server's gauges show that its operator should know: a state machine without sockets or clock."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from penstock.upstream.gauges import Counted, Gauges

__all__ = ["REPEAT_SECONDS", "Drift", "Signal"]

# A server's numbers and ours are never of the same moment, so one reading proves nothing.
READINGS_TO_REPORT = 3
# What lasts is reported once a minute: often enough for the rate of a counter, rarely enough for a log.
REPEAT_SECONDS = 60.0
# The server's own queue should be nearly empty: it is first come, first served, and nobody sees it.
QUEUE_SET_POINT = 2

# The gauges that a server does not stop to show while it works.
STEADY: tuple[Literal["running", "waiting", "kv_usage"], ...] = ("running", "waiting", "kv_usage")


class Signal(StrEnum):
    """The values of the label ``signal`` of ``drift_total`` that come from the gauges."""

    FOREIGN_TRAFFIC = "foreign_traffic"
    """The server has more requests than we have sent: somebody goes around the gateway, and its limit is not kept."""
    ENGINE_QUEUE = "engine_queue"
    """More wait for room in the server than should: the limit is too high for it."""
    PREEMPTIONS = "preemptions"
    """The server ran out of KV memory and threw requests back."""
    GAUGES_MISSING = "gauges_missing"
    """Gauges that were there are not there any more: switched off, or renamed by a new version."""


class Drift:
    """Judges the readings of one server, one after the other.

    A reading is compared with ``own``, the slots of ours that are in use there. The caller counts them before and
    after it asks and takes the larger number, so that what starts or ends in between does not look foreign.
    """

    def __init__(self) -> None:
        self._last = Gauges()
        self._streaks = dict.fromkeys(Signal, 0)
        self._reported: dict[Signal, float] = {}

    def observe(self, gauges: Gauges, own: int, now: float) -> list[Signal]:
        """Take a reading at ``now`` (seconds); return what is to be reported."""
        seen = {
            Signal.FOREIGN_TRAFFIC: self._is_fresh(gauges) and (gauges.running or 0) + (gauges.waiting or 0) > own,
            # While it works for us, even a late number is of this load; when idle, it may be of the last one.
            Signal.ENGINE_QUEUE: (own > 0 or self._is_fresh(gauges)) and (gauges.waiting or 0) > QUEUE_SET_POINT,
            Signal.PREEMPTIONS: _rose(self._last.preemptions, gauges.preemptions),
            # A server that has just started shows some gauges only when it has had work.
            Signal.GAUGES_MISSING: own > 0 and self._has_lost(gauges),
        }
        self._last = gauges | self._last
        return [signal for signal, is_seen in seen.items() if self._is_due(signal, is_seen, now)]

    def skip(self) -> None:
        """Take note of a round without a reading: those before and after it are not in a row."""
        self._streaks = dict.fromkeys(Signal, 0)

    def _is_due(self, signal: Signal, is_seen: bool, now: float) -> bool:
        self._streaks[signal] = self._streaks[signal] + 1 if is_seen else 0
        needed = 1 if signal is Signal.PREEMPTIONS else READINGS_TO_REPORT
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
    """Tell whether a counter rose. After a restart it begins again, and the first reading is only a beginning."""
    return before is not None and after is not None and after > before
