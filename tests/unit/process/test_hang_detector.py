"""Workers that stand still."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest
from structlog.testing import CapturingLogger

from penstock.process.hang_detector import CHECKS_TO_KILL, HangDetector


class Ticks:
    """A segment of which nothing but the heartbeats of its workers is asked."""

    def __init__(self, *workers: Worker) -> None:
        self.pids = [worker.pid for worker in workers]
        self.beats = [1] * len(workers)

    def worker_heartbeats(self) -> list[tuple[int, int]]:
        return list(zip(self.pids, self.beats, strict=True))


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


def detector_of(segment: Ticks) -> tuple[HangDetector, CapturingLogger]:
    log = CapturingLogger()
    return HangDetector(segment, log), log  # type: ignore[arg-type]


def test_who_stands_still_for_ten_looks_is_killed(workers: list[Worker]) -> None:
    segment = Ticks(*workers)
    detector, log = detector_of(segment)
    detector.check()
    for _ in range(CHECKS_TO_KILL - 1):
        segment.beats[0] += 1
        detector.check()
    assert log.calls == []
    segment.beats[0] += 1
    detector.check()
    assert [(call.args, call.kwargs["worker"]) for call in log.calls] == [(("worker_killed",), 1)]
    assert workers[1].end() == signal.SIGKILL
    # As the supervisor does when it has buried it.
    segment.pids[1] = 0
    for _ in range(2 * CHECKS_TO_KILL):
        segment.beats[0] += 1
        detector.check()
    assert len(log.calls) == 1
    detector.stop()
    assert workers[0].end() == signal.SIGTERM


def test_another_life_of_control_looks_at_the_same_workers(workers: list[Worker]) -> None:
    segment = Ticks(*workers)
    detector_of(segment)[0].check()
    detector, log = detector_of(segment)
    for _ in range(CHECKS_TO_KILL + 1):
        detector.check()
    assert [call.kwargs["worker"] for call in log.calls] == [0, 1]
    assert [worker.end() for worker in workers] == [signal.SIGKILL, signal.SIGKILL]


def test_one_sign_of_life_is_enough(workers: list[Worker]) -> None:
    segment = Ticks(workers[0])
    detector, log = detector_of(segment)
    for _ in range(5):
        for _ in range(CHECKS_TO_KILL - 1):
            detector.check()
        segment.beats[0] += 1
    assert log.calls == []
    detector.stop()


def test_a_new_life_begins_anew(workers: list[Worker]) -> None:
    segment = Ticks(workers[0])
    detector, log = detector_of(segment)
    for _ in range(CHECKS_TO_KILL - 1):
        detector.check()
    assert workers[0].end() == signal.SIGTERM
    segment.pids[0] = workers[1].pid
    for _ in range(CHECKS_TO_KILL):
        detector.check()
    assert log.calls == []
    detector.check()
    assert workers[1].end() == signal.SIGKILL


def test_who_has_died_meanwhile_is_left_alone(workers: list[Worker]) -> None:
    """Its number may be another's by now."""
    segment = Ticks(workers[0])
    detector, log = detector_of(segment)
    detector.check()
    assert workers[0].end() == signal.SIGTERM
    for _ in range(3 * CHECKS_TO_KILL):
        detector.check()
    assert log.calls == []
    detector.stop()


def test_a_worker_in_the_same_process_is_not_looked_at() -> None:
    segment = Ticks()
    segment.pids, segment.beats = [os.getpid()], [1]
    detector, log = detector_of(segment)
    for _ in range(2 * CHECKS_TO_KILL):
        detector.check()
    assert log.calls == []
