"""Names, rates and boxes of a cluster tree. Pure: frames in, frames out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports import _queries as q
from reports import charts
from reports._texts import interval, label, plain, wrapped
from reports._tree import Tree, node_rates

if TYPE_CHECKING:
    import polars as pl

    from reports._scope import Scope

SHARE = "share of "


def node_names(tree: Tree, names: dict[int, str]) -> dict[int, str]:
    """A name for every node: a cluster's own, a merge's label, or its largest cluster's and how many more."""
    largest: dict[int, Any] = {}
    for node in tree.nodes.values():
        if node.cluster_id is not None:
            largest[node.cluster_id] = node
    found = {}
    for i, node in tree.nodes.items():
        if node.cluster_id is not None:
            found[i] = names.get(node.cluster_id) or node.label or f"cluster {node.cluster_id}"
        elif node.label:
            found[i] = plain(node.label, 120)
        else:
            leaves = sorted(tree.leaves[i], key=lambda c: -largest[c].n)
            first = names.get(leaves[0], f"cluster {leaves[0]}") if leaves else f"node {i}"
            found[i] = f"{plain(first, 60)} and {len(leaves) - 1} more"
    return found


def language_model_parts(scope: Scope, tree: Tree) -> tuple[pl.DataFrame, list[str], str, str]:
    """Of the responses below each node, the part of each language model: rates, columns, query, meaning."""
    import polars as pl

    sql = q.cluster_shares(scope.clustering, scope.llms)
    counts = scope.frame(sql)
    totals = counts.group_by("cluster_id").agg(pl.col("n").sum())
    grid = totals.join(pl.DataFrame({"column": scope.llms}), how="cross")
    own = counts.select("cluster_id", column="llm_id", k="n")
    cells = grid.join(own, on=["cluster_id", "column"], how="left").with_columns(pl.col("k").fill_null(0))
    return rates_below(tree, cells), scope.llms, sql, "part of the responses here"


def approvals_below(scope: Scope, tree: Tree, prompt_type: str, llms: list[str]) -> tuple[pl.DataFrame, list[str], str, str]:
    """Of the answers to the statements below each node, the part that approves, per prompt: rates, columns, query, meaning."""
    import polars as pl

    sql = q.cluster_cells(scope.warehouse, scope.clustering, prompt_type, llms)
    cells = (
        scope.frame(sql).group_by("cluster_id", column="prompt_name").agg(k=pl.col("approved").sum(), n=pl.col("answered").sum())
    )
    return rates_below(tree, cells), sorted(cells["column"].unique()), sql, "approved, of those that answered"


def rates_below(tree: Tree, cells: pl.DataFrame | None) -> pl.DataFrame:
    """Rates of every node from those of its clusters; no rows without cells."""
    import polars as pl

    if cells is not None and len(cells):
        return node_rates(tree, cells, ["column"])
    rate = dict.fromkeys(("rate", "ci_low", "ci_high"), pl.Float64)
    return pl.DataFrame(schema={"node_id": pl.Int64, "column": pl.String, "k": pl.Int64, "n": pl.Int64, **rate})


def highest(rates: pl.DataFrame) -> float:
    """The highest rate of a cluster of some size, as the end of the scale."""
    return max(float(rates["rate"].max() or 1.0), 0.05) if len(rates) else 1.0  # type: ignore[arg-type]


@dataclass(frozen=True)
class Boxes:
    """What ``charts.boxes`` draws: rows (id, parent, label, n, value, hover), and how values are coloured."""

    rows: pl.DataFrame
    scale: list[list[Any]]
    low: float
    high: float
    title: str
    tickformat: str


