"""dbt's selection grammar: text to names.

    selection = term , { blank , term }                     union
    term      = atom , { "," , atom }                       intersection
    atom      = "@" criterion | [ [depth] "+" ] criterion [ "+" [depth] ]
    criterion = [ method ":" ] value                        globs: * ? [ ]
    method    = fqn | tag | path | file | resource_type | config.KEY | function | state | result | test_type | test_name

A selected node brings its tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from bclust.errors import SelectionError, UsageError, did_you_mean

if TYPE_CHECKING:
    from bclust.project.manifest import Manifest
    from bclust.project.nodes import Node

_ATOM = re.compile(
    r"^(?P<at>@)?(?:(?P<up>\d*)(?P<plus>\+))?(?:(?P<method>[a-z_]+(?:\.[\w.]+)?):)?(?P<value>[^+@]+?)(?P<down>\+\d*)?$"
)
STATES = ("new", "modified", "stale", "unbuilt")


@dataclass(frozen=True)
class Selection:
    """Names of nodes, and unique ids of data tests and unit tests."""

    nodes: frozenset[str]
    tests: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """What selectors may ask of the past: states by node name, statuses of the last run by name or unique id."""

    states: Callable[[], Mapping[str, set[str]]] = dict
    results: Callable[[], Mapping[str, str]] = dict


def select(manifest: Manifest, include: Sequence[str], exclude: Sequence[str] = (), facts: Facts | None = None) -> Selection:
    """Resolve selectors; everything when ``include`` is empty.

    Raises:
        SelectionError: nothing is left (with "did you mean").
        UsageError: a selector cannot be read.
    """
    facts = facts or Facts()
    tests = {t.unique_id for t in manifest.data_tests} | {t.unique_id for t in manifest.unit_tests}
    chosen = _union(manifest, include, facts) if include else set(manifest.nodes) | tests
    if not chosen:
        raise SelectionError(f"nothing matches {' '.join(include)!r}", hint=_hint(manifest, include))
    chosen -= _union(manifest, exclude, facts) if exclude else set()
    if not chosen:
        raise SelectionError(
            "nothing is left to do: everything selected is also excluded", hint="look at it with: bclust ls -s ... --exclude ..."
        )
    return Selection(frozenset(chosen & set(manifest.nodes)), frozenset(chosen & tests))


def _hint(manifest: Manifest, include: Iterable[str]) -> str:
    words = [
        re.sub(r"^[@\d+]*(?:[a-z_.]+:)?|\+\d*$", "", part)
        for text in include
        for term in text.split()
        for part in term.split(",")
    ]
    tags = {t for n in manifest.nodes.values() for t in n.tags}
    return did_you_mean(words[0] if words else "", set(manifest.nodes) | tags)


def _union(manifest: Manifest, texts: Sequence[str], facts: Facts) -> set[str]:
    found: set[str] = set()
    for text in texts:
        for term in text.split():
            parts = [_atom(manifest, atom, facts) for atom in term.split(",")]
            found |= set.intersection(*parts)
    return found


def _atom(manifest: Manifest, text: str, facts: Facts) -> set[str]:
    match = _ATOM.match(text)
    if not match or (match["at"] and (match["plus"] or match["down"])):
        raise UsageError(
            f"cannot read the selector {text!r}",
            hint="examples: approvals  +approvals  statements+  2+x  @x  tag:personas_evaluation  path:models/approvals",
        )
    method, value = match["method"] or _default_method(match["value"]), match["value"]
    if method in ("test_type", "test_name"):
        return _tests_by(manifest, method, value)
    base = _nodes_by(manifest, method, value, facts)
    extra_tests = _tests_by_result(manifest, value, facts) if method == "result" else set()
    if method == "resource_type" and value in ("test", "unit_test"):
        return _tests_by(manifest, "test_type", "data" if value == "test" else "unit")
    nodes = set(base)
    graph = manifest.graph
    for name in base:
        if match["at"]:
            below = graph.descendants(name) | {name}
            nodes |= below | {a for d in below for a in graph.ancestors(d)}
        if match["plus"]:
            nodes |= graph.ancestors(name, int(match["up"]) if match["up"] else None)
        if match["down"]:
            depth = match["down"][1:]
            nodes |= graph.descendants(name, int(depth) if depth else None)
    return nodes | _tests_on(manifest, nodes) | extra_tests


def _default_method(value: str) -> str:
    if "/" in value:
        return "path"
    return "file" if value.endswith((".sql", ".csv", ".jsonl")) else "fqn"


def _nodes_by(manifest: Manifest, method: str, value: str, facts: Facts) -> set[str]:
    kind, _, key = method.partition(".")
    if kind == "fqn":
        return _by_name(manifest, value)
    if kind == "state":
        if value.partition(".")[0] not in STATES:
            raise UsageError(f"unknown state:{value}", hint=did_you_mean(value, STATES))
        return {name for name, states in facts.states().items() if value in states}
    if kind == "result":
        results = facts.results()
        return {name for name in manifest.nodes if fnmatchcase(results.get(name, ""), value)}
    if kind == "config" and key:
        return {n.name for n in manifest.nodes.values() if _config_matches(n, key, value)}
    if kind not in _METHODS or key:
        raise UsageError(
            f"unknown selector method {method!r}",
            hint=did_you_mean(method, [*_METHODS, "fqn", "state", "result", "config.KEY", "test_type", "test_name"]),
        )
    return {n.name for n in manifest.nodes.values() if _METHODS[kind](manifest, n, value)}


def _by_name(manifest: Manifest, value: str) -> set[str]:
    """A node of that name; where there is none, the nodes of the folder of that name."""
    named = {name for name in manifest.nodes if fnmatchcase(name, value)}
    return named or {n.name for n in manifest.nodes.values() if any(fnmatchcase(part, value) for part in _folders(manifest, n))}


def _folders(manifest: Manifest, node: Node) -> tuple[str, ...]:
    path = node.path
    return path.relative_to(manifest.config.root).parts[:-1] if path.is_relative_to(manifest.config.root) else ()


def _in_path(manifest: Manifest, node: Node, value: str) -> bool:
    root = manifest.config.root
    if not node.path.is_relative_to(root):
        return False
    relative = node.path.relative_to(root).as_posix()
    pattern = value.rstrip("/")
    return relative == pattern or relative.startswith(pattern + "/") or fnmatchcase(relative, pattern)


_METHODS: dict[str, Callable[[Manifest, Node, str], bool]] = {
    "tag": lambda _, node, value: any(fnmatchcase(tag, value) for tag in node.tags),
    "path": _in_path,
    "file": lambda _, node, value: fnmatchcase(node.path.name, value) or fnmatchcase(node.path.stem, value),
    "resource_type": lambda _, node, value: node.kind == value,
    "function": lambda _, node, value: any(fnmatchcase(f, value) for f in node.functions),
}


def _config_matches(node: Node, key: str, value: str) -> bool:
    found: Any = {"materialized": node.materialized, "tags": list(node.tags), **node.config}
    for part in key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return False
        found = found[part]
    values = found if isinstance(found, list) else [found]
    return any(fnmatchcase(str(v).lower(), value.lower()) for v in values)


def _tests_on(manifest: Manifest, nodes: set[str]) -> set[str]:
    data = {t.unique_id for t in manifest.data_tests if t.node in nodes}
    return data | {t.unique_id for t in manifest.unit_tests if t.model in nodes}


def _tests_by(manifest: Manifest, method: str, value: str) -> set[str]:
    if method == "test_name":
        data = {t.unique_id for t in manifest.data_tests if fnmatchcase(t.name, value) or fnmatchcase(t.test, value)}
        return data | {t.unique_id for t in manifest.unit_tests if fnmatchcase(t.name, value)}
    kinds = {"data", "generic", "singular", "unit"}
    if value not in kinds:
        raise UsageError(f"unknown test_type:{value}", hint=did_you_mean(value, kinds))
    if value == "unit":
        return {t.unique_id for t in manifest.unit_tests}
    singular = {t.unique_id for t in manifest.data_tests if t.test == "singular"}
    every = {t.unique_id for t in manifest.data_tests}
    return {"singular": singular, "generic": every - singular, "data": every}[value]


def _tests_by_result(manifest: Manifest, value: str, facts: Facts) -> set[str]:
    results = facts.results()
    ids = [t.unique_id for t in manifest.data_tests] + [t.unique_id for t in manifest.unit_tests]
    return {i for i in ids if fnmatchcase(results.get(i, ""), value)}
