"""What the pages of the reference say, and what the sources say: both as data."""

from __future__ import annotations

import re
from importlib import resources
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGES = {
    page.name.removesuffix(".md"): page.read_text(encoding="utf-8")
    for page in resources.files("penstock.guide").iterdir()
    if page.name.endswith(".md")
}
# The sources of what is shipped, tests left out.
RUST = "\n".join(
    path.read_text(encoding="utf-8")
    for path in sorted((ROOT / "rust").glob("*/src/**/*.rs"))
    if "tests" not in path.name and "tests" not in path.parts
)

Row = dict[str, str]


def tables(page: str) -> list[list[Row]]:
    """Return the tables of a page: their rows, by the words of the first."""
    found: list[list[Row]] = []
    head: list[str] | None = None
    lines = PAGES[page].splitlines()
    for line, below in pairwise([*lines, ""]):
        if not line.startswith("|"):
            head = None
        elif head is None and below.startswith("|---"):
            head = _cells(line)
            found.append([])
        elif head is not None and not line.startswith("|---"):
            cells = _cells(line)
            assert len(cells) == len(head), f"{page}: {line}"
            found[-1].append(dict(zip(head, cells, strict=True)))
    return found


def table(page: str, *columns: str) -> list[Row]:
    """Return the rows of the one table that begins with these columns."""
    fitting = [rows for rows in tables(page) if rows and tuple(rows[0])[: len(columns)] == columns]
    assert len(fitting) == 1, f"{page}: {len(fitting)} tables with the columns {columns}"
    return fitting[0]


def section(page: str, title: str) -> str:
    """Return the text below a heading, up to the next of its rank."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGES[page], re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page}: no section {title!r}"
    return found[1]


def names(text: str) -> list[str]:
    """Return what stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def name(text: str) -> str:
    """Return the one name of a cell."""
    (only,) = names(text)
    return only


def words_of(enum: str) -> list[str]:
    """Return the words that a Rust enum's variants have outside."""
    found = re.findall(rf'\b{enum}::\w+ => "([^"]+)"', RUST)
    assert found, f"the sources say no words for the variants of {enum}"
    return found


def letters_of(enum: str) -> list[str]:
    """Return the same for an enum whose variants have letters."""
    found = re.findall(rf"\b{enum}::\w+ => b'(.)'", RUST)
    assert found, f"the sources say no letters for the variants of {enum}"
    return found


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]
