"""Reading a project: its folders and yml files become one Manifest, or one error with file and line."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bclust.errors import Location, ProjectError, did_you_mean
from bclust.project import sql as sql_reader
from bclust.project.builtins import known_functions
from bclust.project.config import ProjectConfig, Section, plain, read_config, read_yaml
from bclust.project.declared_tests import Declared, Reader, declared_under
from bclust.project.graph import Graph
from bclust.project.manifest import Manifest
from bclust.project.materializations import MATERIALIZATIONS
from bclust.project.nodes import INCREMENTAL, MODEL, SEED, SOURCE, TABLE, VIEW, Column, Node, UnitTest
from bclust.project.registry import Function, load_functions
from bclust.project.seed_files import read_seed_csv
from bclust.project.sql_calls import check_calls
from bclust.project.sql_macros import called

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

_MODEL_KEYS = ("name", "description", "config", "columns", "data_tests")
MODEL_CONFIG_KEYS = ("materialized", "unique_key", "grows_with", "max_growth", "tags", "calls_at_most", "plan_note", "meta")
_SEED_CONFIG_KEYS = ("tags", "file", "rest", "meta")
_TEXT = r"'(?:[^']|'')*'"  # in SQL
_UNIT_KEYS = ("name", "description", "model", "given", "functions", "vars", "expect")


@dataclass(frozen=True)
class Properties:
    """What the yml files say, by node name."""

    entries: Mapping[str, Section]
    unit_tests: tuple[Section, ...]
    data_tests: tuple[Declared, ...]  # those that stand under no node
    unit_test_vars: Mapping[str, Any]  # what unit tests are worked out for, whatever the study's own variables are


def read_project(root: Path, target: str | None = None, overrides: Mapping[str, Any] | None = None) -> Manifest:
    """The whole project. Raises ProjectError for the first thing that is wrong."""
    config = read_config(root, target, overrides)
    functions = _resolved_functions(load_functions(root))
    models = _read_properties(sorted((root / "models").rglob("*.yml")), ("models", "unit_tests", "data_tests"))
    seeds = _read_properties([p for p in [root / "seeds" / "seeds.yml"] if p.is_file()], ("seeds", "sources"))
    nodes: dict[str, Node] = {}
    for node in [*_sources(config, seeds), *_seeds(config, seeds), *_models(config, models, functions)]:
        if node.name in nodes:
            raise ProjectError(
                f"two nodes are called {node.name}", where=node.where, hint=f"the other is {nodes[node.name].where}"
            )
        if node.name in functions:
            raise ProjectError(
                f"{node.name} is a function and a node", where=node.where, hint=f"the function is {functions[node.name].path}"
            )
        nodes[node.name] = node
    _check_properties(models, {n.name for n in nodes.values() if n.kind == MODEL}, "model")
    _check_properties(seeds, {n.name for n in nodes.values() if n.kind != MODEL}, "seed or source")
    _check_references(nodes, functions, config)
    graph = Graph({name: node.depends_on for name, node in nodes.items()})
    declared = [test for properties in (models, seeds) for entry in properties.entries.values() for test in declared_under(entry)]
    tests = Reader(config, nodes, functions, graph).read([*declared, *models.data_tests])
    unit_tests = tuple(_unit_test(config, entry, nodes, models.unit_test_vars) for entry in models.unit_tests)
    return Manifest(config, nodes, functions, tests, unit_tests, graph)


# --- functions -------------------------------------------------------------------------------------------------


def _resolved_functions(functions: Mapping[str, Function]) -> dict[str, Function]:
    """Give each macro the hash of its text (without comments) and of the functions it calls."""
    resolved = dict(functions)
    for name, function in functions.items():
        if function.macro_sql is not None:
            text = _without_comments(function.macro_sql)
            used = [functions[w] for w in sorted(set(re.findall(r"\b\w+(?=\s*\()", text))) if w in functions and w != name]
            source = (
                " ".join(text.split()) + "".join(re.findall(_TEXT, text)) + "".join(u.macro_sql or u.source_hash for u in used)
            )
            resolved[name] = replace(function, source_hash=sql_reader.digest(source))
    return resolved


def _macro_words(function: Function, pattern: str) -> list[str]:
    return re.findall(pattern, _without_comments(function.macro_sql or ""), re.IGNORECASE)


def _without_comments(sql: str) -> str:
    """SQL without what stands behind --, unless that is in a text."""
    return re.sub(rf"({_TEXT})|--[^\n]*", lambda found: found[1] or "", sql)


def _functions_behind(names: Iterable[str], functions: Mapping[str, Function]) -> set[str]:
    """The named functions of the project, with those that their macros call."""
    found: set[str] = set()
    todo = [n for n in names if n in functions]
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [n for n in called(_without_comments(functions[name].macro_sql or "")) if n in functions]
    return found


# --- nodes -----------------------------------------------------------------------------------------------------


def _read_properties(paths: Iterable[Path], kinds: tuple[str, ...]) -> Properties:
    entries: dict[str, Section] = {}
    unit_tests: list[Section] = []
    data_tests: list[Declared] = []
    variables: dict[str, Any] = {}
    for path in paths:
        top = read_yaml(path)
        top.expect(("version", *kinds, *(["unit_test_vars"] if "unit_tests" in kinds else [])), path.name)
        variables |= plain(top.section("unit_test_vars"))
        data_tests += [Declared(test, top.where("data_tests")) for test in top.typed("data_tests", list, [])]
        for kind in (k for k in kinds if k != "data_tests"):
            for entry in top.typed(kind, list, []):
                if not isinstance(entry, Section):
                    raise ProjectError(f"each entry of {kind} is a mapping with a name", where=top.where(kind))
                name = str(entry.required("name", f"an entry of {kind}"))
                if kind == "unit_tests":
                    unit_tests.append(entry)
                    continue
                entry.expect(_MODEL_KEYS, f"{kind} {name}")
                if name in entries:
                    raise ProjectError(
                        f"{name} is described twice", where=entry.where(), hint=f"first in {entries[name].where()}"
                    )
                entries[name] = entry
    return Properties(entries, tuple(unit_tests), tuple(data_tests), variables)


def _check_properties(properties: Properties, known: Collection[str], what: str) -> None:
    for name, entry in properties.entries.items():
        if name not in known:
            raise ProjectError(f"there is no {what} {name!r}", where=entry.where("name"), hint=did_you_mean(name, known))


def _described(properties: Properties, name: str) -> tuple[str, tuple[Column, ...], Section]:
    entry = properties.entries.get(name, Section(Path(), 1))
    columns = []
    for column in entry.typed("columns", list, []):
        if not isinstance(column, Section):
            raise ProjectError(f"{name}: each column is a mapping with a name", where=entry.where("columns"))
        column.expect(("name", "description", "data_type", "data_tests"), f"a column of {name}")
        columns.append(
            Column(
                str(column.required("name", "a column")),
                str(column.get("description") or "").strip(),
                column.typed("data_type", str),
            )
        )
    return str(entry.get("description") or "").strip(), tuple(columns), entry.section("config")


def _tags(*sections: Section) -> tuple[str, ...]:
    tags: list[str] = []
    for section in sections:
        value = section.typed("tags", (str, list), [])
        tags += [value] if isinstance(value, str) else [str(v) for v in value]
    return tuple(dict.fromkeys(tags))


def _sources(config: ProjectConfig, properties: Properties) -> Iterable[Node]:
    for source in config.sources:
        description, columns, own = _described(properties, source.name)
        yield Node(
            f"source.{config.name}.{source.name}", source.name, SOURCE, source.where, description, columns,
            tags=_tags(own), files=source.files, required=source.required,
        )  # fmt: skip


def _seeds(config: ProjectConfig, properties: Properties) -> Iterable[Node]:
    folder = config.root / "seeds"
    files = {path.name: path.stem for path in sorted(folder.glob("*.csv"))}
    for name, entry in properties.entries.items():
        file = entry.section("config").get("file")
        if file is not None:
            if file not in files:
                raise ProjectError(f"seed {name}: no file seeds/{file}", where=entry.where(), hint=did_you_mean(str(file), files))
            files[file] = name
    for file, name in files.items():
        description, columns, own = _described(properties, name)
        own.expect(_SEED_CONFIG_KEYS, f"config of seed {name}")
        yield Node(
            f"seed.{config.name}.{name}", name, SEED, Location(folder / file), description, columns, plain(own), _tags(own),
            rows=tuple(read_seed_csv(folder / file)),
        )  # fmt: skip
    for name, (rows, where) in config.seeds.items():
        description, columns, own = _described(properties, name)
        own.expect(_SEED_CONFIG_KEYS, f"config of seed {name}")
        yield Node(
            f"seed.{config.name}.{name}", name, SEED, where, description, columns, plain(own), _tags(own), rows=tuple(rows)
        )


def _models(config: ProjectConfig, properties: Properties, functions: Mapping[str, Function]) -> Iterable[Node]:
    folder = config.root / "models"
    for path in sorted(folder.rglob("*.sql")):
        yield _model(config, path, path.relative_to(folder), properties, functions)


def _model(config: ProjectConfig, path: Path, relative: Path, properties: Properties, functions: Mapping[str, Function]) -> Node:
    name = path.stem
    text = path.read_text(encoding="utf-8").strip().rstrip(";")
    where = Location(path)
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name):
        raise ProjectError(f"a model's name is lower case letters, digits and _, not {name!r}", where=where)
    analysis = sql_reader.analyse(text, where)
    description, columns, own = _described(properties, name)
    own.expect(MODEL_CONFIG_KEYS, f"config of {name}")
    folders = [
        config.models[p] for p in ("/".join(relative.parts[:i]) for i in range(1, len(relative.parts))) if p in config.models
    ]
    merged: dict[str, Any] = {}
    for section in [*folders, own]:
        section.expect(MODEL_CONFIG_KEYS, "models")
        merged |= plain(section)
    _check_config(name, merged, own, where)
    used = _functions_behind((r.name for r in analysis.functions), functions)
    paid = tuple(sorted(f for f in used if functions[f].kind == "call"))
    if paid:
        check_calls(text, paid, where, {f.name: f.macro_sql for f in functions.values() if f.macro_sql is not None})
    if merged.get("materialized") == VIEW and any(functions[f].kind != "macro" for f in used):
        raise ProjectError(
            f"{name} calls Python functions, so it cannot be a view: readers lack them", where=where, hint="materialized: table"
        )
    macros = [functions[f] for f in used if functions[f].kind == "macro"]
    variables = {r.name for r in analysis.variables} | {w for m in macros for w in _macro_words(m, r"getvariable\(\s*'(\w+)'")}
    reads = {seed for f in used for seed in functions[f].reads}
    return Node(
        f"model.{config.name}.{name}", name, MODEL, where, description, columns, merged, _tags(*folders, own),
        depends_on=tuple(sorted({r.name for r in analysis.reads(functions)} | reads)),
        functions=tuple(sorted(used)), paid=paid, variables=tuple(sorted(variables)),
        sql=text, canonical=analysis.canonical,
    )  # fmt: skip


def _check_config(name: str, merged: Mapping[str, Any], own: Section, where: Location) -> None:
    kind = merged.get("materialized", TABLE)
    if kind not in MATERIALIZATIONS:
        raise ProjectError(
            f"{name}: unknown materialized {kind!r}",
            where=own.where("materialized") if own else where,
            hint=did_you_mean(str(kind), MATERIALIZATIONS),
        )
    if kind == INCREMENTAL and not (merged.get("grows_with") and merged.get("unique_key")):
        raise ProjectError(
            f"{name}: an incremental table names the input it grows with, and the columns that tell its rows apart",
            where=own.where("materialized"),
            hint="grows_with: INPUT and unique_key: [COLUMN, ...]",
        )
    growth = merged.get("max_growth", 0)
    if isinstance(growth, bool) or not isinstance(growth, int | float) or growth < 0:
        raise ProjectError(f"{name}: max_growth is a share such as 0.1, not {growth!r}", where=own.where("max_growth"))


def _check_references(nodes: Mapping[str, Node], functions: Mapping[str, Function], config: ProjectConfig) -> None:
    """Every table, variable and function that a model names exists."""
    for node in (n for n in nodes.values() if n.kind == MODEL):
        analysis = sql_reader.analyse(node.sql, node.where)
        for table in analysis.reads(functions):
            if table.name not in nodes:
                where = Location(node.path, table.line, table.column)
                raise ProjectError(
                    f"{node.name} reads {table.name!r}, which is no node", where=where, hint=did_you_mean(table.name, nodes)
                )
        for name in node.grows_with:
            if name not in node.depends_on:
                raise ProjectError(
                    f"{node.name} cannot grow with {name!r}, which it does not read",
                    where=node.where,
                    hint=did_you_mean(name, node.depends_on),
                )
        for seed in node.depends_on:
            if seed not in nodes:
                raise ProjectError(
                    f"{node.name} calls a function that reads the seed {seed!r}, which is not declared", where=node.where
                )
        for variable in node.variables:
            if variable not in config.vars:
                line = next((r.line for r in analysis.variables if r.name == variable), None)
                hint = did_you_mean(variable, config.vars) + " (vars: in bclust.yml)"
                raise ProjectError(f"no variable {variable!r}", where=Location(node.path, line), hint=hint)
        _check_functions(
            node, [f for f in analysis.functions if f.name in analysis.unknown and f.name not in functions], functions
        )


def _check_functions(node: Node, others: Iterable[sql_reader.Reference], functions: Mapping[str, Function]) -> None:
    """What is no function of the project must be one of DuckDB's."""
    for function in others:
        if function.name in known_functions():
            continue
        where = Location(node.path, function.line, function.column)
        hint = did_you_mean(function.name, known_functions() | set(functions))
        raise ProjectError(f"no function {function.name}()", where=where, hint=hint)


