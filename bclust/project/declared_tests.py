"""The data tests that a project declares: under its nodes and columns, by themselves in a yml, and in the folder tests.

``tests/data/NAME.sql`` is a singular test and runs as it stands. ``tests/generic/NAME.sql`` defines a generic test that can be
declared like those of the runner. It names its arguments in the first line, and has each as ``$name`` in its one SELECT::

    -- arguments: table, names, most = getvariable('most')

- An argument that stands where a table does is a node. The first of them is the node that the test is on: where it is not
  given, the one under which the test is declared. ``$column`` is the column under which it is declared. All others are put in
  as literals.
- ``=`` gives a default, in SQL. What has none must be given.
- A column ``severity`` of the result ('error' or 'warn') says how bad each row is, a column ``message`` is the row in words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlglot import exp

from bclust.errors import Location, ProjectError, did_you_mean
from bclust.project import sql as sql_reader
from bclust.project.config import ProjectConfig, Section, plain
from bclust.project.data_tests import COMMON, DATA_TESTS, check_arguments, referenced_nodes
from bclust.project.literals import literal, quote
from bclust.project.nodes import SINGULAR, DataTest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from bclust.project.graph import Graph
    from bclust.project.nodes import Node

_HEADER = re.compile(r"--\s*arguments:(?P<names>.*)")
_BRACKETS = r"\((?:[^()]|\([^()]*\))*\)|\[[^\[\]]*\]"
_ARGUMENT = re.compile(rf"\s*(?P<name>\w+)\s*(?:=(?P<default>(?:'(?:[^']|'')*'|{_BRACKETS}|[^,'()\[\]])+))?(?:,|$)")
_PLACE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\$(?P<name>[a-zA-Z_]\w*)""")


@dataclass(frozen=True)
class Declared:
    """A data test as it is written in a yml, and under which node and column."""

    test: Any
    where: Location
    node: str = ""
    column: str | None = None


@dataclass(frozen=True)
class Definition:
    """A generic test of the project. ``arguments``: each with its default, None where it has none."""

    name: str
    where: Location
    sql: str
    arguments: Mapping[str, str | None]
    nodes: tuple[str, ...]  # the arguments that stand where a table does


@dataclass(frozen=True)
class Reader:
    """Makes tests of what is declared, in a project of these nodes and functions."""

    config: ProjectConfig
    nodes: Mapping[str, Node]
    functions: Collection[str]
    graph: Graph

    def read(self, declared: Iterable[Declared]) -> tuple[DataTest, ...]:
        """All data tests of the project. Raises ProjectError for the first that is wrong."""
        own = read_definitions(self.config.root)
        tests = [*(self._generic(d, own) for d in declared), *self._singular()]
        _check_unique(tests)
        return tuple(tests)

    def _generic(self, declared: Declared, own: Mapping[str, Definition]) -> DataTest:
        name, arguments = _name_and_arguments(declared)
        where = declared.test.where() if isinstance(declared.test, Section) else declared.where
        if name not in {**DATA_TESTS, **own}:
            raise ProjectError(f"unknown data test {name!r}", where=where, hint=did_you_mean(name, [*DATA_TESTS, *own]))
        common = {**arguments.section("config"), **{k: v for k, v in arguments.items() if k in COMMON}}
        severity = str(common.get("severity", "error"))
        if severity not in ("error", "warn"):
            raise ProjectError(f"severity is error or warn, not {severity!r}", where=where)
        given = {k: v for k, v in arguments.items() if k not in COMMON}
        test = DataTest("", "", name, declared.node, where, declared.column, given, severity, common.get("where"))
        test = self._of_the_project(own[name], test, arguments) if name in own else self._of_the_runner(test)
        full = str(common.get("name") or "_".join(p for p in (name, test.node, _told_apart_by(test)) if p))
        return replace(test, unique_id=f"test.{self.config.name}.{full}", name=full)

    def _of_the_runner(self, test: DataTest) -> DataTest:
        if not test.node:
            raise ProjectError(f"data test {test.test} stands under a node", where=test.where)
        check_arguments(test)
        read = tuple(dict.fromkeys([test.node, *referenced_nodes(test.test, test.arguments)]))
        for name in read:
            if name not in self.nodes:
                raise _no_node(test, name, test.where, self.nodes)
        return replace(test, depends_on=read)

    def _of_the_project(self, definition: Definition, test: DataTest, arguments: Section) -> DataTest:
        sql = fill(definition, test, arguments, self.nodes)
        path = definition.where.path
        tables = self._tables(sql, path)
        for variable in sql_reader.analyse(sql, Location(path)).variables:
            if variable.name not in self.config.vars:
                hint = did_you_mean(variable.name, self.config.vars) + " (vars: in bclust.yml)"
                raise ProjectError(f"no variable {variable.name!r}", where=Location(path, variable.line), hint=hint)
        node = _main_node(definition, test) or self.graph.sorted(tables)[-1]
        return replace(test, node=node, depends_on=tuple(sorted(tables)), sql=sql, file=Location(path))

    def _singular(self) -> Iterator[DataTest]:
        """tests/data/*.sql: a SELECT that returns the bad rows; `-- severity: warn` in it makes it a warning."""
        for path in sorted((self.config.root / "tests" / "data").glob("*.sql")):
            text = path.read_text(encoding="utf-8").strip().rstrip(";")
            tables = self._tables(text, path)
            severity = re.search(r"--\s*severity:\s*(\w+)", text)
            yield DataTest(
                f"test.{self.config.name}.{path.stem}", path.stem, SINGULAR, self.graph.sorted(tables)[-1], Location(path),
                severity=severity.group(1) if severity else "error", depends_on=tuple(sorted(tables)), sql=text,
                file=Location(path),
            )  # fmt: skip

    def _tables(self, text: str, path: Path) -> set[str]:
        """The nodes that a test reads."""
        read = sql_reader.analyse(text, Location(path)).reads(self.functions)
        for table in read:
            if table.name not in self.nodes:
                where = Location(path, table.line, table.column)
                hint = did_you_mean(table.name, self.nodes)
                raise ProjectError(f"the test reads {table.name!r}, which is no node", where=where, hint=hint)
        if not read:
            raise ProjectError("a data test reads at least one node", where=Location(path, 1))
        return {table.name for table in read}


