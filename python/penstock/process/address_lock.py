"""One Penstock per address: a lock that the kernel releases when the last process that holds it has ended."""

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
# proc_pid_net(5): every Unix socket of this network namespace, the name last; "@" stands for the NUL before it.
NAMES = Path("/proc/net/unix")
OURS = re.compile(rb" @penstock (.+)$", re.MULTILINE)


class AddressLock:
    """The name of an abstract Unix socket (unix(7)), which only one socket can have. Nobody connects to it.

    Children inherit it. So it outlives a supervisor that was killed, and listeners that are closed, until the workers
    have drained: a second Penstock beside them would double every limit. Such a name belongs to a network namespace, as
    addresses do, and to no folder and no user: any local user can take one in advance, just like a port.

    A wildcard address excludes every address with the same port, in both families. If two instances start at the same
    moment, one on the wildcard and one on a single address of that port, both may be refused, but never are both
    accepted.

    Mount namespaces are not considered: the same path in two containers that share the host's network counts as one
    address, and a path that two network namespaces share is not protected.
    """

    def __init__(self, address: Address) -> None:
        """Acquire the lock.

        Raises:
            ListenError: another Penstock holds it, or one that overlaps with it; or the kernel gives no list.
        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            key = key_of(address)
            # First bind, then look: if another instance does the same, at least one of the two sees the other.
            is_ours = self._take(key) and not any(_overlap(key, other) for other in _keys() if other != key)
        except (OSError, RuntimeError) as error:  # Path.resolve() raises RuntimeError for a loop of symbolic links
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
        """Release it in this process; it is free when every process that inherited it has done so or has ended."""
        self._socket.close()


def _keys() -> list[str]:
    """Return the keys that are locked now."""
    return [key.decode(errors="replace") for key in OURS.findall(NAMES.read_bytes())]


def _overlap(one: str, other: str) -> bool:
    (host, _, port), (other_host, _, other_port) = one.partition(" "), other.partition(" ")
    return port == other_port and not WILDCARDS.isdisjoint((host, other_host))
