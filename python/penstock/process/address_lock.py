"""One Penstock an address: a lock that the kernel gives back when the last process that holds it has ended."""

from __future__ import annotations

import hashlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.server.listener import ListenError, place_of

if TYPE_CHECKING:
    from penstock.config.settings import Address

__all__ = ["AddressLock"]


class AddressLock:
    """A name among the abstract Unix sockets (unix(7)), which only one socket can have. Nobody connects to it.

    Children inherit it. So it outlives a supervisor that was killed, and listeners that are closed, until the workers
    have drained: a second Penstock beside them would double every limit. Such names belong to a network namespace, as
    addresses do, and to no folder and no user. It is for the same address alone: of a wildcard and one of the
    addresses that it stands for, only the bind tells, and only while both accept.
    """

    def __init__(self, address: Address) -> None:
        """Take it.

        Raises:
            ListenError: another Penstock has it.
            OSError: the address has no meaning here.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(f"\0penstock {_key(address)}")
        except OSError:
            self.close()
            raise ListenError(
                f"cannot listen on {address}: another Penstock runs there, or is still draining"
            ) from None

    def close(self) -> None:
        """Let go of it; it is free when every process that inherited it has done so or has ended."""
        self._socket.close()


def _key(address: Address) -> str:
    """Return the same for every way to write an address."""
    if address.path is None:
        _, (host, port, *_) = place_of(address)
        return f"{host} {port}"
    # Paths may be longer than such names.
    return hashlib.sha256(str(Path(address.path).resolve()).encode()).hexdigest()[:32]
