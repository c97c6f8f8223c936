"""Accepts client connections on the core's fast path (the lane), and moves them to aiohttp and back."""

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
    """The protocol factory of the data listener. A connection begins on the lane, which serves plain chat requests.

    Any other request moves the connection to aiohttp; a later chat request moves it back.
    """

    def __init__(self, registry: Registry, server: ClientServer, attributes: AttributeReader) -> None:
        """Take the registry of connections, aiohttp's factory, and the reader of request attributes."""
        self._registry = registry
        self._server = server
        self._attributes = attributes
        self._config = attributes.lane_config

    def __call__(self) -> LaneConnection:
        """Make the protocol of a new connection."""
        return LaneConnection(self._registry.gateway, self, self._config)

    # Called by connections on the lane.

    def made(self, connection: LaneConnection, transport: asyncio.Transport) -> bool:
        """Register an open connection. False: it exceeds the limit, and moves to aiohttp, which refuses it."""
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        set_socket_options(transport)
        connection.trusted = self._attributes.trusts(transport)
        return self._registry.add(connection)

    def handed_over(self, connection: LaneConnection, transport: asyncio.Transport, data: bytes, since: float) -> None:
        """Move a connection to aiohttp, with these bytes, the first of which has come at `since`."""
        handler = self._handler(connection, transport)
        if data:
            handler.go_on(data, since)
        # Not set earlier, because a request that moved back at once would only be moved here again.
        if not handler.over_limit:
            handler.way_back = self.take_back

    def closing(self, connection: LaneConnection, transport: asyncio.Transport) -> None:
        """Close a connection whose client may still be sending, so that it can read its last answer (`Linger`)."""
        handler = self._handler(connection, transport)
        if connection.is_writing_paused:
            handler.pause_writing()
        handler.close_gently()

    def _handler(self, connection: LaneConnection, transport: asyncio.Transport) -> ClientConnection:
        handler = self._server()
        self._registry.swap(connection, handler)
        try:
            handler.connection_made(transport)
        except BaseException:
            # The caller drops the transport, and connection_lost would not be called on this handler.
            self._registry.remove(handler)
            raise
        transport.set_protocol(cast(asyncio.BaseProtocol, handler))
        return handler

    def take_back(self, handler: ClientConnection, data: bytes) -> bool:
        """Move an idle connection back from aiohttp if these bytes begin a request for the lane.

        Staying with aiohttp would cost more than twice as much for each later request, and closing the connection a
        reconnect (benches/README.md, "Hand-over").
        """
        if not self._config.supports(data):
            return False
        connection = self()
        self._registry.swap(handler, connection)
        transport = handler.leave()
        transport.set_protocol(cast(asyncio.BaseProtocol, connection))
        try:
            connection.connection_made(transport)
        except BaseException:
            # connection_lost goes to the new protocol, which has not got the transport, so it must be closed here.
            transport.abort()
            raise
        connection.data_received(data)
        return True

    def lost(self, connection: LaneConnection) -> None:
        """Forget a connection that is closed."""
        self._registry.remove(connection)
