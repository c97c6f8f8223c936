"""What the supervisor and the workers have to tell control."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import orjson

__all__ = ["News"]

MESSAGE_BYTES = 4096


class News:
    """Whole messages from many to one, and their end when the last sender is gone.

    The supervisor writes here because its own log would need a thread; control logs what comes. The end tells control
    that no worker is left and none will follow: closing its sending side is the supervisor's last word.
    """

    def __init__(self) -> None:
        self._receiver, self._sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)

    def tell(self, event: str, **fields: Any) -> None:
        """Send a message. Nobody ever waits for control, or fails without it: what cannot be sent is lost."""
        with contextlib.suppress(OSError):
            self._sender.send(orjson.dumps({"event": event, **fields}))

    def fileno(self) -> int:
        """Return the descriptor that is readable when there is a message, or the end."""
        return self._receiver.fileno()

    def take(self) -> dict[str, Any] | None:
        """Return the next message; None is the end.

        Raises:
            BlockingIOError: there is none now.
        """
        message = self._receiver.recv(MESSAGE_BYTES)
        if not message:
            return None
        fields: dict[str, Any] = orjson.loads(message)
        return fields

    def keep_sender(self) -> None:
        """Close the other side: this process only tells."""
        self._receiver.close()

    def keep_receiver(self) -> None:
        """Close the other side: this process only listens."""
        self._sender.close()

    def close(self) -> None:
        """Close both sides."""
        self.keep_sender()
        self.keep_receiver()
