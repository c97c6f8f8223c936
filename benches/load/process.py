"""Processes on a core of their own, and what they cost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["cpu_us", "free_port", "pinned", "private_kib", "running", "tell", "tree"]

# How long a process may take to end before it is killed.
PATIENCE_SECONDS = 10.0


@contextmanager
def running(command: Sequence[str], core: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command pinned to a core, its output in a file; it is stopped in the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(pinned(command, core), stdout=output, stderr=output)
        try:
            yield process
        finally:
            if process.poll() is None:
                tell(process.pid, signal.SIGCONT)
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                for pid in reversed(tree(process.pid)):
                    os.kill(pid, signal.SIGKILL)
                process.wait()


def pinned(command: Sequence[str], core: int) -> list[str]:
    """Return a command that runs on one core alone, and ends with whoever runs it."""
    return ["setpriv", "--pdeathsig", "TERM", "taskset", "--cpu-list", str(core), *command]


def free_port() -> int:
    """Return a port that nobody listens on, nor on the one behind it."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def tree(pid: int) -> list[int]:
    """Return a process and all below it."""
    pids = [pid]
    # Any of them may end meanwhile.
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            pids += [below for child in (task / "children").read_text().split() for below in tree(int(child))]
    return pids


def tell(pid: int, what: signal.Signals) -> None:
    """Send a process and all below it a signal."""
    for process in tree(pid):
        with suppress(ProcessLookupError):
            os.kill(process, what)


def cpu_us(pid: int) -> float:
    """Return the microseconds that a process and all below it have run (schedstat: exact, not sampled)."""
    total = 0
    for process in tree(pid):
        for task in Path(f"/proc/{process}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1000


def private_kib(pid: int) -> int:
    """Return the KiB of memory that a process shares with nobody."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean", "Private_Dirty")))
