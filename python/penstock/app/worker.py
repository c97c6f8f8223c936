"""A worker: one listener, its client connections, and the core between them and the backends."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock._core import Gateway, Poller
from penstock.app.ticker import IDLE_SECONDS, TICK_SECONDS, Ticker
from penstock.metrics.log import make_logger
from penstock.net.listener import BACKLOG, backlog_of
from penstock.process.shutdown_signals import DrainMode
from penstock.server.attributes import AttributeReader
from penstock.server.client_server import ClientServer
from penstock.server.cors import Origins
from penstock.server.health import Health
from penstock.server.lane import Lane
from penstock.server.models import Models
from penstock.server.registry import Registry
from penstock.server.routes import Routes
from penstock.upstream.connector import Connector

if TYPE_CHECKING:
    from penstock._core import Segment
    from penstock.config.settings import Settings
    from penstock.metrics.log import LogWriter

__all__ = ["Worker"]

# How often a worker publishes its gauges in the segment.
GAUGE_SECONDS = 1.0
# How often lines are given to the log's thread: waking it costs more than a request.
LOG_SECONDS = 0.05


class Worker:
    """Once started it serves, until it is drained and stopped."""

    def __init__(
        self,
        settings: Settings,
        segment: Segment,
        listener: socket.socket,
        log_writer: LogWriter,
        *,
        index: int,
        generation: int,
    ) -> None:
        """Make it. `generation` is what `segment.begin(index)` has returned for this process."""
        self.settings = settings
        self.log = make_logger(log_writer, settings.log).bind(worker=index)
        connector = Connector(list(settings.backends.values()))
        self._segment = segment
        self._poller = Poller()
        self.gateway = Gateway(segment, connector, worker=index, generation=generation, poller=self._poller)
        self.registry = Registry(self.gateway, settings.limits, self.log)
        self.health = Health(segment, list(settings.tiers.values()))
        self._wake_fd = segment.wake_fd(index)
        self._log_writer = log_writer
        # The access log has the level info.
        self._logs_requests = settings.log.level in ("debug", "info")
        self._listener = listener
        self._server: asyncio.Server | None = None
        self._ticker: Ticker | None = None
        self._gauges_at = 0.0
        self._logged_at = 0.0

    async def start(self) -> None:
        """Accept connections."""
        loop = asyncio.get_running_loop()
        attributes = AttributeReader(self.settings)
        origins = Origins(self.settings.cors)
        routes = Routes(self.registry, Models(self.settings, self._segment), self.health, attributes, origins)
        server = ClientServer(self.registry, routes)
        factory: Callable[[], Any] = Lane(self.registry, server, attributes) if self.settings.lane else server
        if self._listener.family == socket.AF_UNIX:
            # All workers share the file, and from Python 3.13 on the first that closes would remove it.
            unix: dict[str, Any] = {"cleanup_socket": False}
            self._server = await loop.create_unix_server(factory, sock=self._listener, backlog=BACKLOG, **unix)
        else:
            self._server = await loop.create_server(factory, sock=self._listener, backlog=BACKLOG)
        if (backlog := backlog_of(self._listener)) < BACKLOG:
            self.log.warning("backlog_short", asked=BACKLOG, granted=backlog, reason="net.core.somaxconn is smaller")
        loop.add_reader(self._poller.fileno(), self._poller.poll)
        if self._wake_fd is not None:
            loop.add_reader(self._wake_fd, self.gateway.wake)
        self._ticker = Ticker(self._tick, self._pace)

    def _pace(self) -> float:
        return TICK_SECONDS if self.gateway.is_waiting else IDLE_SECONDS

    def _tick(self) -> None:
        self.gateway.tick()
        self.registry.sweep()
        now = time.monotonic()
        if now - self._logged_at >= LOG_SECONDS:
            self._logged_at = now
            self._write_log()
        if now - self._gauges_at >= GAUGE_SECONDS:
            self._gauges_at = now
            self.gateway.log_dropped(self._log_writer.take_dropped())
            if self._ticker is not None:
                self.gateway.gauges(len(self.registry), self._ticker.take_lag())

    def _write_log(self) -> None:
        for backend, reason, seconds in self.gateway.take_outages():
            if reason is not None:
                self.log.warning("backend_unreachable", backend=backend, reason=reason)
            else:
                self.log.info("backend_reachable", backend=backend, seconds=round(seconds, 3))
        lines = self.gateway.take_log()
        if lines and self._logs_requests:
            self._log_writer.write(lines)

    async def drain(self, mode: DrainMode) -> None:
        """Stop accepting, let requests finish, and cut off those that exceed `drain.instant` or `drain.thinking`."""
        delay = self.settings.drain.delay if mode is DrainMode.AFTER_DELAY else 0.0
        self.health.draining = True
        self.log.info("drain_begins", delay=delay)
        await asyncio.sleep(delay)
        if self._server is not None:
            self._server.close()
        self.gateway.drain()
        self.registry.close_idle()
        began = time.monotonic()
        tiers = list(self.settings.tiers.values())
        limits = {"instant": self.settings.drain.instant, "thinking": self.settings.drain.thinking}
        uncut = {tier.profile: limits[tier.profile] for tier in tiers}
        # The registry counts answers that are complete but not sent yet, and requests that are still being read.
        while self.gateway.active or (uncut and self.registry.is_finishing()):
            await asyncio.sleep(TICK_SECONDS)
            self.registry.close_idle()
            for profile, seconds in list(uncut.items()):
                if time.monotonic() - began >= seconds:
                    del uncut[profile]
                    self.gateway.cut([index for index, tier in enumerate(tiers) if tier.profile == profile])
        self.log.info("drain_ends", seconds=round(time.monotonic() - began, 3))

    async def stop(self) -> None:
        """Close everything. Requests in progress are cut off."""
        if self._ticker is not None:
            self._ticker.stop()
        if self._wake_fd is not None:
            asyncio.get_running_loop().remove_reader(self._wake_fd)
        if self._server is not None:
            self._server.close()
        else:
            self._listener.close()
        self.gateway.close()
        # Answers that are written but not sent yet get a moment to leave.
        await self.registry.close_all()
        asyncio.get_running_loop().remove_reader(self._poller.fileno())
        # A closed uvloop handle is released in the loop's next iteration, and closing the loop before that is an error.
        await asyncio.sleep(TICK_SECONDS)
        self._write_log()
