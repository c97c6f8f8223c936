"""One running Penstock: everything from the settings to the open ports, in one process.

What will move apart when there are several processes is kept apart here: the data plane (gateway, registry, routes)
belongs to a worker, the admin listener and the probes to control (design §2).
"""

from __future__ import annotations

import asyncio
import dataclasses
import resource
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from penstock import __version__
from penstock._core import Gateway, Segment
from penstock.admin.app import admin_app
from penstock.admin.token import admin_token
from penstock.metrics.log import LogWriter, make_logger
from penstock.server.health import Health
from penstock.server.listener import bind
from penstock.server.models import Models
from penstock.server.registry import ClientServer, Registry
from penstock.server.routes import Routes
from penstock.server.routing import routing_json
from penstock.upstream.connector import Connector
from penstock.upstream.probe import Prober

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["Service"]

# The core's timers are as coarse as this.
TICK_SECONDS = 0.01
SWEEP_SECONDS = 1.0


def fit_connections(settings: Settings) -> tuple[Settings, list[str]]:
    """Lower `limits.connections` to what the file descriptors allow: two for each request (contract §5)."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(1, (hard - 256) // 2)
    if hard == resource.RLIM_INFINITY or settings.limits.connections <= most:
        return settings, []
    limits = dataclasses.replace(settings.limits, connections=most)
    notice = f"limits.connections is {most}: the limit on open files ({hard}) allows no more"
    return dataclasses.replace(settings, limits=limits), [notice]


class Service:
    """Start it, and it serves; drain it, and it ends what it has begun."""

    def __init__(self, settings: Settings) -> None:
        settings, self.notices = fit_connections(settings)
        self.settings = settings
        self.log_writer = LogWriter.standard_output(settings.log)
        self.log = make_logger(self.log_writer, settings.log)
        backends = list(settings.backends.values())
        self.segment = Segment(routing_json(settings), shared=False)
        self.gateway = Gateway(self.segment, Connector(backends))
        self.registry = Registry(self.gateway, settings.limits, self.log)
        self.health = Health(self.segment, list(settings.tiers.values()))
        self.prober = Prober(self.segment, backends, self.log)
        self.admin_token = ""
        self.lag = 0.0
        self.port = 0
        self.admin_port = 0
        self._server: asyncio.Server | None = None
        self._admin: web.AppRunner | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._swept = 0.0

    async def start(self) -> None:
        """Open both listeners.

        Raises:
            ListenError: an address cannot be had.
        """
        loop = asyncio.get_running_loop()
        listener = bind(self.settings.listen)
        try:
            admin_listener = bind(self.settings.admin.listen)
        except BaseException:
            listener.close()
            raise
        routes = Routes(self.registry, Models(self.settings), self.health)
        factory = ClientServer(self.registry, routes)
        if self.settings.listen.path is not None:
            self._server = await loop.create_unix_server(factory, sock=listener)
        else:
            self._server = await loop.create_server(factory, sock=listener)
            self.port = listener.getsockname()[1]
        if self.settings.admin.listen.path is None:
            self.admin_port = admin_listener.getsockname()[1]
        self.admin_token = admin_token(self.settings.admin, self.admin_port)
        public = not self.settings.admin.listen.is_loopback
        self._admin = web.AppRunner(admin_app(self, self.admin_token, public=public), access_log=None)
        await self._admin.setup()
        await web.SockSite(self._admin, admin_listener).start()
        self.prober.start()
        self._due = loop.time() + TICK_SECONDS
        self._timer = loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self.lag = max(0.0, now - self._due)
        self.gateway.tick()
        lines = self.gateway.take_log()
        if lines:
            self.log_writer.write(lines)
        if now - self._swept >= SWEEP_SECONDS:
            self._swept = now
            self.registry.sweep()
        self._due = now + TICK_SECONDS
        self._timer = loop.call_at(self._due, self._tick)

    async def drain(self, delay: float) -> None:
        """Stop accepting after `delay` seconds, finish what runs, cut what takes too long (contract §5)."""
        self.health.draining = True
        self.log.info("drain_begins", delay=delay)
        await asyncio.sleep(delay)
        if self._server is not None:
            self._server.close()
        self.gateway.drain()
        self.registry.close_idle()
        began = time.monotonic()
        tiers = list(self.settings.tiers.values())
        uncut = {"instant": self.settings.drain.instant, "thinking": self.settings.drain.thinking}
        # An answer that is complete but not sent yet, and a request that is still being read, count too.
        while self.gateway.active or (uncut and self.registry.is_finishing()):
            await asyncio.sleep(TICK_SECONDS)
            self.registry.close_idle()
            for profile, seconds in list(uncut.items()):
                if time.monotonic() - began >= seconds:
                    del uncut[profile]
                    self.gateway.cut([index for index, tier in enumerate(tiers) if tier.profile == profile])
        self.log.info("drain_ends", seconds=round(time.monotonic() - began, 3))

    async def stop(self) -> None:
        """Close everything. What still runs is cut off."""
        if self._timer is not None:
            self._timer.cancel()
        await self.prober.stop()
        if self._server is not None:
            self._server.close()
        self.gateway.close()
        # Answers that are written but not yet sent leave with an orderly close.
        await self.registry.close_all()
        if self._admin is not None:
            await self._admin.cleanup()
        # A closed handle needs another turn of the loop; a loop that is closed before complains.
        await asyncio.sleep(TICK_SECONDS)
        lines = self.gateway.take_log()
        if lines:
            self.log_writer.write(lines)
        self.log_writer.close()

    def status(self) -> dict[str, Any]:
        """Return what /admin/status shows."""
        numbers = self.segment.snapshot()
        reasons = {probe.backend.name: probe.reason for probe in self.prober.probes}
        return {
            "version": __version__,
            "draining": self.health.draining,
            "listen": str(self.settings.listen),
            "connections": len(self.registry),
            "tiers": [
                {
                    "name": tier["name"],
                    "limit": tier["limit"],
                    "queued": tier["queue_depth"],
                    "inflight": dict(tier["inflight"]),
                }
                for tier in numbers["tiers"]
            ],
            "backends": [{**backend, "reason": reasons[backend["name"]]} for backend in numbers["backends"]],
            "invariants": numbers["invariants"],
        }
