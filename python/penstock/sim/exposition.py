"""The text of a Prometheus page, version 0.0.4."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.sim.histogram import Histogram

__all__ = ["Exposition"]


class Exposition:
    """Collects families of metrics. Every sample has the labels given here and its own."""

    def __init__(self, **labels: str) -> None:
        self._labels = labels
        self._lines: list[str] = []

    def gauge(self, name: str, value: float) -> None:
        """Add a gauge without labels of its own."""
        self.family(name, "gauge", {"": value})

    def counter(self, name: str, value: float) -> None:
        """Add a counter without labels of its own."""
        self.family(name, "counter", {"": value})

    def family(self, name: str, kind: str, values: dict[str, float], label: str = "") -> None:
        """Add one sample for each value of `label`."""
        self._lines.append(f"# TYPE {name} {kind}")
        for value, number in values.items():
            self._sample(name, number, **({label: value} if label else {}))

    def info(self, name: str, **labels: str) -> None:
        """Add an info metric: a gauge that is always 1, with the information in its labels."""
        self._lines.append(f"# TYPE {name} gauge")
        self._sample(name, 1.0, **labels)

    def histogram(self, name: str, histogram: Histogram) -> None:
        """Add a histogram."""
        self._lines.append(f"# TYPE {name} histogram")
        total = 0
        for bound, count in zip((*map(str, histogram.BOUNDS), "+Inf"), histogram.counts, strict=True):
            total += count
            self._sample(f"{name}_bucket", total, le=bound)
        self._sample(f"{name}_count", total)
        self._sample(f"{name}_sum", histogram.sum)

    def text(self) -> bytes:
        """Return the page."""
        return "\n".join((*self._lines, "")).encode()

    def _sample(self, name: str, value: float, **labels: str) -> None:
        pairs = sorted({**self._labels, **labels}.items())
        inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in pairs)
        self._lines.append(f"{name}{{{inside}}} {value}" if inside else f"{name} {value}")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
