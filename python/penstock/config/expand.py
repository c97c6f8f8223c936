"""``${VAR}``, ``${VAR:-default}``, ``$${`` and ``file:/path`` inside the string scalars of a file.

It works on the parsed tree, so a value can never add structure to the file. A scalar that is nothing but one plain
``${VAR}`` is typed again, so ``concurrency: ${SLOTS}`` works; in quotes it stays a string.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import replace
from pathlib import Path as FilePath

from penstock.config.loader import core_value
from penstock.config.node import Entry, Mapping, Node, Scalar, Sequence
from penstock.config.problem import Path, Report

# "${" alone matches too, so that a malformed reference is reported and not taken as text.
_TOKEN = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")
_MAX_SECRET = 64 * 1024


def expand(root: Mapping, report: Report) -> Mapping:
    """The same tree with all references replaced; what cannot be replaced is noted in ``report``."""
    return _mapping(root, (), report)


def _expand(node: Node, path: Path, report: Report) -> Node:
    if isinstance(node, Scalar):
        return _scalar(node, path, report) if isinstance(node.value, str) else node
    if isinstance(node, Sequence):
        return replace(node, items=tuple(_expand(item, (*path, at), report) for at, item in enumerate(node.items)))
    return _mapping(node, path, report)


def _mapping(node: Mapping, path: Path, report: Report) -> Mapping:
    entries = {
        name: Entry(entry.key_mark, _expand(entry.node, (*path, name), report)) for name, entry in node.entries.items()
    }
    return replace(node, entries=entries)


def _scalar(scalar: Scalar, path: Path, report: Report) -> Scalar:
    try:
        text = _TOKEN.sub(_replacement, scalar.text)
        if text.startswith("file:"):
            return replace(scalar, text=(content := _read(text)), value=content)
    except ValueError as error:
        report.error(scalar.mark, path, str(error))
        return replace(scalar, broken=True)
    whole = _TOKEN.fullmatch(scalar.text)
    if whole is None or whole["name"] is None or scalar.quoted:
        return replace(scalar, text=text, value=text)
    # An empty variable stays the empty string: as a null it would silently switch a key or a limit off.
    return replace(scalar, text=text, value=core_value(text) if text else "", replaced=True)


def _replacement(token: re.Match[str]) -> str:
    if token[0] == "$${":
        return "${"
    name, default = token["name"], token["default"]
    if name is None:
        raise ValueError("expected ${NAME} or ${NAME:-default} after $; write $${ for the text ${")
    value = os.environ.get(name)
    if default is not None:  # as in a shell, ":-" also replaces an empty value
        return value or default
    if value is None:
        raise ValueError(f"the environment variable {name} is not set")
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise ValueError(f"the environment variable {name} is not valid UTF-8")
    return value


def _read(text: str) -> str:
    """The content of ``file:/path`` less one trailing line break; messages never show it."""
    name = text.removeprefix("file:")
    if not name.startswith("/") or "\0" in name:
        raise ValueError("file: takes an absolute path, such as file:/run/secrets/key")
    path = FilePath(name)
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # reading a pipe blocks, and a device may be endless
            raise ValueError(f"{name} is not a regular file")
        with path.open("rb") as file:
            content = file.read(_MAX_SECRET + 1)
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from None
    if len(content) > _MAX_SECRET:
        raise ValueError(f"{name} is larger than {_MAX_SECRET // 1024} KiB")
    try:
        return re.sub(r"\r?\n\Z", "", content.decode("utf-8"), count=1)
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not valid UTF-8") from None
