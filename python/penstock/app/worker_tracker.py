"""Which workers are ready and whether any is left, as control learns it from the control channel."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from penstock.process.control_channel import ControlChannel

__all__ = ["WorkerTracker"]


class WorkerTracker:
    """Logs every message of the channel, and sets two events.

    `all_ready`: every worker has been ready once. `all_gone`: no worker is left and none will be started.
    """

    def __init__(self, channel: ControlChannel, workers: int, log: FilteringBoundLogger) -> None:
        self.all_ready = asyncio.Event()
        self.all_gone = asyncio.Event()
        self._channel = channel
        self._log = log
        self._awaited = set(range(workers))
        asyncio.get_running_loop().add_reader(channel.fileno(), self._receive)

    def _receive(self) -> None:
        message = self._channel.receive()
        if message is None:
            asyncio.get_running_loop().remove_reader(self._channel.fileno())
            self.all_gone.set()
            return
        match message:
            case {"event": "worker_ready", "worker": worker}:
                self._log.info(**message)
                self._awaited.discard(worker)
                if not self._awaited:
                    self.all_ready.set()
            case _:
                self._log.warning(**message)
