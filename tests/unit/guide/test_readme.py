"""The configurations in README.md are ones that work, and as short as it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.guide.pages import PAGES, ROOT

from penstock.cli.check import check

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_six_lines_for_one_server_and_twelve_for_two_tiers() -> None:
    assert [block.count("\n") for block in BLOCKS] == [6, 12]


@pytest.mark.parametrize("block", BLOCKS)
def test_they_are_valid_and_nothing_in_them_is_idle(block: str, tmp_path: Path) -> None:
    (file := tmp_path / "penstock.yaml").write_text(block)
    result = CliRunner().invoke(check, ["-c", str(file)])
    assert result.exit_code == 0, result.stderr
    assert "warning" not in result.stderr


def test_it_names_every_topic_of_the_reference() -> None:
    assert set(re.findall(r"^\| `penstock guide (\w+)` \|", README, re.MULTILINE)) == PAGES.keys()
