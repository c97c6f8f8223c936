"""The simulated model server: its socket and its routes."""

from __future__ import annotations

import asyncio
from functools import cached_property
from typing import TYPE_CHECKING

from penstock.sim.chat import answer_chat
from penstock.sim.completions import answer_completion
from penstock.sim.connection import Connection
from penstock.sim.embeddings import answer_embeddings
from penstock.sim.model import SimModel

if TYPE_CHECKING:
    from penstock.sim.http import Request

__all__ = ["SimServer"]

ENDPOINTS = {
    "/v1/chat/completions": answer_chat,
    "/v1/completions": answer_completion,
    "/v1/embeddings": answer_embeddings,
}
"""What each path answers with."""
BACKLOG = 4096
"""Connections that the kernel holds before they are accepted; a test opens 1,000 at once."""


class SimServer(SimModel):
    """A simulated model on a socket of its own. Its arguments are those of `SimModel`."""

    _listener: asyncio.Server | None = None

    @cached_property
    def connections(self) -> set[Connection]:
        """Those that are open."""
        return set()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> int:
        """Listen; returns the port (a free one if 0 was asked for). Raises OSError if the address is taken."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._connection, host, port, backlog=BACKLOG)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        while self.connections:
            for connection in tuple(self.connections):
                connection.stop()
            await asyncio.sleep(0)

    def _connection(self) -> Connection:
        return Connection(self, self._answer, self.connections)

    async def _answer(self, request: Request, wire: Connection) -> bool:
        """Answer a request; returns whether the connection may stay open."""
        endpoint = ENDPOINTS.get(request.path)
        if endpoint is not None:
            if request.method != "POST":
                return await wire.refuse(405, self.dialect.error(405, "This URL takes POST."), "allow: POST")
            return await endpoint(self, request, wire)
        if request.method == "GET" and request.path == "/sim/stats":
            return await wire.respond(200, self.stats.as_json())
        page = self.dialect.page(request.path, request.query, self.site) if request.method == "GET" else None
        if page is None:
            return await wire.refuse(404, self.dialect.no_route())
        return await wire.respond(*page)
