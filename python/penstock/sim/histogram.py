"""A Prometheus histogram of seconds."""

from __future__ import annotations

from bisect import bisect_left

__all__ = ["Histogram"]


class Histogram:
    """Counts of observations up to each bound, and their sum."""

    BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
    """Upper bounds in seconds; one more bucket takes what is larger."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.counts = [0] * (len(self.BOUNDS) + 1)

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count `times` observations of the same value."""
        self.sum += seconds * times
        self.counts[bisect_left(self.BOUNDS, seconds)] += times
