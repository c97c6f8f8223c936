"""Messages from the supervisor and the workers to control."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import orjson

__all__ = ["ControlChannel"]

MESSAGE_BYTES = 4096


class ControlChannel:
    """Whole messages from many senders to one receiver, and an end-of-file when the last sender is gone.

    The supervisor sends its events to control because a log writer of its own would need a thread. The end-of-file
    tells control that no worker is left and none will follow: the supervisor closes its sending side last.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)

    def send(self, event: str, **fields: Any) -> None:
        """Send a message. It never blocks and never fails: a message that the socket does not take is lost."""
        with contextlib.suppress(OSError):
            self._sender.send(orjson.dumps({"event": event, **fields}))

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is a message, or the end."""
        return self._receiver.fileno()

    def receive(self) -> dict[str, Any] | None:
        """Return the next message; None at the end.

        Raises:
            BlockingIOError: there is none now.
        """
        message = self._receiver.recv(MESSAGE_BYTES)
        if not message:
            return None
        fields: dict[str, Any] = orjson.loads(message)
        return fields

    def close_receiver(self) -> None:
        """Close the receiving side of this process, which only sends."""
        self._receiver.close()

    def close_sender(self) -> None:
        """Close the sending side of this process, which only receives, or sends nothing more."""
        self._sender.close()

    def close(self) -> None:
        """Close both sides."""
        self.close_receiver()
        self.close_sender()
