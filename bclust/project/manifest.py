"""All that a project declares, by name, and the same as dbt's manifest.json."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bclust.errors import SelectionError, did_you_mean
from bclust.functions import Context
from bclust.project.config import ProjectConfig, environment, plain
from bclust.project.nodes import SEED
from bclust.project.sql import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bclust.project.graph import Graph
    from bclust.project.nodes import DataTest, Node, UnitTest
    from bclust.project.registry import Function


@dataclass(frozen=True)
class Manifest:
    """The project as data."""

    config: ProjectConfig
    nodes: Mapping[str, Node]
    functions: Mapping[str, Function]
    data_tests: tuple[DataTest, ...]
    unit_tests: tuple[UnitTest, ...]
    graph: Graph

    @functools.cached_property
    def context(self) -> Context:
        """What functions may know of the project."""
        seeds = {n.name: [plain(r) for r in n.rows or ()] for n in self.nodes.values() if n.kind == SEED}
        return Context(root=self.config.root, seeds=seeds, env=environment(self.config.root))

    @functools.cached_property
    def outside(self) -> Mapping[str, Mapping[str, str]]:
        """Fingerprints of what answers depend on outside of the project, by paid function and words for it."""
        targets = {f.name: f.target for f in self.functions.values() if f.kind == "call" and hasattr(f.target, "outside")}
        return {name: target(self.context).outside() for name, target in targets.items() if target}

    def node(self, name: str) -> Node:
        """The node of that name, with "did you mean"."""
        if name not in self.nodes:
            raise SelectionError(f"no node {name!r}", hint=did_you_mean(name, self.nodes))
        return self.nodes[name]

    def to_json(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """dbt's field names."""
        ids = {name: node.unique_id for name, node in self.nodes.items()}
        entries = {node.unique_id: self._entry(node, ids) for node in self.nodes.values()}
        return {
            "metadata": dict(metadata),
            "nodes": {k: v for k, v in entries.items() if v["resource_type"] != "source"}
            | {t.unique_id: _test_entry(t, ids) for t in self.data_tests},
            "sources": {k: v for k, v in entries.items() if v["resource_type"] == "source"},
            "functions": {f"function.{self.config.name}.{f.name}": _function_entry(f) for f in self.functions.values()},
            "unit_tests": {
                t.unique_id: {"name": t.name, "model": t.model, "original_file_path": str(t.where.path)} for t in self.unit_tests
            },
            "parent_map": {ids[n]: [ids[p] for p in parents] for n, parents in self.graph.parents.items()},
            "child_map": {ids[n]: [ids[c] for c in children] for n, children in self.graph.children.items()},
        }

    def _entry(self, node: Node, ids: Mapping[str, str]) -> dict[str, Any]:
        return {
            "unique_id": node.unique_id,
            "resource_type": node.kind,
            "name": node.name,
            "fqn": node.unique_id.split(".")[1:],
            "original_file_path": str(node.path),
            "relation_name": f'"{node.name}"',
            "description": node.description,
            "config": {"materialized": node.materialized, "tags": list(node.tags), **plain(node.config)},
            "tags": list(node.tags),
            "columns": {c.name: {"name": c.name, "description": c.description, "data_type": c.data_type} for c in node.columns},
            "depends_on": {
                "nodes": [ids[n] for n in node.depends_on],
                "functions": list(node.functions),
                "vars": list(node.variables),
            },
            "raw_code": node.sql,
            "checksum": {"name": "sha256", "checksum": digest(node.canonical or node.sql)},
        }


def _test_entry(test: DataTest, ids: Mapping[str, str]) -> dict[str, Any]:
    return {
        "unique_id": test.unique_id,
        "resource_type": "test",
        "name": test.name,
        "column_name": test.column,
        "original_file_path": str(test.where.path),
        "config": {"severity": test.severity, "where": test.filter},
        "test_metadata": {"name": test.test, "kwargs": plain(test.arguments)},
        "attached_node": ids.get(test.node),
        "depends_on": {"nodes": [ids[n] for n in test.depends_on if n in ids]},
    }


def _function_entry(function: Function) -> dict[str, Any]:
    return {
        "resource_type": "function",
        "name": function.name,
        "kind": function.kind,
        "signature": str(function.signature or ""),
        "version": function.version,
        "description": function.description,
        "original_file_path": str(function.path),
        "checksum": {"name": "sha256", "checksum": function.source_hash},
    }
