"""Who imports whom, and what can be said about that."""

from __future__ import annotations

from collections.abc import Callable, Iterable

__all__ = ["Graph", "circles", "grouped", "reachable", "reduced"]

Graph = dict[str, set[str]]
"""For each node the nodes that it imports. A node never imports itself."""


def reachable(graph: Graph, start: str) -> set[str]:
    """Return all that a node imports, directly or through others."""
    found: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph.get(node, ())
    return found


def circles(graph: Graph) -> list[list[str]]:
    """Return, for each set of nodes that import each other, one shortest circle: its first node is also its last."""
    ways = {node: reachable(graph, node) for node in graph}
    found: dict[frozenset[str], list[str]] = {}
    for node in sorted(graph):
        if node in ways[node]:
            together = frozenset(other for other in ways[node] if node in ways[other])
            circle = _shortest_circle(graph, node)
            if together not in found or len(circle) < len(found[together]):
                found[together] = circle
    return list(found.values())


def _shortest_circle(graph: Graph, start: str) -> list[str]:
    """Return the shortest way from a node to itself, which must exist."""
    ways = [[start]]
    seen: set[str] = set()
    for way in ways:
        for node in sorted(graph.get(way[-1], ())):
            if node == start:
                return [*way, start]
            if node not in seen:
                seen.add(node)
                ways.append([*way, node])
    raise ValueError(f"{start} is in no circle")


def grouped(graph: Graph, group_of: Callable[[str], str]) -> Graph:
    """Return the imports between groups of nodes."""
    groups: Graph = {group_of(node): set() for node in graph}
    for node, imports in graph.items():
        groups[group_of(node)] |= {group_of(other) for other in imports} - {group_of(node)}
    return groups


def reduced(graph: Graph) -> Graph:
    """Return the imports without those that follow from others (the transitive reduction). There must be no circle."""
    return {
        node: {other for other in imports if not _follows(graph, imports, other)} for node, imports in graph.items()
    }


def _follows(graph: Graph, imports: Iterable[str], node: str) -> bool:
    return any(node in reachable(graph, other) for other in imports if other != node)
