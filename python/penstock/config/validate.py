"""The rules that join several keys: names that must exist, or exist once, and choices that exclude each other.

They are checked on the nodes, which know their place, and not on the Structs, so that their errors are reported
together with those of single values. A value of the wrong form is skipped here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.config.address import Address, Url
from penstock.config.node import Entry, Mapping, Node, Scalar, Sequence
from penstock.config.problem import Path, Report, nearest
from penstock.config.settings import DEFAULT_ADMIN_LISTEN, DEFAULT_LISTEN

if TYPE_CHECKING:
    from collections.abc import Iterator

# The largest values: of `n` and `best_of` by OpenAI's specification, of tokens by what the Rust core can count.
COUNTS = {"n": 128, "best_of": 128, "max_tokens": 2**53, "max_completion_tokens": 2**53}


def validate(root: Mapping, report: Report) -> None:
    """Report every broken rule between keys as an error, and what is probably a mistake as a warning."""
    _check_listeners(root, report)
    for name, backend in _entries(root, "backends"):
        _check_backend(backend.node, ("backends", name), root, report)
    _check_tiers(root, report)
    _check_access(root, report)
    _unique(root, ("cors", "origins"), (), report)
    _warn_unused(root, report)


def _check_listeners(root: Mapping, report: Report) -> None:
    listen, node = _address(root, ("listen",), DEFAULT_LISTEN)
    admin, admin_node = _address(root, ("admin", "listen"), DEFAULT_ADMIN_LISTEN)
    allowed = _get(root, "access", "allow_anonymous")
    if listen is not None and not listen.is_loopback and not (isinstance(allowed, Scalar) and allowed.value is True):
        message = (
            f"{listen} can be reached from other machines, and this version has no keys: "
            "set access.allow_anonymous: true if everyone there may use the models"
        )
        report.error(node.mark if node else None, ("listen",), message)
    for address, path in ((listen, ("listen_mode",)), (admin, ("admin", "listen_mode"))):
        mode = _get(root, *path)
        if address is not None and address.path is None and mode is not None and _text(mode) is not None:
            report.error(mode.mark, path, "only a unix: socket takes permissions")
    if listen is not None and listen == admin and (listen.path is not None or listen.port != 0):
        at, path = (admin_node, ("admin", "listen")) if admin_node else (node, ("listen",))
        report.error(at.mark if at else None, path, f"listen and admin.listen are both {listen}")


def _check_access(root: Mapping, report: Report) -> None:
    keys = ("tenant_header", "priority_header")
    headers = {key: node for key in keys if (node := _get(root, "access", key)) is not None and _text(node) is not None}
    proxies = _get(root, "trusted_proxies")
    trusted = isinstance(proxies, Sequence) and len(proxies.items) > 0
    for key, node in headers.items():
        if not trusted:
            report.warn(node.mark, ("access", key), "the header never counts: there are no trusted_proxies")
    names = [(_text(node) or "").lower() for node in headers.values()]
    if len(set(names)) < len(names):
        message = f'"{names[0]}" is the tenant_header too'
        report.error(headers["priority_header"].mark, ("access", "priority_header"), message)
    if proxies is not None and trusted and not headers:
        report.warn(proxies.mark, ("trusted_proxies",), "nothing comes of it: access names no header")


def _check_backend(backend: Node, path: Path, root: Mapping, report: Report) -> None:
    node = _get(backend, "node")
    nodes = dict(_entries(root, "nodes"))
    if (name := _text(node)) is not None and node is not None and name not in nodes:
        report.error(node.mark, (*path, "node"), f'there is no node "{name}"', nearest(name, nodes))
    seen: dict[str, str] = {}
    for header, entry in _entries(backend, "headers"):
        at = (*path, "headers", header)
        if header.lower() in seen:
            report.error(entry.key_mark, at, f'the header is given twice, also as "{seen[header.lower()]}"')
        seen[header.lower()] = header
        if header.lower() == "authorization" and _text(_get(backend, "api_key")) is not None:
            report.error(entry.key_mark, at, "api_key sets this header too; give one of them")
    tls = _get(backend, "tls")
    if not isinstance(tls, Mapping):
        return
    try:
        secure = Url.parse(_text(_get(backend, "url")) or "").scheme == "https"
    except ValueError:
        secure = True
    if not secure:
        report.error(tls.mark, (*path, "tls"), "only an https:// url takes tls")
    if (_text(_get(tls, "cert")) is None) != (_text(_get(tls, "key")) is None):
        report.error(tls.mark, (*path, "tls"), "cert and key are given together or not at all")


def _check_tiers(root: Mapping, report: Report) -> None:
    backends = dict(_entries(root, "backends"))
    owners: dict[str, tuple[str, Scalar]] = {}
    for tier, entry in _entries(root, "tiers"):
        path: Path = ("tiers", tier)
        for at, scalar, name in _unique(entry.node, ("models",), path, report):
            owner, first = owners.setdefault(name, (tier, scalar))
            if owner != tier:
                message = f'the model "{name}" is in two tiers, "{owner}" (line {first.mark.line}) and "{tier}"'
                report.error(scalar.mark, at, message)
        for at, scalar, name in _unique(entry.node, ("backends",), path, report):
            if name not in backends:
                report.error(scalar.mark, at, f'there is no backend "{name}"', nearest(name, backends))
        _unique(entry.node, ("parameters", "allow"), path, report)
        for group in ("default", "force"):
            _check_counts(entry.node, (*path, "parameters", group), group, report)


def _check_counts(tier: Node, path: Path, group: str, report: Report) -> None:
    """Report counts out of range: with them each request of the tier would be refused."""
    for name, most in COUNTS.items():
        node = _get(tier, "parameters", group, name)
        value = node.value if isinstance(node, Scalar) else node
        if node is None or value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            report.error(node.mark, (*path, name), f"must be a whole number from 1 to {most}")


def _unique(owner: Node, keys: tuple[str, ...], path: Path, report: Report) -> list[tuple[Path, Scalar, str]]:
    """The strings of a list, with place; a second one of the same name is reported and left out."""
    names = _get(owner, *keys)
    seen: dict[str, Scalar] = {}
    unique: list[tuple[Path, Scalar, str]] = []
    for index, item in enumerate(names.items if isinstance(names, Sequence) else ()):
        name, at = _text(item), (*path, *keys, index)
        if name is None or not isinstance(item, Scalar):
            continue
        if name in seen:
            report.error(item.mark, at, f'"{name}" is listed twice, first in line {seen[name].mark.line}')
            continue
        seen[name] = item
        unique.append((at, item, name))
    return unique


def _warn_unused(root: Mapping, report: Report) -> None:
    used: dict[str, set[str | None]] = {"backends": set(), "nodes": set()}
    for _, tier in _entries(root, "tiers"):
        names = _get(tier.node, "backends")
        used["backends"].update(map(_text, names.items) if isinstance(names, Sequence) else ())
    for _, backend in _entries(root, "backends"):
        used["nodes"].add(_text(_get(backend.node, "node")))
    for key, user in (("backends", "tier"), ("nodes", "backend")):
        for name, entry in _entries(root, key):
            if name not in used[key]:
                report.warn(entry.key_mark, (key, name), f"no {user} uses it")


def _address(root: Mapping, path: tuple[str, ...], default: Address) -> tuple[Address | None, Node | None]:
    node = _get(root, *path)
    if node is None:
        return default, None
    try:
        return Address.parse(_text(node) or ""), node
    except ValueError:
        return None, node


def _get(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        entry = node.entries.get(key) if isinstance(node, Mapping) else None
        node = entry.node if entry else None
    return node


def _entries(node: Node, key: str) -> Iterator[tuple[str, Entry]]:
    inner = _get(node, key)
    yield from inner.entries.items() if isinstance(inner, Mapping) else ()


def _text(node: Node | None) -> str | None:
    """The text of a string, also of one that came from a variable."""
    if not isinstance(node, Scalar) or node.broken:
        return None
    return node.text if isinstance(node.value, str) or node.replaced else None