# --- unit tests ------------------------------------------------------------------------------------------------


def _unit_test(config: ProjectConfig, entry: Section, nodes: Mapping[str, Node], variables: Mapping[str, Any]) -> UnitTest:
    name = str(entry["name"])
    entry.expect(_UNIT_KEYS, f"unit test {name}")
    model = str(entry.required("model", f"unit test {name}"))
    if model not in nodes or nodes[model].kind != MODEL:
        raise ProjectError(f"unit test {name}: no model {model!r}", where=entry.where("model"), hint=did_you_mean(model, nodes))
    for given in entry.typed("given", list, []):
        given.expect(("input", "rows"), f"given of unit test {name}")
        if given.required("input", "given") not in nodes[model].depends_on:
            raise ProjectError(
                f"unit test {name}: {model} does not read {given['input']!r}",
                where=given.where("input"), hint=did_you_mean(str(given["input"]), nodes[model].depends_on),
            )  # fmt: skip
    expect = entry.section("expect")
    expect.expect(("rows",), f"expect of unit test {name}")
    return UnitTest(
        f"unit_test.{config.name}.{name}", name, model, entry.where(), tuple(plain(g) for g in entry.typed("given", list, [])),
        plain(entry.section("functions")), {**variables, **plain(entry.section("vars"))},
        tuple(plain(expect.required("rows", f"expect of {name}"))),
    )  # fmt: skip
