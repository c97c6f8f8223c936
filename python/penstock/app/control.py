"""Control: the admin plane, the probes and the checks of workers. No request ever waits for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from penstock import __version__
from penstock.admin.app import admin_app
from penstock.admin.listener import AdminListener
from penstock.app.ticker import IDLE_SECONDS, Ticker
from penstock.metrics.exposition import page
from penstock.metrics.log import make_logger
from penstock.process.hang_detector import HangDetector
from penstock.upstream.engine_monitor import EngineMonitor
from penstock.upstream.probe import Prober
from penstock.upstream.unlimited import CHECK_SECONDS as UNLIMITED_SECONDS
from penstock.upstream.unlimited import Unlimited

if TYPE_CHECKING:
    import socket

    from penstock._core import Segment
    from penstock.config.settings import Settings
    from penstock.metrics.log import LogWriter

__all__ = ["Control"]

# How often the workers are checked.
CHECK_SECONDS = 1.0


class Control:
    """Once started, it probes the backends and answers on the admin listener."""

    def __init__(self, settings: Settings, segment: Segment, listener: socket.socket, log_writer: LogWriter) -> None:
        """Make it; the settings must hold the admin token (`effective_settings`)."""
        self.settings = settings
        self.segment = segment
        self._log_writer = log_writer
        self.log = make_logger(log_writer, settings.log)
        backends = list(settings.backends.values())
        self.engines = EngineMonitor(segment, backends, self.log)
        self.prober = Prober(segment, backends, self.log, gauges=self.engines.gauges)
        self.unlimited = Unlimited(backends, self.log)
        self.hang_detector = HangDetector(segment, self.log)
        self.draining = False
        self._admin = AdminListener(admin_app(settings.admin, self), listener, self.log)
        self._ticker: Ticker | None = None
        self._workers_checked_at = 0.0
        self._limits_checked_at = 0.0

    async def start(self) -> None:
        """Answer, and begin to probe."""
        await self._admin.start()
        self.prober.start()
        self.engines.start()
        self._ticker = Ticker(self._tick, lambda: IDLE_SECONDS)

    def _tick(self) -> None:
        self.segment.tick()
        now = time.monotonic()
        if now - self._workers_checked_at >= CHECK_SECONDS:
            self._workers_checked_at = now
            self.hang_detector.check()
            self.segment.log_dropped(self._log_writer.take_dropped())
        if now - self._limits_checked_at >= UNLIMITED_SECONDS:
            self._limits_checked_at = now
            self.unlimited.check(self.segment.snapshot()["backends"])

    async def stop(self) -> None:
        """Close everything."""
        if self._ticker is not None:
            self._ticker.stop()
        self.hang_detector.stop()
        await self.prober.stop()
        await self.engines.stop()
        await self._admin.stop()

    def metrics(self) -> bytes:
        """Return the metrics page."""
        return page(self.segment, {name: self.engines.gauges(at) for at, name in enumerate(self.settings.backends)})

    def status(self) -> dict[str, Any]:
        """Return what /admin/status shows."""
        numbers = self.segment.snapshot()
        probes = self.prober.probes
        return {
            "version": __version__,
            "draining": self.draining,
            "listen": str(self.settings.listen),
            "workers": numbers["workers"],
            "connections": sum(worker["connections"] for worker in numbers["workers"]),
            "tiers": [
                {
                    "name": tier["name"],
                    "limit": tier["limit"],
                    "queued": tier["queue_depth"],
                    "inflight": dict(tier["inflight"]),
                }
                for tier in numbers["tiers"]
            ],
            "backends": [
                {
                    **backend,
                    "reason": probes[index].reason,
                    "unlimited": self.unlimited.of(index, backend),
                    "engine": self.engines.status(index),
                }
                for index, backend in enumerate(numbers["backends"])
            ],
            "invariants": self.invariants(),
        }

    def invariants(self) -> dict[str, int | bool]:
        """Return the conservation sums, and as `ok` whether they hold."""
        return self.segment.invariants()
