"""The three standard streams."""

from __future__ import annotations

import os
import sys

__all__ = ["open_missing"]


def open_missing() -> None:
    """Open the null device in place of each standard stream that the caller has closed.

    Otherwise the next file or socket would get its descriptor, and the log would be written there.
    """
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            # open(2) returns the lowest free descriptor, which is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115
