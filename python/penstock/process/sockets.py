"""The listening sockets. The supervisor opens them, so that they outlive the processes that accept on them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from penstock.net.listener import bind, bind_each, claim, remove_socket
from penstock.process.address_lock import AddressLock

if TYPE_CHECKING:
    import socket

    from penstock.config.settings import Settings

__all__ = ["Sockets"]


class Sockets:
    """One data socket for each worker, and the admin socket. While nobody accepts, connections wait in the kernel."""

    def __init__(self, settings: Settings) -> None:
        """Open them.

        Raises:
            ListenError: an address cannot be had.
        """
        with contextlib.ExitStack() as stack:
            self.listen = claim(settings.listen)
            stack.enter_context(contextlib.closing(AddressLock(self.listen)))
            for address in (self.listen, settings.admin.listen):
                stack.callback(remove_socket, address)
            self.data = bind_each(self.listen, settings.workers, settings.listen_mode)
            for listener in self.data:
                stack.enter_context(listener)
            self.admin = stack.enter_context(bind(settings.admin.listen, settings.admin.listen_mode))
            self._all = stack.pop_all()

    def keep_data(self, worker: int) -> socket.socket:
        """In a worker's process: close all but its own socket, and return that.

        A copy in another process would keep the socket open, and so the kernel would go on completing connections after
        the worker has stopped accepting.
        """
        own = self.data[worker]
        for listener in (*self.data, self.admin):
            if listener is not own:
                listener.close()
        return own

    def keep_admin(self) -> socket.socket:
        """In control's process: close all but the admin socket, and return that."""
        self.close_data()
        return self.admin

    def close_data(self) -> None:
        """Close the data sockets of this process."""
        for listener in self.data:
            listener.close()

    def close(self) -> None:
        """Close all, remove the files of Unix sockets on which nobody listens any more, and release the address."""
        self._all.close()
