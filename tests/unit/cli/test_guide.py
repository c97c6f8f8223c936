"""The reference pages come with the package and can be read in a terminal."""

from __future__ import annotations

from click.testing import CliRunner

from penstock.cli.guide import guide


def test_without_a_topic_they_are_listed() -> None:
    assert CliRunner().invoke(guide, []).output.split() == ["limits"]


def test_a_page() -> None:
    shown = CliRunner().invoke(guide, ["limits"])
    assert shown.exit_code == 0
    assert "abort_hold" in shown.output
    assert "stream_whole" in shown.output
    assert "\x1b" not in shown.output, "no colours where no terminal is"


def test_a_topic_that_is_none_names_those_that_are() -> None:
    shown = CliRunner().invoke(guide, ["limit"])
    assert shown.exit_code == 2
    assert "'limits'" in shown.output
