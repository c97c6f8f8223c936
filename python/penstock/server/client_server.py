"""Makes the protocols of client connections that aiohttp serves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

from penstock.server.connection import ClientConnection

if TYPE_CHECKING:
    from penstock.server.registry import Registry

__all__ = ["ClientServer"]

# After so long without a request a client connection is closed.
IDLE_SECONDS = 75.0


class ClientServer(web.Server):
    """aiohttp's protocol factory, making our connections."""

    def __init__(self, registry: Registry, handler: Any) -> None:
        super().__init__(handler)
        self._registry = registry

    def __call__(self) -> ClientConnection:
        """Make the protocol of a new connection."""
        head = self._registry.limits.head
        return ClientConnection(
            self._registry,
            self,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=IDLE_SECONDS,
            access_log=None,
            auto_decompress=False,
            lingering_time=0,
            max_line_size=head,
            max_field_size=head,
            logger=self._registry.log,
        )
