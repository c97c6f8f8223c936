"""A whole Penstock in one process: control and one worker on one loop, over ordinary memory.

`penstock demo` and most tests run like this: the demo's engines live on the same loop.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from penstock._core import Segment
from penstock.admin.token import remove_token
from penstock.app.control import Control
from penstock.app.effective_settings import effective_settings
from penstock.app.worker import Worker
from penstock.config.routing import routing_json
from penstock.metrics.log import LogWriter
from penstock.net.listener import bind, remove_socket
from penstock.process.file_limit import fit_connections

if TYPE_CHECKING:
    from penstock.config.settings import Settings
    from penstock.process.shutdown_signals import DrainMode

__all__ = ["Service"]


class Service:
    """Once started it serves, until it is drained and stopped."""

    def __init__(self, settings: Settings) -> None:
        """Open both listeners.

        Raises:
            ListenError: an address cannot be had.
            PenstockError: the run directory cannot be used.
        """
        settings = fit_connections(settings)
        with contextlib.ExitStack() as stack:
            for address in (settings.listen, settings.admin.listen):
                stack.callback(remove_socket, address)
            data = stack.enter_context(bind(settings.listen, settings.listen_mode))
            admin = stack.enter_context(bind(settings.admin.listen, settings.admin.listen_mode))
            settings = effective_settings(settings, data, admin)
            stack.callback(remove_token, settings.admin)
            self.segment = Segment(routing_json(settings), shared=False)
            self.log_writer = LogWriter.standard_output(settings.log)
            self.worker = Worker(settings, self.segment, data, self.log_writer, index=0, generation=0)
            self.control = Control(settings, self.segment, admin, self.log_writer)
            self._files = stack.pop_all()

    async def start(self) -> None:
        """Accept connections, and begin to probe."""
        await self.worker.start()
        await self.control.start()

    async def drain(self, mode: DrainMode) -> None:
        """Stop accepting, let requests finish, and cut off those that take too long (`Worker.drain`)."""
        self.control.draining = True
        await self.worker.drain(mode)

    async def stop(self) -> None:
        """Close everything, and remove the files of sockets and token. Requests in progress are cut off."""
        await self.control.stop()
        await self.worker.stop()
        self._files.close()
        self.log_writer.close()
