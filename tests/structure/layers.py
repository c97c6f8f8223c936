"""The order in which the parts know each other. An arrow points from who imports to what is imported, and only down."""

from __future__ import annotations

from pathlib import Path

from tests.structure.graph import Graph, grouped
from tests.structure.python_imports import python_graph
from tests.structure.rust_imports import crate_dependencies

__all__ = ["CRATES", "LAYERS", "ROOT", "crates", "layer_of", "package", "packages"]

ROOT = Path(__file__).parents[2]

LAYERS = (
    ("__main__",),
    ("cli",),
    ("app",),
    ("server", "admin", "engines"),
    ("metrics", "process"),
    ("upstream",),
    ("net",),
    ("config",),
    ("errors", "version", "_core", "sim", "locust", "guide"),
)
"""The folders of `python/penstock`, the top first. Those in one row do not know each other. `version` is the package's
own `__init__`. Those in the last row know nothing of the rest."""

CRATES: dict[str, set[str]] = {
    "penstock-wire": set(),
    "penstock-admission": set(),
    "penstock-core": {"penstock-wire", "penstock-admission"},
    "penstock-binding": {"penstock-core", "penstock-wire", "penstock-admission"},
    "penstock-simulation": {"penstock-core", "penstock-admission", "penstock-testing"},
    "penstock-load": {"penstock-wire"},
    "penstock-testing": set(),
}
"""The crates that each crate may depend on."""


def package() -> Graph:
    """Return who imports whom among the modules of `penstock`."""
    return python_graph(ROOT / "python" / "penstock", "penstock")


def packages() -> Graph:
    """Return the same between its folders."""
    return grouped(package(), layer_of)


def layer_of(module: str) -> str:
    """Return the folder of a module of `penstock`, or the module itself if it is in none."""
    return module.split(".")[1] if "." in module else "version"


def crates() -> dict[str, Path]:
    """Return the folder of each crate, by its name."""
    manifests = [*sorted(ROOT.glob("rust/*/Cargo.toml")), ROOT / "benches" / "load" / "Cargo.toml"]
    return {crate_dependencies(manifest)[0]: manifest.parent for manifest in manifests}
