"""The tree over clusters (Ward linkage): cut, order and count. Pure functions of the tree tables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import polars as pl


@dataclass(frozen=True)
class Node:
    """A cluster (leaf) or a merge of two nodes."""

    node_id: int
    parent_id: int | None
    cluster_id: int | None
    height: float
    n: int
    label: str | None = None


class Tree:
    """A cluster tree of one clustering.

    Args:
        frame: rows of ``response_cluster_tree`` or ``statement_cluster_tree`` of one clustering.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        columns = ("node_id", "parent_id", "cluster_id", "height", "n", "label")
        self.nodes = {row[0]: Node(*row) for row in frame.select(columns).iter_rows()}

    @cached_property
    def children(self) -> dict[int, list[int]]:
        """Children of each node, the larger first."""
        children: dict[int, list[int]] = {i: [] for i in self.nodes}
        for node in self.nodes.values():
            if node.parent_id is not None and node.parent_id in children:
                children[node.parent_id].append(node.node_id)
        for ids in children.values():
            ids.sort(key=lambda i: (-self.nodes[i].n, i))
        return children

    @cached_property
    def roots(self) -> list[int]:
        """Nodes without a parent: one, unless the tree is empty or broken."""
        return sorted((i for i, n in self.nodes.items() if n.parent_id not in self.nodes), key=lambda i: -self.nodes[i].n)

    @property
    def leaf_nodes(self) -> list[int]:
        """The nodes that are clusters."""
        return [i for i, n in self.nodes.items() if n.cluster_id is not None]

    @cached_property
    def leaves(self) -> dict[int, list[int]]:
        """The cluster ids under each node, in drawing order."""
        leaves: dict[int, list[int]] = {}
        for i in self._bottom_up():
            node = self.nodes[i]
            own = [node.cluster_id] if node.cluster_id is not None else []
            leaves[i] = own + [c for child in self.children[i] for c in leaves[child]]
        return leaves

    def _bottom_up(self) -> Iterator[int]:
        order = list(self.roots)
        for i in order:
            order.extend(self.children[i])
        return reversed(order)

    def cut(self, groups: int) -> list[int]:
        """The nodes left when the ``groups - 1`` highest merges are undone, in drawing order."""
        cut = list(self.roots)
        while len(cut) < groups:
            inner = [i for i in cut if self.children[i]]
            if not inner:
                break
            top = max(inner, key=lambda i: (self.nodes[i].height, i))
            position = cut.index(top)
            cut[position : position + 1] = self.children[top]
        return cut

    def above(self, cut: list[int]) -> list[int]:
        """The merges above a cut: every node that has a node of the cut below it."""
        found: set[int] = set()
        for i in cut:
            parent = self.nodes[i].parent_id
            while parent is not None and parent in self.nodes and parent not in found:
                found.add(parent)
                parent = self.nodes[parent].parent_id
        return sorted(found)

    def members(self) -> pl.DataFrame:
        """Which clusters lie under which node (node_id, cluster_id)."""
        import polars as pl

        pairs = [(i, c) for i, clusters in self.leaves.items() for c in clusters]
        return pl.DataFrame(pairs, schema={"node_id": pl.Int64, "cluster_id": pl.Int64}, orient="row")


def node_rates(tree: Tree, cells: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Counts of every node, from those of its clusters.

    Args:
        tree: the tree.
        cells: rows (cluster_id, *by, k, n): k of n.
        by: the columns that tell columns of the heat strip apart.

    Returns:
        rows (node_id, *by, k, n, rate, ci_low, ci_high), Wilson intervals at 95 %.
    """
    import polars as pl

    joined = tree.members().join(cells.with_columns(pl.col("cluster_id").cast(pl.Int64)), on="cluster_id")
    counts = joined.group_by("node_id", *by, maintain_order=True).agg(pl.col("k").sum(), pl.col("n").sum())
    return with_wilson(counts)


def with_wilson(counts: pl.DataFrame) -> pl.DataFrame:
    """Add rate, ci_low and ci_high to counts k of n; NULL where n is 0."""
    import polars as pl

    low, high = wilson(counts["k"].to_numpy(), counts["n"].to_numpy())
    rated = pl.col("n") > 0
    return counts.with_columns(
        rate=pl.when(rated).then(pl.col("k") / pl.col("n")),
        ci_low=pl.when(rated).then(pl.Series(low)),
        ci_high=pl.when(rated).then(pl.Series(high)),
    )


def wilson(k: Any, n: Any) -> tuple[np.ndarray, np.ndarray]:
    """95 % limits of a share k of n (Wilson 1927, JASA 22); n = 0 gives (0, 1).

    >>> [round(float(v[0]), 4) for v in wilson([8], [10])]
    [0.4902, 0.9433]
    """
    import numpy as np

    z = 1.959963984540054
    k, n = np.asarray(k, dtype=float), np.asarray(n, dtype=float)
    n_ = np.maximum(n, 1)
    p = k / n_
    middle = (p + z**2 / (2 * n_)) / (1 + z**2 / n_)
    half = z / (1 + z**2 / n_) * np.sqrt(p * (1 - p) / n_ + z**2 / (4 * n_**2))
    low = np.where(n > 0, np.clip(middle - half, 0, 1), 0.0)
    high = np.where(n > 0, np.clip(middle + half, 0, 1), 1.0)
    return low, high
