"""A transport on a real socket, without a loop: what the kernel does is real, and when is the test's choice."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from tests.protocol.wire import Transport


class OverSocket(Transport):
    """A transport on a real socket: its buffer holds what the kernel does not take."""

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__()
        self.ours, self.peer = socket.socketpair()
        for end in (self.ours, self.peer):
            end.setblocking(False)
        self.ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.tls = tls
        self.buffer = b""
        self.received = b""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.buffer += data
        self.flush()

    def flush(self) -> None:
        """Hand the kernel what it takes, as a loop does when a socket has room."""
        with suppress(BlockingIOError):
            while self.buffer:
                self.buffer = self.buffer[self.ours.send(self.buffer) :]

    def read(self) -> None:
        """Take what has come at the other end."""
        with suppress(BlockingIOError):
            while piece := self.peer.recv(1 << 16):
                self.received += piece

    def shut(self) -> None:
        """Close both ends."""
        self.ours.close()
        self.peer.close()

    def read_all(self) -> None:
        while self.buffer:
            self.flush()
            self.read()
        self.read()

    def get_write_buffer_size(self) -> int:
        return len(self.buffer)

    def get_extra_info(self, name: str) -> Any:
        return {"socket": self.ours, "sslcontext": object() if self.tls else None}.get(name)
