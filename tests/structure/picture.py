"""Pictures of who knows whom, made from the code: `python -m tests.structure.picture` puts them into the READMEs.

They are Mermaid charts, which GitHub and most editors draw. An arrow that follows from others is left out: where cli
knows app and app knows net, there is none from cli to net.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.structure.graph import Graph, reduced
from tests.structure.layers import LAYERS, ROOT, crates, packages
from tests.structure.rust_imports import crate_dependencies

__all__ = ["PICTURES", "between_markers", "with_picture"]

BEGIN = "<!-- picture: begin (make picture) -->\n"
END = "<!-- picture: end -->\n"


def python_picture() -> str:
    """Return the folders of `python/penstock`, in their layers."""
    return _chart(packages(), [name for row in LAYERS for name in row])


def rust_picture() -> str:
    """Return the crates."""
    graph = {name: crate_dependencies(folder / "Cargo.toml")[1] for name, folder in crates().items()}
    return _chart(graph, sorted(graph))


PICTURES: dict[Path, Callable[[], str]] = {
    ROOT / "python" / "penstock" / "README.md": python_picture,
    ROOT / "rust" / "README.md": rust_picture,
}
"""Where each picture stands, if its markers are there."""


def between_markers(text: str) -> str | None:
    """Return the picture in a README; None: it has no markers."""
    _, begin, rest = text.partition(BEGIN)
    picture, end, _ = rest.partition(END)
    return picture if begin and end else None


def with_picture(text: str, picture: str) -> str:
    """Return the README with another picture."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{begin}{picture}{end}{after}"


def _chart(graph: Graph, order: list[str]) -> str:
    arrows = reduced(graph)
    lines = [f"  {name} --> {other}" for name in order for other in sorted(arrows[name], key=order.index)]
    alone = [
        f"  {name}" for name in order if not arrows[name] and not any(name in others for others in arrows.values())
    ]
    return "\n".join(["```mermaid", "flowchart TD", *lines, *alone, "```", ""])


def main() -> None:
    """Write every picture."""
    for readme, picture in PICTURES.items():
        text = readme.read_text()
        if between_markers(text) is not None:
            readme.write_text(with_picture(text, picture()))


if __name__ == "__main__":
    main()
