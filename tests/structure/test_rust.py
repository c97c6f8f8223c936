"""The crates know each other in one direction, and within a crate no two files use each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.structure.graph import circles
from tests.structure.layers import CRATES, crates
from tests.structure.rust_imports import crate_dependencies, crate_graph


@pytest.mark.parametrize("name", sorted(crates()))
def test_a_crate_depends_only_on_those_below_it(name: str) -> None:
    assert name in CRATES, "each crate has its place in CRATES"
    _, needed = crate_dependencies(crates()[name] / "Cargo.toml")
    assert needed <= CRATES[name]


@pytest.mark.parametrize("name", sorted(crates()))
def test_no_circle_in_a_crate(name: str) -> None:
    assert [" -> ".join(circle) for circle in circles(crate_graph(crates()[name] / "src"))] == []


CODE = {
    "lib.rs": "pub mod a;\nmod b;\npub use b::Ball;\n",
    "a/mod.rs": "mod one;\nmod two;\npub use one::One;\npub use two::*;\nuse crate::b;\nstruct Own;\n",
    # By way of the parent's re-exports to siblings; what the parent has itself; a comment and a text.
    "a/one.rs": 'use super::{Two, two::{self, Three as Third}};\n// use super::Own;\nconst A: &str = "super::Own";\n',
    "a/two.rs": "pub struct Two;\npub struct Three;\nfn f() { super::b::g(); crate::Ball::new() }\n",
    "b.rs": "pub struct Ball;\npub fn g() {}\n#[cfg(test)]\nmod tests {\n    use crate::a::Own;\n}\n",
}


def written(folder: Path, changes: dict[str, str]) -> Path:
    for name, text in {**CODE, **changes}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_a_path_leads_to_the_file_that_defines_its_item(tmp_path: Path) -> None:
    assert crate_graph(written(tmp_path, {})) == {
        "lib.rs": set(),
        "a/mod.rs": {"b.rs"},
        "a/one.rs": {"a/two.rs"},
        "a/two.rs": {"b.rs"},
        "b.rs": set(),
    }


@pytest.mark.parametrize(
    ("changes", "circle"),
    [
        ({"a/two.rs": "pub struct Two;\nuse super::One;\n"}, ["a/one.rs", "a/two.rs", "a/one.rs"]),
        ({"b.rs": "pub struct Ball(crate::a::Own);\n"}, ["a/mod.rs", "b.rs", "a/mod.rs"]),
        (
            {
                "a/mod.rs": "mod one;\npub use one::One;\nstruct Own(One);\n",
                "a/one.rs": "pub struct One;\nuse super::Own as O;\n",
            },
            ["a/mod.rs", "a/one.rs", "a/mod.rs"],
        ),
        (
            {"a/two.rs": "pub struct Two;\nmod inner { use super::super::one::One; }\n"},
            ["a/one.rs", "a/two.rs", "a/one.rs"],
        ),
    ],
    ids=["re-export", "path in the code", "re-export in use", "inner module"],
)
def test_circles_are_found(tmp_path: Path, changes: dict[str, str], circle: list[str]) -> None:
    assert circles(crate_graph(written(tmp_path, changes))) == [circle]
