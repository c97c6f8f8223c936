"""The pictures in the READMEs are those that the code gives."""

from __future__ import annotations

import re

from tests.structure.graph import reduced
from tests.structure.layers import ROOT
from tests.structure.picture import PICTURES, between_markers


def test_the_committed_pictures_are_those_of_the_code() -> None:
    shown = {readme: between_markers(readme.read_text()) for readme in PICTURES}
    assert shown[ROOT / "python" / "penstock" / "README.md"] is not None
    for readme, picture in shown.items():
        if picture is not None:
            assert picture == PICTURES[readme](), f"{readme.relative_to(ROOT)} is not up to date: make picture"


def test_an_arrow_that_follows_from_others_is_left_out() -> None:
    graph = {"a": {"b", "c", "d"}, "b": {"c"}, "c": {"d"}, "d": set[str]()}
    assert reduced(graph) == {"a": {"b"}, "b": {"c"}, "c": {"d"}, "d": set()}


def test_the_files_that_the_readme_names_are_there() -> None:
    readme = ROOT / "python" / "penstock" / "README.md"
    named = re.findall(r"`([a-z_]+/[a-z_/]*\.py)`", readme.read_text())
    assert len(named) > 30
    assert [name for name in named if not (readme.parent / name).exists()] == []
