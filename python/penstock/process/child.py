"""A process that the supervisor has forked, and what it is for."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import traceback
from typing import NoReturn, Protocol

__all__ = ["Child", "Role"]


class Role(Protocol):
    """What a process is for. It may have many lives, one at a time."""

    @property
    def name(self) -> str:
        """Return what messages call it."""

    def begin(self) -> None:
        """Prepare a new life, in the supervisor."""

    def run(self) -> int:
        """Live, in the child; return the exit code."""

    def ended(self) -> None:
        """Clear up after a life, in the supervisor."""


@dataclasses.dataclass(frozen=True)
class Child:
    """One life of a role. `born` is by `time.monotonic()`."""

    role: Role
    pid: int
    born: float

    @classmethod
    def fork(cls, role: Role) -> Child:
        """Begin one. There must be no other thread.

        Raises:
            OSError: the system has no room for another process.
        """
        # What is buffered would be written twice.
        sys.stdout.flush()
        sys.stderr.flush()
        role.begin()
        try:
            pid = os.fork()
        except OSError:
            role.ended()
            raise
        if pid == 0:
            _live(role)
        return cls(role, pid, time.monotonic())


def _live(role: Role) -> NoReturn:
    """Run the role to its end. Nothing that the supervisor has on its stack may run here, so nothing is raised."""
    code = 1
    try:
        code = role.run()
        sys.stdout.flush()
        sys.stderr.flush()
    except KeyboardInterrupt:
        # The order to drain, which has come once more after the loop that took the first was closed.
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
