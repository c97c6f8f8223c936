"""What all processes share. The supervisor makes it before it forks, so that it outlives each of them."""

from __future__ import annotations

import contextlib
import os
import select
from typing import TYPE_CHECKING

from penstock._core import Segment
from penstock.admin.token import remove_token
from penstock.app.effective_settings import effective_settings
from penstock.config.routing import routing_json
from penstock.errors import PenstockError
from penstock.process.config_memfd import ConfigMemfd
from penstock.process.control_channel import ControlChannel
from penstock.process.sockets import Sockets

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["Shared"]


class Shared:
    """The sockets, the segment, the accepted configuration, the control channel and the supervisor's pidfd."""

    def __init__(self, settings: Settings) -> None:
        """Make all.

        Raises:
            ListenError: an address cannot be had.
            PenstockError: the run directory cannot be used, or there is no memory for the segment.
        """
        with contextlib.ExitStack() as stack:
            self.sockets = stack.enter_context(contextlib.closing(Sockets(settings)))
            settings = effective_settings(settings, self.sockets.data[0], self.sockets.admin)
            stack.callback(remove_token, settings.admin)
            self.config = ConfigMemfd(settings)
            try:
                self.segment = Segment(routing_json(settings), settings.workers)
            except OSError as error:
                raise PenstockError(str(error)) from error
            self.channel = ControlChannel()
            # Readable once this process has ended. A child that opened it could be too late, and get a recycled pid.
            self.supervisor = os.pidfd_open(os.getpid())
            self._files = stack.pop_all()

    def stop_accepting(self) -> None:
        """Close the data sockets that the supervisor keeps for restarted workers: there will be none."""
        self.sockets.close_data()

    def has_supervisor(self) -> bool:
        """Tell whether the process that has made this is still running."""
        poll = select.poll()
        poll.register(self.supervisor, select.POLLIN)
        return not poll.poll(0)

    def close(self) -> None:
        """Close the sockets, and remove the files of sockets and token. For the last process."""
        self._files.close()
