"""The uses between the files of a Rust crate, and between crates.

It reads `use` declarations and the paths in the code. A path leads to the file that defines its item: what a module
re-exports is looked up where it comes from. A re-export alone is not counted as a use; it is one if the rest of the
file names the item. Blocks under `#[cfg(test)]` do not count. `#[path]` and macros are not understood.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.structure.graph import Graph

__all__ = ["crate_dependencies", "crate_graph"]

NOISE = re.compile(
    r"""//[^\n]* | /\*.*?\*/ | b?r(\#*)".*?"\1 | b?"(?:\\.|[^"\\])*" | b?'(?:\\.[^']*|[^'\\])'""",
    re.DOTALL | re.VERBOSE,
)
USE = re.compile(r"(?<!\w)(?P<public>pub(?:\([^)]*\))?\s+)?use\s+(?P<tree>[^;]+);")
PATH = re.compile(r"(?<![\w:])(?:[A-Za-z_]\w*\s*::\s*)+[A-Za-z_]\w*")
OPEN = re.compile(r"(?P<test>\#\[cfg\(test\)\]\s*)?(?:pub(?:\([^)]*\))?\s+)?mod\s+(?P<name>\w+)\s*\{")
ITEM = re.compile(r"\b(?:fn|struct|enum|trait|type|const|static|union|macro_rules!)\s+(?:mut\s+)?(\w+)")
MOST_STEPS = 16
"""How many re-exports lie behind each other at most."""

Module = tuple[str, ...]
"""The path of a module from the root of its crate."""


@dataclass
class Scope:
    """One module: its own file, or a block inside one."""

    file: str
    items: set[str] = field(default_factory=set)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """What `use` brings into it, public or not, under which name."""
    globs: list[tuple[str, ...]] = field(default_factory=list)
    paths: list[tuple[str, ...]] = field(default_factory=list)
    """Every path that it uses, as it is written."""


def crate_dependencies(manifest: Path) -> tuple[str, set[str]]:
    """Return the name of a crate, and the crates of this project that it depends on (not those of its tests)."""
    content = tomllib.loads(manifest.read_text())
    needed = {**content.get("dependencies", {}), **content.get("build-dependencies", {})}
    return content["package"]["name"], {name for name in needed if name.startswith("penstock-")}


def crate_graph(source: Path) -> Graph:
    """Return which file of a crate uses which; `source` is its folder `src`."""
    scopes: dict[Module, Scope] = {}
    for path in sorted(source.rglob("*.rs")):
        name = path.relative_to(source)
        parts = name.with_suffix("").parts
        module = parts[:-1] if parts[-1] in ("mod", "lib", "main") else parts
        code = NOISE.sub(lambda found: " " if found[0].startswith("/") else '""', path.read_text())
        _read(code, module, str(name), scopes)
    graph: Graph = {scope.file: set() for scope in scopes.values()}
    for module, scope in scopes.items():
        for path_ in scope.paths:
            used = _file_of(path_, module, scopes)
            if used is not None and used != scope.file:
                graph[scope.file].add(used)
    return graph


def _read(code: str, module: Module, file: str, scopes: dict[Module, Scope]) -> None:
    """Read the code of a module, and of those that are blocks inside it."""
    scope = scopes.setdefault(module, Scope(file))
    while (found := OPEN.search(code)) is not None:
        end = _block_end(code, found.end())
        if not found["test"]:
            _read(code[found.end() : end - 1], (*module, found["name"]), file, scopes)
        code = code[: found.start()] + code[end:]
    rest = USE.sub("", code)
    scope.items |= set(ITEM.findall(rest))
    words = set(re.findall(r"\w+", rest))
    for use in USE.finditer(code):
        for path, name in _leaves(use["tree"]):
            if name == "*":
                scope.globs.append(path)
            else:
                scope.names[name] = path
            if not use["public"] or name in words:
                scope.paths.append(path)
    scope.paths += [tuple(re.split(r"\s*::\s*", found)) for found in PATH.findall(rest)]


def _block_end(code: str, start: int) -> int:
    """Return the place behind the brace that closes the block whose first character is at `start`."""
    depth = 1
    for at in range(start, len(code)):
        depth += {"{": 1, "}": -1}.get(code[at], 0)
        if depth == 0:
            return at + 1
    return len(code)


def _leaves(tree: str, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each path of a use tree, and the name that it has afterwards; `*` for a glob."""
    head, brace, inner = tree.strip().partition("{")
    steps = tuple(step.strip() for step in head.split("::") if step.strip())
    if brace:
        for part in _split(inner.rpartition("}")[0]):
            yield from _leaves(part, (*prefix, *steps))
        return
    if not steps:
        return
    *before, last = (*prefix, *steps)
    path, _, name = last.partition(" as ")
    if path == "*":
        yield tuple(before), "*"
    elif path == "self":
        yield tuple(before), name.strip() or before[-1]
    else:
        yield (*before, path.strip()), name.strip() or path


def _split(inner: str) -> Iterator[str]:
    """Split at the commas that are in no inner braces."""
    depth, start = 0, 0
    for at, character in enumerate(inner):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if character == "," and depth == 0:
            yield inner[start:at]
            start = at + 1
    yield inner[start:]


def _file_of(path: tuple[str, ...], module: Module, scopes: dict[Module, Scope], steps: int = 0) -> str | None:
    """Return the file that defines what a path leads to, as seen from a module; None: it is in another crate."""
    start = _start(path, module, scopes)
    if start is None or steps > MOST_STEPS:
        return None
    at, rest = start
    while rest and (*at, rest[0]) in scopes:
        at, rest = (*at, rest[0]), rest[1:]
    if at not in scopes:
        return None
    scope = scopes[at]
    if not rest or rest[0] in scope.items:
        return scope.file
    if rest[0] in scope.names:
        return _file_of((*scope.names[rest[0]], *rest[1:]), at, scopes, steps + 1)
    targets = (target for glob in scope.globs if (target := _module_of(glob, at, scopes)) is not None)
    for target in targets:
        if rest[0] in scopes[target].items or rest[0] in scopes[target].names:
            return _file_of(("crate", *target, *rest), at, scopes, steps + 1)
    return scope.file


def _start(path: tuple[str, ...], module: Module, scopes: dict[Module, Scope]) -> tuple[Module, tuple[str, ...]] | None:
    """Return the module in which a path begins, and the steps from there; None: in another crate."""
    first, *rest = path
    supers = len(path) - len([*itertools.dropwhile(lambda step: step == "super", path)])
    if supers:
        return module[:-supers], path[supers:]
    if first in ("crate", "self"):
        return (() if first == "crate" else module), tuple(rest)
    is_imported = first in scopes[module].names and scopes[module].names[first] != path
    return (module, path) if is_imported or (*module, first) in scopes else None


def _module_of(path: tuple[str, ...], module: Module, scopes: dict[Module, Scope]) -> Module | None:
    """Return the module that the path of a glob leads to, if it is one of this crate."""
    start = _start(path, module, scopes)
    found = None if start is None else (*start[0], *start[1])
    return found if found in scopes else None