def declared_under(entry: Section) -> Iterator[Declared]:
    """The tests of a node and its columns."""
    node = str(entry["name"])
    for test in entry.typed("data_tests", list, []):
        yield Declared(test, entry.where("data_tests"), node)
    for column in entry.typed("columns", list, []):
        for test in column.typed("data_tests", list, []):
            yield Declared(test, column.where("data_tests"), node, str(column["name"]))


def _name_and_arguments(declared: Declared) -> tuple[str, Section]:
    if not isinstance(declared.test, Section):
        return str(declared.test), Section(declared.where.path, declared.where.line or 1)
    if len(declared.test) != 1:
        raise ProjectError("a data test is a name, or {name: {arguments}}", where=declared.test.where())
    name, arguments = next(iter(declared.test.items()))
    if arguments is not None and not isinstance(arguments, Section):
        raise ProjectError(f"the arguments of {name} are a mapping", where=declared.test.where())
    return name, arguments if arguments is not None else Section(declared.test.path, declared.test.line)


def _told_apart_by(test: DataTest) -> str:
    """What tells a test from others of its kind on the same node."""
    if not test.sql:
        columns = test.arguments.get("columns", test.arguments.get("of", []))
        return test.column or "_".join(str(c).replace(".", "_") for c in columns)
    values = [v for value in test.arguments.values() for v in (value if isinstance(value, list) else [value])]
    words = [test.column, *(v for v in values if isinstance(v, str) and v != test.node)]
    return "_".join(re.sub(r"\W+", "_", word) for word in words if word)


def _check_unique(tests: Iterable[DataTest]) -> None:
    seen: dict[str, DataTest] = {}
    for test in tests:
        if test.unique_id in seen:
            raise ProjectError(
                f"two data tests are called {test.name}",
                where=test.where,
                hint=f"the other is {seen[test.unique_id].where}; give one a `name:`",
            )
        seen[test.unique_id] = test


# --- tests that the project defines ----------------------------------------------------------------------------


def read_definitions(root: Path) -> dict[str, Definition]:
    """The files of ``tests/generic``, by name. Raises ProjectError for one that cannot be used."""
    return {path.stem: _read_definition(path) for path in sorted((root / "tests" / "generic").glob("*.sql"))}


