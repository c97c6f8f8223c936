"""The faults that the simulation has to find still fit into the sources (`make simulate-faults` puts them back)."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.structure.layers import ROOT

PATCHES = sorted((ROOT / "rust/simulation/faults").glob("*.patch"))


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_it_can_be_put_back(patch: Path) -> None:
    command = ["git", "apply", "--check", str(patch)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_some() -> None:
    assert len(PATCHES) >= 5
