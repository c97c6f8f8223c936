"""Opens upstream connections for the core."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.upstream.dialer import ConnectError, Dialer

if TYPE_CHECKING:
    from penstock._core import UpstreamConnection
    from penstock.config.settings import Backend

__all__ = ["Connector"]


class Connector:
    """Called by the core with a backend's index and a protocol; connects the protocol in a task of its own.

    A task for each new connection is affordable, because connections are kept and reused.
    """

    def __init__(self, backends: list[Backend]) -> None:
        """Read the files that TLS needs.

        Raises:
            OSError, ssl.SSLError: a configured file cannot be read.
        """
        self._dialers = [Dialer(backend) for backend in backends]
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, index: int, protocol: UpstreamConnection) -> asyncio.Task[None]:
        """Start to connect; the returned task can be cancelled."""
        task = asyncio.get_running_loop().create_task(self._connect(index, protocol))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _connect(self, index: int, protocol: UpstreamConnection) -> None:
        try:
            await self._dialers[index].dial(lambda: protocol)
        except ConnectError as error:
            protocol.connect_failed(error.kind, str(error))
