"""A process that the supervisor has forked, and the role that it plays."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
import traceback
from typing import NoReturn, Protocol

__all__ = ["Child", "Role"]


class Role(Protocol):
    """What a process does. Several processes may play a role, one after the other."""

    @property
    def name(self) -> str:
        """Return what messages call it."""

    def begin(self) -> None:
        """Prepare a new process; called in the supervisor before the fork."""

    def run(self) -> int:
        """Do the work; called in the child. Return the exit code."""

    def ended(self) -> None:
        """Clear up after a process that has ended; called in the supervisor."""


@dataclasses.dataclass(frozen=True)
class Child:
    """A forked process. `born` is by `time.monotonic()`."""

    role: Role
    pid: int
    born: float

    @classmethod
    def fork(cls, role: Role) -> Child:
        """Fork a process for a role. There must be no other thread.

        Raises:
            OSError: the system has no room for another process.
        """
        # Buffered output would otherwise be written by both processes.
        sys.stdout.flush()
        sys.stderr.flush()
        role.begin()
        try:
            pid = os.fork()
        except OSError:
            role.ended()
            raise
        if pid == 0:
            _run(role)
        return cls(role, pid, time.monotonic())


def _run(role: Role) -> NoReturn:
    """Run the role and exit. No exception leaves it, because the supervisor's own stack is below it."""
    code = 1
    try:
        code = role.run()
        sys.stdout.flush()
        sys.stderr.flush()
    except KeyboardInterrupt:
        # A second SIGINT, after the loop that handled the first was closed.
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
