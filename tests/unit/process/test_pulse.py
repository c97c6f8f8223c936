"""Workers that stand still."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from structlog.testing import CapturingLogger

from penstock.process.pulse import LOOKS, Pulse


class Beats:
    """A segment of which nothing but the beats of two workers is asked."""

    def __init__(self) -> None:
        self.now = [1, 1]

    def beats(self) -> list[int]:
        return list(self.now)


class Worker:
    """A child that sleeps."""

    def __init__(self) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            time.sleep(60)
            os._exit(0)
        self.died_of: int | None = None

    def end(self) -> int:
        """End it by SIGTERM if it lives, and return the signal that it died of."""
        if self.died_of is None:
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                os.kill(self.pid, signal.SIGTERM)
            self.died_of = os.WTERMSIG(os.waitpid(self.pid, 0)[1])
        return self.died_of


@pytest.fixture
def workers() -> Iterator[list[Worker]]:
    workers = [Worker(), Worker()]
    yield workers
    for worker in workers:
        worker.end()


def test_who_stands_still_for_ten_looks_is_killed(workers: list[Worker]) -> None:
    segment, log = Beats(), CapturingLogger()
    pulse = Pulse(segment, log)  # type: ignore[arg-type]
    for index, worker in enumerate(workers):
        pulse.born(index, worker.pid)
    pulse.look()
    for _ in range(LOOKS - 1):
        segment.now[0] += 1
        pulse.look()
    assert log.calls == []
    segment.now[0] += 1
    pulse.look()
    assert [(call.args, call.kwargs["worker"]) for call in log.calls] == [(("worker_killed",), 1)]
    assert workers[1].end() == signal.SIGKILL
    # Once is enough.
    for _ in range(2 * LOOKS):
        segment.now[0] += 1
        pulse.look()
    assert len(log.calls) == 1
    pulse.stop()
    assert workers[0].end() == signal.SIGTERM


def test_one_sign_of_life_is_enough(workers: list[Worker]) -> None:
    segment, log = Beats(), CapturingLogger()
    pulse = Pulse(segment, log)  # type: ignore[arg-type]
    pulse.born(1, workers[1].pid)
    for _ in range(5):
        for _ in range(LOOKS - 1):
            pulse.look()
        segment.now[1] += 1
    assert log.calls == []
    pulse.stop()


def test_a_new_life_begins_anew(workers: list[Worker]) -> None:
    segment, log = Beats(), CapturingLogger()
    pulse = Pulse(segment, log)  # type: ignore[arg-type]
    pulse.born(1, workers[0].pid)
    for _ in range(LOOKS - 1):
        pulse.look()
    assert workers[0].end() == signal.SIGTERM
    pulse.born(1, workers[1].pid)
    for _ in range(LOOKS):
        pulse.look()
    assert log.calls == []
    pulse.look()
    assert workers[1].end() == signal.SIGKILL
    pulse.stop()


def test_who_has_died_meanwhile_is_left_alone(workers: list[Worker]) -> None:
    """Its number may be another's by now."""
    segment, log = Beats(), CapturingLogger()
    pulse = Pulse(segment, log)  # type: ignore[arg-type]
    pulse.born(0, workers[0].pid)
    assert workers[0].end() == signal.SIGTERM
    for _ in range(2 * LOOKS):
        pulse.look()
    pulse.born(0, workers[0].pid)
    pulse.look()
    assert log.calls == []
    pulse.stop()