def _read_definition(path: Path) -> Definition:
    name, where = path.stem, Location(path, 1)
    if name in DATA_TESTS or name == SINGULAR:
        raise ProjectError(f"{name} is a data test of the runner", where=where, hint="give the file another name")
    text = path.read_text(encoding="utf-8").strip().rstrip(";")
    arguments = _arguments(text, where)
    places = list(sql_reader.parse(text, Location(path)).find_all(exp.Placeholder))
    used = list(dict.fromkeys(place.name for place in places))
    for argument in (a for a in used if a not in arguments):
        line = next(i for i, written in enumerate(text.splitlines(), start=1) if f"${argument}" in written)
        hint = f"name it in the first line: -- arguments: {', '.join([*arguments, argument])}"
        raise ProjectError(f"{name} has no argument {argument!r}", where=Location(path, line), hint=hint)
    for argument in (a for a in arguments if a not in used):
        raise ProjectError(f"{name} does not use its argument {argument!r}", where=where, hint=f"${argument} puts it in")
    tables = [place.name for place in places if isinstance(place.parent, exp.Table)]
    return Definition(name, where, text, arguments, tuple(a for a in arguments if a in tables))


def _arguments(text: str, where: Location) -> dict[str, str | None]:
    """The names in the first line, each with its default.

    >>> _arguments("-- arguments: table, names, most = least(1, getvariable('most')), none = null", Location("x.sql"))
    {'table': None, 'names': None, 'most': "least(1, getvariable('most'))", 'none': 'null'}
    """
    header = _HEADER.match(text)
    names = header["names"].strip() if header else ""
    found = list(_ARGUMENT.finditer(names))
    if "".join(f[0] for f in found) != names:
        raise ProjectError("these arguments cannot be read", where=where, hint="write: -- arguments: first, second = 0.05")
    for name in (f["name"] for f in found if f["name"] in COMMON):
        raise ProjectError(f"every data test has {name!r}, so no argument can be called that", where=where)
    return {f["name"]: f["default"].strip() if f["default"] else None for f in found}


def fill(definition: Definition, test: DataTest, declared: Section, nodes: Collection[str]) -> str:
    """The SELECT of a test with the arguments with which it is declared.

    Raises:
        ProjectError: with the line of the declaration, for an argument that is unknown or missing, or names no node.
    """
    known = [key for key in definition.arguments if key != "column"]
    for key in (key for key in test.arguments if key not in known):
        hint = did_you_mean(key, [*known, *COMMON])
        raise ProjectError(f"unknown key {key!r} in data test {test.test}", where=declared.where(key), hint=hint)
    if bool(test.column) is not ("column" in definition.arguments):
        raise ProjectError(f"data test {test.test} stands under {'a node' if test.column else 'a column'}", where=test.where)
    if test.filter and not definition.nodes:
        raise ProjectError(f"data test {test.test} has no node that `where` could narrow", where=declared.where("where"))
    values = {"column": quote(test.column or "")}
    for key in known:
        if key in definition.nodes:
            values[key] = _table(definition, test, key, declared.where(key), nodes)
        else:
            values[key] = _value(definition, test, key)
    return _PLACE.sub(lambda found: values[found["name"]] if found["name"] else found[0], definition.sql)


def _main_node(definition: Definition, test: DataTest) -> str:
    """The node that the test is on; '' where none is named."""
    return _node(definition, test, definition.nodes[0]) if definition.nodes else test.node


def _node(definition: Definition, test: DataTest, key: str) -> str:
    under = test.node if key == definition.nodes[0] else ""
    return str(test.arguments.get(key) or definition.arguments[key] or under)


def _table(definition: Definition, test: DataTest, key: str, where: Location, nodes: Collection[str]) -> str:
    name = _node(definition, test, key)
    if not name:
        raise ProjectError(f"data test {test.test} needs {key!r}, a node", where=where)
    if name not in nodes:
        raise _no_node(test, name, where, nodes)
    narrowed = test.filter if key == definition.nodes[0] else None
    return f"(select * from {quote(name)} where {narrowed})" if narrowed else quote(name)


def _no_node(test: DataTest, name: str, where: Location, nodes: Collection[str]) -> ProjectError:
    return ProjectError(f"data test {test.test} reads {name!r}, which is no node", where=where, hint=did_you_mean(name, nodes))


def _value(definition: Definition, test: DataTest, key: str) -> str:
    value, default = test.arguments.get(key), definition.arguments[key]
    if value is not None:
        return literal(plain(value))
    if default is None:
        raise ProjectError(f"data test {test.test} needs {key!r}", where=test.where)
    return default
