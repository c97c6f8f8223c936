"""The supervisor over toy children: who is forked anew, who is told what, and how it ends."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from penstock.process.backoff import Backoff

SECONDS = 20.0


class Program:
    """A running toy supervisor."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.Queue[str] = queue.Queue()
        self.seen: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def until(self, start: str) -> str:
        """Return the rest of the next line that begins like this."""
        while True:
            try:
                line = self.lines.get(timeout=SECONDS)
            except queue.Empty:
                raise AssertionError(f"no {start!r} after {self.seen}") from None
            self.seen.append(line)
            if line.startswith(start):
                return line[len(start) :].strip()

    def born(self, *names: str) -> dict[str, int]:
        """Wait until all of them are born; return their pids."""
        pids: dict[str, int] = {}
        while set(names) - set(pids):
            name, _, pid = self.until("born").rpartition(" ")
            pids[name] = int(pid)
        return pids

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def step(self) -> None:
        """Let a child that waits for it go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("x")
        self.process.stdin.flush()

    def ends(self) -> tuple[int, list[str]]:
        """Return the exit code and the lines since the last wait."""
        code = self.process.wait(SECONDS)
        self.reader.join(SECONDS)
        rest = []
        with suppress(queue.Empty):
            while True:
                rest.append(self.lines.get_nowait())
        self.seen += rest
        return code, rest


@contextmanager
def toys(*kinds: str, stderr: int | None = None) -> Iterator[Program]:
    command = (sys.executable, "-m", "tests.unit.process.toy", *kinds)
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=stderr, text=True, start_new_session=True
    ) as process:
        program = Program(process)
        try:
            yield program
        finally:
            # Its session holds only what this test has started.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(SECONDS)
            program.reader.join(SECONDS)


@pytest.mark.parametrize(
    ("number", "way"), [(signal.SIGTERM, "AFTER_DELAY"), (signal.SIGINT, "AT_ONCE")], ids=["term", "int"]
)
def test_a_signal_drains_all(number: signal.Signals, way: str) -> None:
    with toys("toy", "toy") as program:
        program.born("control", "worker 0", "worker 1")
        program.send(number)
        code, lines = program.ends()
        assert code == 0
        assert lines[0] == "stop_accepting"
        for name in ("control", "worker 0", "worker 1"):
            assert lines.index(f"{way} {name}") < lines.index(f"drained {name}") < lines.index(f"ended {name}")
        assert not [line for line in lines if line.startswith("begin")]


def test_who_is_killed_lives_again() -> None:
    with toys("toy") as program:
        before = program.born("control", "worker 0")
        for name in ("worker 0", "control"):
            os.kill(before[name], signal.SIGKILL)
            program.until(f"ended {name}")
            program.until(f"begin {name}")
            assert program.born(name)[name] != before[name]
        program.send(signal.SIGTERM)
        assert program.ends()[0] == 0


def test_deaths_at_the_same_moment() -> None:
    """Pending signals of one number are one signal, so one SIGCHLD may stand for all of them."""
    names = [f"worker {index}" for index in range(8)]
    with toys(*["toy"] * 8) as program:
        before = program.born("control", *names)
        program.send(signal.SIGSTOP)
        for name in names:
            os.kill(before[name], signal.SIGKILL)
        program.send(signal.SIGCONT)
        after = program.born(*names)
        assert not set(before.values()) & set(after.values())
        program.send(signal.SIGTERM)
        assert program.ends()[0] == 0


def test_a_child_that_cannot_start_is_tried_ever_more_rarely() -> None:
    with toys("failing", "toy", stderr=subprocess.DEVNULL) as program:
        births = [float(program.until("born worker 0")) for _ in range(5)]
        pauses = [later - sooner for sooner, later in itertools.pairwise(births)]
        assert all(pause >= least for pause, least in zip(pauses, (0.1, 0.2, 0.4, 0.8), strict=True)), pauses
        program.until("ended worker 0")
        program.send(signal.SIGTERM)
        assert program.ends()[0] == 0


def test_a_child_whose_output_fails_ends_all_the_same() -> None:
    """What it raised would be taken for a failed fork, and it would go on as a second supervisor."""
    with toys("unheard", stderr=subprocess.DEVNULL) as program:
        program.until("ended worker 0")
        program.until("ended worker 0")


def test_the_pause_before_another_life() -> None:
    backoff = Backoff()
    assert [backoff.pause(0.0) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert backoff.pause(10.0) == 0.0
    assert backoff.pause(9.9) == 0.1


def test_a_second_signal_cuts_the_drain_short() -> None:
    with toys("lasting", "lasting") as program:
        program.born("control", "worker 0", "worker 1")
        program.send(signal.SIGTERM)
        program.until("AFTER_DELAY worker 0")
        program.send(signal.SIGINT)
        code, lines = program.ends()
        assert code == 130
        assert {"quit worker 0", "quit worker 1"} <= set(lines)


def test_who_does_not_quit_is_killed() -> None:
    with toys("deaf", "toy") as program:
        program.born("control", "worker 0", "worker 1")
        program.send(signal.SIGTERM)
        program.until("ended worker 1")
        program.send(signal.SIGTERM)
        code, lines = program.ends()
        assert code == 130
        assert "ended worker 0" in lines


def test_a_signal_to_the_whole_group_is_one_order() -> None:
    """A terminal sends it to all, and then the supervisor passes it on: that is no second signal."""
    with toys("stepping") as program:
        program.born("control", "worker 0")
        os.killpg(program.process.pid, signal.SIGINT)
        program.until("AT_ONCE worker 0")
        program.step()
        code, lines = program.ends()
        assert code == 0
        assert "drained worker 0" in lines


def test_a_hangup_ends_nobody_and_is_told_once() -> None:
    """Whoever asks for a reload sends it to the supervisor, and a terminal that closes to all."""
    with toys("toy", "late") as program:
        program.born("control", "worker 0", "worker 1")
        os.killpg(program.process.pid, signal.SIGHUP)
        program.send(signal.SIGTERM)
        code, lines = program.ends()
        assert code == 0
        assert lines.count("told of reload_ignored") == 1
        assert {"drained control", "drained worker 0", "drained worker 1"} <= set(lines)
        assert not [line for line in lines if line.startswith("begin")]


def test_a_signal_before_a_child_listens_is_not_lost() -> None:
    with toys("late") as program:
        program.born("control", "worker 0")
        program.send(signal.SIGTERM)
        code, lines = program.ends()
        assert code == 0
        assert "AFTER_DELAY worker 0" in lines


def test_children_drain_when_the_supervisor_is_killed() -> None:
    with toys("toy", "late") as program:
        program.born("control", "worker 0", "worker 1")
        program.send(signal.SIGKILL)
        for _ in range(3):
            program.until("drained")
        # Their end closes the pipe.
        code, _ = program.ends()
        assert code == -signal.SIGKILL
        assert not program.reader.is_alive()
        drained = {line for line in program.seen if line.startswith("AT_ONCE")}
        assert drained == {"AT_ONCE control", "AT_ONCE worker 0", "AT_ONCE worker 1"}


def test_control_is_needed_as_long_as_a_worker_drains() -> None:
    with toys("stepping") as program:
        before = program.born("control", "worker 0")
        program.send(signal.SIGTERM)
        program.until("AFTER_DELAY control")
        os.kill(before["control"], signal.SIGKILL)
        assert program.born("control")["control"] != before["control"]
        # The new one is told what the old one knew.
        program.until("AFTER_DELAY control")
        program.step()
        code, lines = program.ends()
        assert code == 0
        assert lines.index("ended worker 0") < lines.index("ended control")
        assert "drained control" in lines


def test_control_comes_back_though_the_order_comes_while_it_is_dead() -> None:
    with toys("stepping") as program:
        before = program.born("control", "worker 0")
        # The second pause before another life is longer than the way of a signal.
        os.kill(before["control"], signal.SIGKILL)
        os.kill(program.born("control")["control"], signal.SIGKILL)
        program.until("ended control")
        program.send(signal.SIGTERM)
        program.until("AFTER_DELAY worker 0")
        program.born("control")
        program.until("AFTER_DELAY control")
        program.step()
        code, lines = program.ends()
        assert code == 0
        assert "drained control" in lines


def test_a_worker_that_dies_while_it_drains_is_told_of_and_shows_in_the_exit_code() -> None:
    with toys("stepping", "stepping") as program:
        pids = program.born("control", "worker 0", "worker 1")
        program.send(signal.SIGTERM)
        program.until("AFTER_DELAY worker 0")
        os.kill(pids["worker 0"], signal.SIGKILL)
        program.until("told of worker 0 signal 9")
        program.step()
        code, lines = program.ends()
        assert code == 1
        assert "drained control" in lines


def test_the_last_worker_that_dies_while_it_drains_is_told_of() -> None:
    with toys("stepping") as program:
        pids = program.born("control", "worker 0")
        program.send(signal.SIGTERM)
        program.until("AFTER_DELAY worker 0")
        os.kill(pids["worker 0"], signal.SIGKILL)
        program.until("told of worker 0 signal 9")
        program.until("drained control")
        assert program.ends()[0] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_an_order_that_finds_a_worker_leaving_is_no_loss(number: signal.Signals) -> None:
    """It had the order before, with the whole group; the one that is passed on then meets a closed loop."""
    with toys("leaving") as program:
        pids = program.born("control", "worker 0")
        os.kill(pids["worker 0"], number)
        program.until("leaving worker 0")
        program.send(number)
        program.until("ended worker 0")
        code, lines = program.ends()
        assert code == 0
        assert "drained control" in lines
        assert not [line for line in program.seen if line.startswith("told of")]
