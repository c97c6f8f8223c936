"""A process that is stopped while it holds the segment's lock."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import CapturingLogger

from penstock._core import Segment
from penstock.config.routing import routing_json
from penstock.config.settings import Settings
from penstock.process.watchdog import Watchdog

# Longer than a tick takes, however slow the machine is.
HELD_SECONDS = 0.2


def fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    return pid


def ends(pid: int) -> bool:
    """Whether a child ends soon; if not, it is killed."""
    until = time.monotonic() + HELD_SECONDS
    while time.monotonic() < until:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


def tick_on(segment: Segment) -> None:
    while True:
        segment.tick()


@pytest.fixture
def segment(settings: Settings) -> Segment:
    return Segment(routing_json(settings), settings.workers)


@pytest.fixture
def holder(segment: Segment) -> Iterator[int]:
    """A child that was stopped while it had the lock: it is tried until it was caught there."""
    child = fork(lambda: tick_on(segment))
    try:
        while True:
            time.sleep(0.001)
            os.kill(child, signal.SIGSTOP)
            os.waitpid(child, os.WUNTRACED)
            if not ends(fork(segment.tick)):
                break
            os.kill(child, signal.SIGCONT)
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_stopped_holder_is_killed_though_control_itself_waits(segment: Segment, holder: int) -> None:
    log = CapturingLogger()
    watchdog = Watchdog(segment, log)
    watchdog.start()
    # Its loop stands here, with the interpreter's lock, until the segment's lock is free.
    segment.tick()
    watchdog.stop()
    assert [(call.method_name, call.args, call.kwargs) for call in log.calls] == [
        ("error", ("lock_holder_killed",), {"thread": holder})
    ]
    assert segment.invariants()["ok"]


def test_it_ends_though_nobody_was_killed(segment: Segment) -> None:
    log = CapturingLogger()
    watchdog = Watchdog(segment, log)
    watchdog.start()
    watchdog.stop()
    assert log.calls == []
