"""The imports between the modules of a folder of Python files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.structure.graph import Graph

__all__ = ["python_graph"]


def python_graph(folder: Path, package: str) -> Graph:
    """Return who imports whom among the modules below a folder.

    Every import counts, also inside functions and under `if TYPE_CHECKING`. That Python imports the packages above a
    module along with it does not count.

    Args:
        folder: where the files are.
        package: the dotted name of the folder; empty if its modules are top-level ones.
    """
    files = {_name(path.relative_to(folder), package): path for path in sorted(folder.rglob("*.py*")) if _is_code(path)}
    graph: Graph = {}
    for module, path in files.items():
        named = _imported(ast.parse(path.read_text()), module, is_package=path.stem == "__init__")
        graph[module] = {found for name in named if (found := _module(name, files)) is not None} - {module}
    return graph


def _is_code(path: Path) -> bool:
    return path.suffix in (".py", ".pyi")


def _name(path: Path, package: str) -> str:
    parts = [*filter(None, [package]), *path.with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _imported(tree: ast.AST, module: str, *, is_package: bool) -> Iterator[str]:
    """Yield the full name of everything that is imported; of `from a import b` that is `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: len(module.split(".")) - node.level + is_package] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _module(name: str, files: dict[str, Path]) -> str | None:
    """Return the module that a name is, or is in; None: it is another package's."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or None
