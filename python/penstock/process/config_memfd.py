"""The accepted configuration in sealed memory, from which every process reads it."""

from __future__ import annotations

import fcntl
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.config.settings import Settings

__all__ = ["ConfigMemfd"]

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class ConfigMemfd:
    """A sealed memfd (memfd_create(2)) with one configuration. A restarted process loads this and not the file.

    The file may have been edited in the meantime, and then a restarted worker would have other limits than the rest.
    """

    def __init__(self, settings: Settings) -> None:
        self._fd = os.memfd_create("penstock-config", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(self._fd, "wb", closefd=False) as file:
            # Unpickling is safe: only our own processes read it, and the seals prevent any change.
            pickle.dump(settings, file, pickle.HIGHEST_PROTOCOL)
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, SEALS)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def load(self) -> Settings:
        """Return the configuration."""
        # Opening it again through /proc gives this process a file position of its own.
        settings: Settings = pickle.loads(Path(f"/proc/self/fd/{self._fd}").read_bytes())
        return settings

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)
