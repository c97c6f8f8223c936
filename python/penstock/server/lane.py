"""The lane in front of aiohttp: who accepts a connection, and how it gets from one to the other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from penstock._core import LaneConnection
from penstock.net.socket_options import set_socket_options
from penstock.server.connection import WRITE_HIGH_WATER

if TYPE_CHECKING:
    from penstock.server.attributes import AttributeReader
    from penstock.server.client_server import ClientServer
    from penstock.server.connection import ClientConnection
    from penstock.server.registry import Registry

__all__ = ["Lane"]


class Lane:
    """A protocol factory whose connections begin on the lane and end, if need be, with aiohttp."""

    def __init__(self, registry: Registry, server: ClientServer, attributes: AttributeReader) -> None:
        """Take what is behind it, and who says whose headers count."""
        self._registry = registry
        self._server = server
        self._attributes = attributes
        self._terms = attributes.terms(registry.limits)

    def __call__(self) -> LaneConnection:
        """Make the protocol of a new connection."""
        return LaneConnection(self._registry.gateway, self, self._terms)

    # Called by the connections.

    def made(self, connection: LaneConnection, transport: asyncio.Transport) -> bool:
        """Register an open connection. False: it is one too many, which is aiohttp's to refuse."""
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        set_socket_options(transport)
        connection.trusted = self._attributes.trusts(transport)
        return self._registry.add(connection)

    def handed_over(self, connection: LaneConnection, transport: asyncio.Transport, data: bytes, since: float) -> None:
        """Let aiohttp go on with these bytes, which have come since `since`, until the lane can serve again."""
        handler = self._handler(connection, transport)
        if data:
            handler.go_on(data, since)
        # From then on: what comes back at once would be handed over again.
        if not handler.over_limit:
            handler.way_back = self.take_back

    def closing(self, connection: LaneConnection, transport: asyncio.Transport) -> None:
        """Close a connection whose client may still be sending: it is to read its last answer."""
        handler = self._handler(connection, transport)
        if connection.is_held_back:
            handler.pause_writing()
        handler.close_gently()

    def _handler(self, connection: LaneConnection, transport: asyncio.Transport) -> ClientConnection:
        handler = self._server()
        self._registry.swap(connection, handler)
        try:
            handler.connection_made(transport)
        except BaseException:
            # Whoever calls drops the transport, and nobody tells this handler of its end.
            self._registry.remove(handler)
            raise
        transport.set_protocol(cast(asyncio.BaseProtocol, handler))
        return handler

    def take_back(self, handler: ClientConnection, data: bytes) -> bool:
        """Take an idle connection back from aiohttp if what has come is for the lane.

        One that stayed would pay more than twice as much for each later request, one that was closed a whole reconnect
        (benches/README.md, "Hand-over").
        """
        if not self._terms.serves(data):
            return False
        connection = self()
        self._registry.swap(handler, connection)
        transport = handler.leave()
        transport.set_protocol(cast(asyncio.BaseProtocol, connection))
        try:
            connection.connection_made(transport)
        except BaseException:
            # Its end is told to the new protocol, which has no transport to end.
            transport.abort()
            raise
        connection.data_received(data)
        return True

    def lost(self, connection: LaneConnection) -> None:
        """A connection is gone."""
        self._registry.remove(connection)
