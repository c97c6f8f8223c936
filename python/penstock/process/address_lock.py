"""One Penstock an address: a lock that the kernel gives back when the last process that holds it has ended."""

from __future__ import annotations

import fcntl
import hashlib
import os
from typing import TYPE_CHECKING

from penstock.admin.token import own_run_directory
from penstock.server.listener import ListenError

if TYPE_CHECKING:
    from penstock.config.settings import Address

__all__ = ["AddressLock"]


class AddressLock:
    """A lock on an address, as flock(2) has it.

    Children inherit it. So it outlives a supervisor that was killed until its workers have drained: a second Penstock
    beside them would double every limit. It guards between the Penstocks of one user; against other programs stands
    the first bind.
    """

    def __init__(self, address: Address) -> None:
        """Take it.

        Raises:
            ListenError: another Penstock has it.
            PenstockError: the run directory is not ours.
        """
        # An address may hold what a file name may not.
        name = hashlib.sha256(str(address).encode()).hexdigest()[:16]
        # The file stays: whoever removed it could remove one that the next Penstock has just locked.
        self._fd = os.open(own_run_directory() / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ListenError(
                f"cannot listen on {address}: another Penstock runs there, or is still draining"
            ) from None
        os.truncate(self._fd, 0)
        os.pwrite(self._fd, f"{address} pid {os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let go of it; it is free when every process that inherited it has done so or has ended."""
        os.close(self._fd)
