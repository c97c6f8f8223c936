"""Connections on the lane without a listener."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from penstock._core import Gateway, LaneConfig, LaneConnection

__all__ = ["LaneHost", "lane_request"]


def lane_request(*, stream: bool = False, filler: int = 0) -> bytes:
    """Return a chat request that the lane serves; `filler` bytes make it larger."""
    asked = {"model": "fast", "stream": stream, "messages": [{"role": "user", "content": "hi" + "x" * filler}]}
    body = json.dumps(asked).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class LaneHost:
    """Stands in for the lane's factory, and for aiohttp behind it."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.config = LaneConfig(head=16 << 10, body=1 << 20, tenant=None, priority=None, sessions=[])
        self.foreign: list[bytes] = []
        self.connections: list[LaneConnection] = []
        self.on_foreign: Callable[[LaneConnection], None] = lambda _: None

    def accept(self, transport: Any) -> LaneConnection:
        """Open a connection."""
        connection = LaneConnection(self.gateway, self, self.config)
        connection.connection_made(transport)
        self.connections.append(connection)
        return connection

    def made(self, _: LaneConnection, __: Any) -> bool:
        return True

    def handed_over(self, connection: LaneConnection, _: Any, data: bytes, __: float) -> None:
        self.foreign.append(data)
        self.on_foreign(connection)

    def closing(self, _: LaneConnection, __: Any) -> None:
        """Do nothing."""

    def lost(self, _: LaneConnection) -> None:
        """Do nothing."""
