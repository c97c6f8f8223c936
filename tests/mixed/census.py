"""How many sequences run on the backends, counted where they run."""

from __future__ import annotations

from collections.abc import Callable


class Cap:
    """A limit on what runs at once; whoever passes it is reported."""

    def __init__(self, name: str, limit: int, report: Callable[[str], None]) -> None:
        self.name = name
        self.limit = limit
        self.peak = 0
        self._running: dict[str, int] = {}
        self._report = report

    @property
    def running(self) -> int:
        return sum(self._running.values())

    def set(self, key: str, sequences: int) -> None:
        """This request runs so many sequences from now on; 0: it has ended."""
        if sequences == 0:
            self._running.pop(key, None)
            return
        self._running[key] = sequences
        running = self.running
        self.peak = max(self.peak, running)
        if running > self.limit:
            shown = ", ".join(f"{name} x{count}" for name, count in self._running.items())
            self._report(
                f"limit of {self.name} exceeded: expected at most {self.limit} sequences, {running} run: {shown}"
            )