def treemap_rows(
    scope: Scope,
    kind: str,
    tree: Tree,
    names: dict[int, str],
    rates: pl.DataFrame,
    colour: str,
    groups: int,
    *,
    nested: bool,
) -> Boxes:
    """The tree as boxes: its cut into groups with their clusters, or (``nested``) all of its merges.

    Args:
        scope: of the page.
        kind: response or statement.
        tree: the tree.
        names: of its nodes.
        rates: of its nodes, by column.
        colour: a column of ``rates``, "size" or "theme validity".
        groups: how many groups the cut makes.
        nested: every merge is a box.
    """
    import polars as pl

    cut = tree.cut(groups)
    clusters = [i for i, n in tree.nodes.items() if n.cluster_id is not None]
    parents = {i: _parent(tree, i, set(cut), nested=nested) for i in (tree.nodes if nested else dict.fromkeys([*cut, *clusters]))}
    values, look = _values(scope, kind, tree, rates, colour)
    cells = {r["node_id"]: r for r in rates.filter(pl.col("column") == colour).iter_rows(named=True)}
    total = sum(tree.nodes[i].n for i in tree.roots)
    root = {"id": "root", "parent": "", "label": f"all {kind}s", "n": total, "value": None, "hover": f"all {kind}s<br>{total:,}"}
    rows: list[dict[str, Any]] = [] if nested else [root]
    for i, parent in parents.items():
        node, cell = tree.nodes[i], cells.get(i)
        lines = [f"<b>{wrapped(names[i], 44, 3)}</b>", f"{len(tree.leaves[i])} clusters, {node.n:,} {kind}s"]
        if cell:
            lines.append(f"{label(colour)}: {interval(cell['rate'], cell['ci_low'], cell['ci_high'])}, n {cell['n']:,}")
        rows.append(
            {"id": str(i), "parent": parent, "label": names[i], "n": node.n, "value": values.get(i), "hover": "<br>".join(lines)}
        )
    return Boxes(pl.DataFrame(rows, schema_overrides={"value": pl.Float64}), *look)


def _parent(tree: Tree, node: int, cut: set[int], *, nested: bool) -> str:
    """The id of the box around a node's."""
    above = tree.nodes[node].parent_id
    if nested:
        return str(above) if above in tree.nodes else ""
    if node in cut:
        return "root"
    while above is not None and above not in cut:
        above = tree.nodes[above].parent_id
    return str(above)


def _values(
    scope: Scope, kind: str, tree: Tree, rates: pl.DataFrame, colour: str
) -> tuple[dict[int, float | None], tuple[list[list[Any]], float, float, str, str]]:
    """What colours the boxes: the value of each node; scale, its ends, what it means and its number format."""
    import polars as pl

    amount, share = charts.amount_scale(scope.style), charts.rate_scale(scope.style)
    if colour == "size":
        top = max((tree.nodes[i].n for i in tree.leaf_nodes), default=1)
        return {i: float(tree.nodes[i].n) for i in tree.leaf_nodes}, (amount, 0.0, float(top), f"{kind}s", ",")
    if colour == "theme validity":
        known = dict(
            scope.frame(q.cluster_table(scope.warehouse, kind, scope.clustering))
            .select("cluster_id", colour.replace(" ", "_"))
            .iter_rows()
        )
        values = {i: known.get(n.cluster_id) for i, n in tree.nodes.items() if n.cluster_id is not None}
        return values, (share, 0.0, 1.0, "theme validity (AUC; 0.5 is chance)", ".1f")
    part = rates.filter(pl.col("column") == colour)
    values = dict(part.select("node_id", "rate").iter_rows())
    if kind == "statement":
        return values, (share, 0.0, 1.0, f"approved under {colour}", ".0%")
    return values, (amount, 0.0, highest(part), f"part of {colour}", ".0%")


def cluster_rows(scope: Scope, kind: str) -> tuple[pl.DataFrame, list[str]]:
    """The cluster table with its queries: id, n, share of each language model's responses, themes, validity, stability."""
    import polars as pl

    themed = scope.warehouse.has(f"{kind}_cluster_themes")
    queries = [(q.cluster_table if themed else q.cluster_names)(scope.warehouse, kind, scope.clustering)]
    frame = scope.frame(queries[0])
    if kind == "response" and scope.warehouse.has("response_clusters"):
        queries.append(q.cluster_shares(scope.clustering, scope.llms))
        counts = scope.frame(queries[1]).with_columns(pl.format("{}{}", pl.lit(SHARE), "llm_id").alias("column"))
        wide = counts.pivot("column", index="cluster_id", values="share", sort_columns=False)
        shares = wide.columns[1:]
        frame = frame.join(wide, on="cluster_id", how="left", maintain_order="left").with_columns(pl.col(shares).fill_null(0.0))
        frame = frame.select("cluster_id", "n", *shares, pl.exclude("cluster_id", "n", *shares))
    return frame.select(c for c in frame.columns if frame[c].null_count() < len(frame) or c == "n"), queries
