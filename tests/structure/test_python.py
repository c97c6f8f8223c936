"""No two modules import each other, not even by way of others or for types alone, and arrows point down."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.structure.graph import Graph, circles
from tests.structure.layers import LAYERS, ROOT, layer_of, package, packages
from tests.structure.python_imports import python_graph

# Of the benches each folder is a set of top-level modules; only `goodput` is a package.
BENCHES = sorted(folder for folder in (ROOT / "benches").iterdir() if any(folder.glob("*.py")))


def test_no_circle_in_the_package() -> None:
    assert [" -> ".join(circle) for circle in circles(package())] == []


@pytest.mark.parametrize("folder", BENCHES, ids=lambda folder: folder.name)
def test_no_circle_in_the_benches(folder: Path) -> None:
    name = "benches.goodput" if folder.name == "goodput" else ""
    assert [" -> ".join(circle) for circle in circles(python_graph(folder, name))] == []


def test_no_arrow_points_up() -> None:
    row_of = {name: at for at, row in enumerate(LAYERS) for name in row}
    assert set(packages()) == set(row_of), "each folder has its place in LAYERS"
    upward = [
        f"{module} imports {other}"
        for module, imports in package().items()
        for other in imports
        if layer_of(other) != layer_of(module) and row_of[layer_of(other)] <= row_of[layer_of(module)]
    ]
    assert upward == []


def test_only_the_command_line_knows_the_simulated_server_and_nobody_the_locust_user() -> None:
    graph = packages()
    assert {name for name, imports in graph.items() if "sim" in imports} == {"cli"}
    assert not any("locust" in imports for imports in graph.values())


CODE = {
    "a/__init__.py": "from pkg.a.one import One\n",
    "a/one.py": "if TYPE_CHECKING:\n    from pkg.a import two\nclass One: ...\n",
    "a/two.py": "def f():\n    from pkg.b import three\n    import os\n",
    "b/__init__.py": "",
    "b/three.py": "from ..a.one import One\nimport pkg.b.four as four\n",
    "b/four.pyi": "from pkg.b.three import THREE\n",
}


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    for name, text in CODE.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return python_graph(tmp_path, "pkg")


def test_every_kind_of_import_counts(graph: Graph) -> None:
    assert graph == {
        "pkg.a": {"pkg.a.one"},
        "pkg.a.one": {"pkg.a.two"},
        "pkg.a.two": {"pkg.b.three"},
        "pkg.b": set(),
        "pkg.b.three": {"pkg.a.one", "pkg.b.four"},
        "pkg.b.four": {"pkg.b.three"},
    }


def test_circles_are_found_and_the_shortest_is_shown(graph: Graph) -> None:
    assert circles(graph) == [["pkg.b.four", "pkg.b.three", "pkg.b.four"]]
    del graph["pkg.b.four"]
    graph["pkg.b.three"].remove("pkg.b.four")
    assert circles(graph) == [["pkg.a.one", "pkg.a.two", "pkg.b.three", "pkg.a.one"]]
    graph["pkg.b.three"].clear()
    assert circles(graph) == []
