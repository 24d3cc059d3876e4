"""The graph of nodes: who needs whom, in which order."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from bclust.errors import ProjectError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Graph:
    """Parents and children by name. Raises ProjectError with the path of a cycle."""

    def __init__(self, parents: Mapping[str, Iterable[str]]) -> None:
        self.parents = {name: tuple(sorted(set(needed))) for name, needed in parents.items()}
        self.children: dict[str, list[str]] = {name: [] for name in self.parents}
        for name, needed in self.parents.items():
            for parent in needed:
                self.children[parent].append(name)
        try:
            self.order = tuple(TopologicalSorter(self.parents).static_order())
        except CycleError as error:
            path = " -> ".join(reversed(error.args[1]))
            raise ProjectError(f"the models form a cycle: {path}", hint="take one of these references out") from error
        self._rank = {name: rank for rank, name in enumerate(self.order)}

    def sorted(self, names: Iterable[str]) -> list[str]:
        """The names in building order."""
        return sorted(names, key=self._rank.__getitem__)

    def ancestors(self, name: str, depth: int | None = None) -> set[str]:
        """All that ``name`` needs, to ``depth`` steps up."""
        return self._walk(name, self.parents, depth)

    def descendants(self, name: str, depth: int | None = None) -> set[str]:
        """All that needs ``name``, to ``depth`` steps down."""
        return self._walk(name, self.children, depth)

    @staticmethod
    def _walk(name: str, edges: Mapping[str, Iterable[str]], depth: int | None) -> set[str]:
        found: set[str] = set()
        layer = {name}
        while layer and (depth is None or depth > 0):
            layer = {other for one in layer for other in edges[one]} - found
            found |= layer
            depth = None if depth is None else depth - 1
        return found
