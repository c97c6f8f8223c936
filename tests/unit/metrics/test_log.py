"""Lines of the log stay whole, however long they are and however many processes write them."""

from __future__ import annotations

import json
import os
import random
import select
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from penstock.metrics.log import CUT, LogWriter, console_line, shortened

WRITERS = 4
LINES = 60
# Each writes short lines and very long ones, all of one letter, so that a mixed line is known by its letters.
PROGRAM = """
import sys
from penstock.config.settings import Log
from penstock.metrics.log import LogWriter, make_logger
letter, lines = sys.argv[1], int(sys.argv[2])
writer = LogWriter(1, console=False)
log = make_logger(writer, Log())
for number in range(lines):
    log.info("line", number=number, writer=letter, text=letter * (12_000 if number % 3 else 10))
writer.close(30)
assert writer.take_dropped() == 0
"""


def line_of(**values: Any) -> bytes:
    return json.dumps({"ts": 1.5, "level": "info", "event": "e", **values}).encode() + b"\n"


def test_lines_of_several_processes_do_not_mix() -> None:
    ours, theirs = os.pipe()
    letters = "abcdefgh"[:WRITERS]
    command = [sys.executable, "-c", PROGRAM]
    processes = [subprocess.Popen([*command, letter, str(LINES)], stdout=theirs) for letter in letters]
    os.close(theirs)
    with open(ours, "rb", buffering=0) as pipe:  # noqa: PTH123
        text = b""
        # Slowly, so that the pipe is full most of the time: that is when long writes mix.
        while piece := pipe.read(1 << 14):
            text += piece
            time.sleep(0.001)
    assert [process.wait(30) for process in processes] == [0] * WRITERS
    lines = [json.loads(line) for line in text.splitlines()]
    assert Counter(line["writer"] for line in lines) == dict.fromkeys(letters, LINES)
    for line in lines:
        assert set(line["text"].replace(CUT, "")) == {line["writer"]}
    for letter in letters:
        assert [line["number"] for line in lines if line["writer"] == letter] == list(range(LINES))


@pytest.mark.parametrize("console", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_a_non_blocking_output_loses_nothing(kind: str, console: bool) -> None:
    ours, theirs = os.pipe() if kind == "pipe" else [end.detach() for end in socket.socketpair()]
    os.set_blocking(theirs, False)
    writer = LogWriter(theirs, console=console)
    count = 5000
    for number in range(count):
        writer.write(line_of(number=number, text="x" * 200))
    with open(ours, "rb") as pipe:  # noqa: PTH123
        # Only when it has been full for a while; nobody reads before.
        time.sleep(0.2)
        lines = [pipe.readline() for _ in range(count)]
    writer.close()
    os.close(theirs)
    assert writer.take_dropped() == 0
    for number, line in enumerate(lines):
        assert (f" number={number} " if console else f'"number": {number},').encode() in line


@pytest.mark.parametrize("console", [False, True])
def test_a_pipe_gets_no_write_above_its_atomic_size(console: bool) -> None:
    ours, theirs = os.pipe()
    writer = LogWriter(theirs, console=console)
    writer.write(line_of(text="x" * 100_000))
    writer.close()
    os.close(theirs)
    with open(ours, "rb") as pipe:  # noqa: PTH123
        (line,) = pipe.read().splitlines(keepends=True)
    assert select.PIPE_BUF - 100 < len(line) <= select.PIPE_BUF
    assert CUT in line.decode()


def test_a_file_gets_long_lines_whole(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        writer = LogWriter(file.fileno(), console=False)
        writer.write(line_of(text="x" * 20_000))
        writer.close()
    assert (tmp_path / "log").read_bytes() == line_of(text="x" * 20_000)


def test_the_beginning_and_the_end_of_a_long_text_stay() -> None:
    line = line_of(exception="Traceback" + "x" * 9000 + "ValueError: why", path="/short")
    entry = json.loads(shortened(line, 4096))
    assert entry["exception"].startswith("Traceback")
    assert entry["exception"].endswith("ValueError: why")
    assert (entry["path"], entry["event"]) == ("/short", "e")


def test_whatever_is_long_fits() -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    letters = ["a", "ä", "€", "😀", '"', "\\", "\n", "\x01"]
    for _ in range(500):
        size = chance.randrange(150, 600)
        values: dict[str, Any] = {
            f"k{number}": "".join(chance.choices(letters, k=chance.randrange(300))) for number in range(4)
        }
        line = line_of(**values, number=chance.random())
        cut = shortened(line, size)
        assert len(cut) <= max(size, len(line_of()))
        entry = json.loads(cut)
        assert (entry["ts"], entry["level"]) == (1.5, "info")
        assert (cut == line) is (len(line) <= size)


def test_a_line_that_is_long_by_its_numbers() -> None:
    line = line_of(**{f"number{number}": number for number in range(1000)})
    assert json.loads(shortened(line, 4096)) == {"ts": 1.5, "level": "info", "event": "e"}


def test_the_form_for_people() -> None:
    assert console_line(line_of(backend="a", nothing=None)).decode().endswith(" info    e backend=a\n")
