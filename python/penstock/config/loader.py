"""YAML text to a tree of nodes that know their place.

PyYAML's scanner and parser do the reading; what the text means is decided here, because PyYAML itself follows YAML 1.1
(``no`` is false, ``010`` is 8, ``1:30`` is 90, duplicate keys pass). Scalars follow the core schema of YAML 1.2 §10.3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml
from yaml.reader import ReaderError

from penstock.config.node import Entry, Mapping, Node, Scalar, Sequence, Value, describe
from penstock.config.problem import Mark, Path, Report

if TYPE_CHECKING:
    from collections.abc import Iterator

# A file with every table full (256 backends, 64 tiers) has about 200 KiB; PyYAML reads 1 MiB in about 4 s.
MAX_BYTES = 1 << 20
MAX_DEPTH = 64
# Counted after aliases are followed, so that a few lines of nested aliases cannot stand for billions of values.
MAX_NODES = 100_000

_NULL = re.compile(r"null|Null|NULL|~|")
_BOOL = re.compile(r"(true|True|TRUE)|false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# Longer numbers stay text: they are typing errors, and int() raises ValueError for some thousand digits.
_MAX_DIGITS = 400

# In `{token: ${VAR}}` YAML would end the scalar at the first closing brace. While PyYAML reads, each brace of a
# reference is replaced by one character of the private use area, so that columns stay right.
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*(?::-[^\s{}\[\],\"']*)?)\}")
_HIDDEN = re.compile("\\$\U0010fffc([^\U0010fffd]*)\U0010fffd")


def core_value(text: str) -> Value:
    """The value of a plain scalar by the core schema of YAML 1.2 (§10.3.2).

    >>> [core_value(text) for text in ("010", "0o10", "no", "1:30", "~")]
    [10, 8, 'no', '1:30', None]
    """
    if _NULL.fullmatch(text):
        return None
    if boolean := _BOOL.fullmatch(text):
        return boolean[1] is not None
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
    return text


def parse(text: str, report: Report) -> Mapping:
    """Read one YAML document whose top is a mapping.

    Duplicate keys and tags are noted in ``report`` and reading goes on.

    Raises:
        ConfigError: the text is no such document, or is over a limit of this module.
    """
    if len(text) > MAX_BYTES:
        raise report.fail(None, (), f"the file is larger than {MAX_BYTES >> 20} MiB")
    text = text.removeprefix("\ufeff")
    try:
        return _Composer(text, report).document()
    except yaml.MarkedYAMLError as error:
        mark = _mark(error.problem_mark or error.context_mark)
        raise report.fail(mark, (), f"not valid YAML: {error.problem or error.context}") from None
    except ReaderError as error:
        before = text[: error.position]
        at = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        message = f"not valid YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        raise report.fail(at, (), message) from None
    except (ValueError, OverflowError):
        # PyYAML lets these escape for "\UFFFFFFFF" and for a directive with a number of thousands of digits.
        raise report.fail(None, (), "not valid YAML: an escape or a number is out of range") from None


class _Composer:
    """Builds nodes from PyYAML's events."""

    def __init__(self, text: str, report: Report) -> None:
        hidden = _REFERENCE.sub("$\U0010fffc\\1\U0010fffd", text)
        self._events: Iterator[yaml.Event] = yaml.parse(hidden, Loader=yaml.SafeLoader)
        self._report = report
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._nodes = 0

    def document(self) -> Mapping:
        next(self._events)  # the start of the stream
        start = next(self._events)
        if not isinstance(start, yaml.DocumentStartEvent):
            raise self._report.fail(None, (), "the file is empty")
        top = self._node(next(self._events), ())
        next(self._events)  # the end of the document
        after = next(self._events)
        if not isinstance(after, yaml.StreamEndEvent):
            raise self._report.fail(_mark(after.start_mark), (), "the file holds more than one YAML document")
        if isinstance(top, Scalar) and top.value is None:
            raise self._report.fail(None, (), "the file is empty")
        if not isinstance(top, Mapping):
            raise self._report.fail(top.mark, (), f"the file must hold keys and values, not {describe(top)}")
        return top

    def _node(self, event: yaml.Event, path: Path) -> Node:
        mark = _mark(event.start_mark)
        assert isinstance(event, yaml.NodeEvent)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor or "", mark, path)
        before = self._nodes
        self._count(1, mark, path)
        if len(path) >= MAX_DEPTH:
            raise self._report.fail(mark, path, f"nested more than {MAX_DEPTH} deep")
        tag = getattr(event, "tag", None)
        if tag is not None:
            short = tag.replace("tag:yaml.org,2002:", "!!")
            self._report.error(mark, path, f"YAML tags such as {short} are not allowed")
        node: Node
        if isinstance(event, yaml.SequenceStartEvent):
            node = Sequence(mark, self._items(path))
        elif isinstance(event, yaml.MappingStartEvent):
            node = Mapping(mark, self._entries(path))
        else:
            assert isinstance(event, yaml.ScalarEvent)
            node = self._scalar(event, mark, path)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, self._nodes - before)
        return node

    def _alias(self, anchor: str, mark: Mark, path: Path) -> Node:
        # Anchors are registered when their node is complete, so that no node can contain itself.
        if anchor not in self._anchors:
            raise self._report.fail(mark, path, f"*{anchor} stands for nothing that is complete before it")
        node, size = self._anchors[anchor]
        self._count(size, mark, path)
        if len(path) + _depth(node) > MAX_DEPTH:
            raise self._report.fail(mark, path, f"nested more than {MAX_DEPTH} deep")
        return node

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark, path: Path) -> Scalar:
        text = _HIDDEN.sub(r"${\1}", event.value)
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._report.error(mark, path, "half of a surrogate pair is not a character")
        quoted = event.style is not None
        value = text if quoted else core_value(text)
        return Scalar(mark, text, value, quoted=quoted)

    def _items(self, path: Path) -> tuple[Node, ...]:
        items: list[Node] = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return tuple(items)

    def _entries(self, path: Path) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        merges: list[Mapping] | None = None
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            # Refused before it is read: mappings nested within keys would not count towards MAX_DEPTH.
            key = self._node(event, path) if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent) else None
            if not isinstance(key, Scalar):
                raise self._report.fail(_mark(event.start_mark), path, "a key must be a name, not a list or mapping")
            is_merge = key.text == "<<" and not key.quoted
            inner = (*path, key.text)
            node = self._node(next(self._events), inner)
            if is_merge and merges is None:
                merges = self._merged(node, inner)
            elif is_merge:
                self._report.error(key.mark, inner, "a second << in one mapping; write one << with a list")
            elif key.text in entries:
                first = entries[key.text].key_mark
                message = f"duplicate key; it is also at line {first.line}, column {first.column}"
                self._report.error(key.mark, inner, message)
            else:
                entries[key.text] = Entry(key.mark, node)
        for mapping in merges or ():  # the first source wins, and own keys win over all sources (YAML merge key type)
            for name, entry in mapping.entries.items():
                entries.setdefault(name, entry)
        return entries

    def _merged(self, node: Node, path: Path) -> list[Mapping]:
        sources = node.items if isinstance(node, Sequence) else (node,)
        merges: list[Mapping] = []
        for source in sources:
            if isinstance(source, Mapping):
                merges.append(source)
            else:
                self._report.error(
                    source.mark, path, f"<< takes a mapping or a list of mappings, not {describe(source)}"
                )
        return merges

    def _count(self, nodes: int, mark: Mark, path: Path) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise self._report.fail(mark, path, f"the file holds more than {MAX_NODES:,} values")


def _mark(mark: Any) -> Mark:
    """PyYAML's mark as ours. Any, as the type stubs also allow None, which its Python parser never gives."""
    return Mark(mark.line + 1, mark.column + 1)


def _depth(node: Node) -> int:
    if isinstance(node, Sequence):
        return 1 + max(map(_depth, node.items), default=0)
    if isinstance(node, Mapping):
        return 1 + max((_depth(entry.node) for entry in node.entries.values()), default=0)
    return 0
