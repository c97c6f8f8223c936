"""The reference pages come with the package and can be read in a terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from penstock.cli.guide import guide

COMMAND = [sys.executable, "-c", "from penstock.cli.main import main; main()", "guide"]


@pytest.fixture
def less(tmp_path: Path) -> str:
    """A pager of that name, which says how it was called and waits for nobody."""
    pager = tmp_path / "less"
    pager.write_text("#!/bin/sh\necho paged with $LESS\nexec cat\n")
    pager.chmod(0o755)
    return str(pager)


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """Return what a terminal of 80 columns is sent."""
    ours, theirs = pty.openpty()
    unset = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "LESS", "PAGER")}
    env = unset | {"TERM": "xterm-256color", "COLUMNS": "80"} | environment
    said = b""
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, env=env
    ) as process:
        os.close(theirs)
        with contextlib.suppress(OSError):  # EIO: nobody holds the other side any more
            while piece := os.read(ours, 1 << 16):
                said += piece
        assert process.wait(20) == 0
    os.close(ours)
    return said.decode()


def test_without_a_topic_they_are_listed_with_a_line_each() -> None:
    shown = CliRunner().invoke(guide, [])
    assert shown.exit_code == 0
    topics = ["configuration", "errors", "limits", "metrics", "processes", "security", "streams", "wire"]
    lines = shown.output.splitlines()
    assert [line.split()[0] for line in lines] == topics
    assert all(len(line.split()) > 4 for line in lines)


def test_a_page_where_no_terminal_is() -> None:
    shown = CliRunner().invoke(guide, ["limits"])
    assert shown.exit_code == 0
    assert "abort_hold" in shown.output
    assert "stream_whole" in shown.output
    assert "\x1b" not in shown.output, "no colours"
    assert shown.output.startswith("# Limits: "), "as it was written"


def test_every_rule_of_a_table_is_one_line_where_no_terminal_is() -> None:
    lines = CliRunner().invoke(guide, ["errors"]).output.splitlines()
    (rule,) = [line for line in lines if line.startswith("| `queue_full`")]
    assert "429" in rule and "rate_limit_error" in rule


def test_a_page_on_a_terminal_is_laid_out_and_paged(less: str) -> None:
    shown = on_a_terminal("errors", PAGER=less)
    assert "paged with -FRX" in shown
    assert "queue_full" in shown
    assert "\x1b[" in shown
    assert "`queue_full`" not in shown
    assert "# Errors" not in shown


def test_without_colours_if_that_is_asked(less: str) -> None:
    shown = on_a_terminal("errors", PAGER=less, NO_COLOR="1")
    assert "queue_full" in shown
    assert "\x1b" not in shown


def test_the_pager_is_called_as_its_user_has_it(less: str) -> None:
    assert "paged with -S" in on_a_terminal("errors", PAGER=less, LESS="-S")


def test_the_list_is_not_paged() -> None:
    assert "errors" in on_a_terminal(PAGER="false")


@pytest.mark.parametrize(("given", "hint"), [("limit", '"limits"'), ("Strems", '"streams"'), ("xyz", "errors, limits")])
def test_a_topic_that_is_none_names_the_nearest(given: str, hint: str) -> None:
    shown = CliRunner().invoke(guide, [given])
    assert shown.exit_code == 2
    assert f'there is no topic "{given}"' in shown.output
    assert hint in shown.output


def test_a_topic_in_any_case() -> None:
    assert CliRunner().invoke(guide, ["Errors"]).exit_code == 0
