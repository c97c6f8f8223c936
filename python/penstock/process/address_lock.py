"""One Penstock an address: a lock that the kernel gives back when the last process that holds it has ended."""

from __future__ import annotations

import errno
import re
import socket
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.net.listener import ListenError, key_of

if TYPE_CHECKING:
    from penstock.config.settings import Address

__all__ = ["AddressLock"]

WILDCARDS = frozenset({"0.0.0.0", "::"})
# proc_pid_net(5): every Unix socket of this network namespace, its name last; "@" stands for the NUL before ours.
NAMES = Path("/proc/net/unix")
OURS = re.compile(rb" @penstock (.+)$", re.MULTILINE)


class AddressLock:
    """A name among the abstract Unix sockets (unix(7)), which only one socket can have. Nobody connects to it.

    Children inherit it. So it outlives a supervisor that was killed, and listeners that are closed, until the workers
    have drained: a second Penstock beside them would double every limit. Such names belong to a network namespace, as
    addresses do, and to no folder and no user: any local user can take one in advance, as any can take a port.

    A wildcard has its port alone, in both families. Of two that start at the same moment, one there and one on a single
    address of that port, both may be refused; never do both get it.

    It knows nothing of mount namespaces: the same path in two containers that share the host's network counts as one
    address, and a path that two network namespaces share is not guarded.
    """

    def __init__(self, address: Address) -> None:
        """Take it.

        Raises:
            ListenError: another Penstock has it, or one that overlaps with it; or the kernel does not say.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            key = key_of(address)
            # Looking comes after taking: the other does the same, so one of the two sees the other.
            is_ours = self._take(key) and not any(_overlap(key, other) for other in _keys() if other != key)
        except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError
            self.close()
            raise ListenError(f"cannot listen on {address}: its lock: {error}") from error
        if not is_ours:
            self.close()
            raise ListenError(f"cannot listen on {address}: another Penstock runs there, or is still draining")

    def _take(self, key: str) -> bool:
        try:
            self._socket.bind(f"\0penstock {key}")
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        return True

    def close(self) -> None:
        """Let go of it; it is free when every process that inherited it has done so or has ended."""
        self._socket.close()


def _keys() -> list[str]:
    """Return those that are taken now."""
    return [key.decode(errors="replace") for key in OURS.findall(NAMES.read_bytes())]


def _overlap(one: str, other: str) -> bool:
    (host, _, port), (other_host, _, other_port) = one.partition(" "), other.partition(" ")
    return port == other_port and not WILDCARDS.isdisjoint((host, other_host))
