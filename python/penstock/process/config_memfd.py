"""The accepted configuration, in memory that nobody can change: what new processes work from."""

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
    """A sealed memfd with one configuration; a process that is forked later loads this and never the file.

    The file may have been edited since, and then a restarted worker would work from other limits than its siblings.
    """

    def __init__(self, settings: Settings) -> None:
        self._fd = os.memfd_create("penstock-config", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(self._fd, "wb", closefd=False) as file:
            # It is read only by processes of ours, and the seals let nobody else write it.
            pickle.dump(settings, file, pickle.HIGHEST_PROTOCOL)
        fcntl.fcntl(self._fd, fcntl.F_ADD_SEALS, SEALS)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def load(self) -> Settings:
        """Return the configuration."""
        # By its name in /proc it is opened anew, with a position of its own.
        settings: Settings = pickle.loads(Path(f"/proc/self/fd/{self._fd}").read_bytes())
        return settings

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)
