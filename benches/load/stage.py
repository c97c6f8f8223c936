"""A stub on one core, and the peers in front of it on the other."""

from __future__ import annotations

import contextlib
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from generator import LOAD_CORE, PEER_CORE, WrongAnswersError, generate
from own import BINARIES
from process import free_port, running, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peer import Peer

__all__ = ["Stage", "Started", "stage"]

READY_SECONDS = 60.0


@dataclass(frozen=True)
class Started:
    """A peer that answers."""

    peer: Peer
    pid: int
    port: int
    headers: dict[str, str]

    def wait(self) -> None:
        """Stop the process while others are measured, if it may be stopped (`Peer.patient`)."""
        if self.peer.patient:
            tell(self.pid, signal.SIGSTOP)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Let the process run within the block."""
        tell(self.pid, signal.SIGCONT)
        try:
            yield
        finally:
            self.wait()


class Stage:
    """Where peers are started; they end with it."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, backend: int) -> None:
        self._stack = stack
        self._folder = folder
        self._backend = backend

    def start(self, peer: Peer, home: Path = Path()) -> Started:
        """Start a peer and wait until it answers one request correctly.

        Raises:
            WrongAnswersError: it does not.
        """
        port, headers = free_port(), peer.headers(self._backend)
        log = self._folder / f"{port}.log"
        command = peer.command(home, self._folder, port, self._backend)
        process = self._stack.enter_context(running(command, PEER_CORE, log))
        end = time.monotonic() + READY_SECONDS
        while True:
            try:
                generate(port, 0.2, headers, mode="closed", connections=1)
            except WrongAnswersError as faults:
                if time.monotonic() > end or process.poll() is not None:
                    raise WrongAnswersError(f"{faults}; {log.read_text()[-500:]}") from None
                time.sleep(0.2)
            else:
                return Started(peer, process.pid, port, headers)


@contextlib.contextmanager
def stage(**stub: float) -> Iterator[Stage]:
    """Run a stub with these options, and what is started in front of it."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        backend = free_port()
        options = [part for name, value in stub.items() for part in (f"--{name}", str(value))]
        command = [str(BINARIES / "stub"), "--port", str(backend), *options]
        stack.enter_context(running(command, LOAD_CORE, folder / "stub.log"))
        yield Stage(stack, folder, backend)
