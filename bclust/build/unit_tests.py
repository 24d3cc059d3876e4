"""Unit tests of models: given these rows, the model's own SQL gives those. They run in memory and never call anybody."""

from __future__ import annotations

import fnmatch
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bclust.build.results import Result, Status
from bclust.build.session import macros_in_order
from bclust.build.state import SCHEMA
from bclust.errors import BclustError, ProjectError
from bclust.functions import Context
from bclust.project.config import canonical_json
from bclust.project.literals import literal, quote
from bclust.project.sql_types import arrow_type
from bclust.warehouse.arrow_functions import arrow_function
from bclust.warehouse.database import Warehouse
from bclust.warehouse.sources import SOURCE_COLUMNS

if TYPE_CHECKING:
    from bclust.project.manifest import Manifest
    from bclust.project.nodes import Node, UnitTest
    from bclust.project.registry import Function


def run_unit_test(test: UnitTest, manifest: Manifest) -> Result:
    """Run one unit test in a DuckDB of its own."""
    started = time.perf_counter()
    model = manifest.nodes[test.model]
    try:
        with Warehouse(threads=1) as warehouse:  # a handful of rows: more threads would only wait for each other
            warehouse.execute(SCHEMA)
            _register(warehouse, test, model, manifest)
            warehouse.set_variables({**manifest.config.vars, **test.vars})
            given = {str(g["input"]): list(g.get("rows") or []) for g in test.given}
            for name in model.depends_on:
                _create(warehouse, manifest.nodes[name], given.get(name, []), test)
            warehouse.run("create table __result as\n", model.sql, model.where)
            message = _compare(test.expect, warehouse.rows("from __result"))
    except BclustError as error:
        return _result(test, Status.ERROR, started, str(error))
    return _result(test, Status.FAIL if message else Status.PASS, started, message)


def _result(test: UnitTest, status: Status, started: float, message: str) -> Result:
    return Result(
        test.unique_id, test.name, "unit_test", status, time.perf_counter() - started, message=message, where=test.where,
        failures=int(status is Status.FAIL), node=test.model,
    )  # fmt: skip


def _register(warehouse: Warehouse, test: UnitTest, model: Node, manifest: Manifest) -> None:
    used = {name: manifest.functions[name] for name in model.functions}
    context = Context(root=manifest.config.root)
    for function in (f for f in used.values() if f.kind != "macro"):
        mocked = function.kind == "call" or function.name in test.functions
        warehouse.register(function, _mock(function, test) if mocked else arrow_function(function, context, warehouse))
    for function in macros_in_order(used):
        warehouse.register(function, None)


def _mock(function: Function, test: UnitTest) -> Callable[..., Any]:
    """A function (each paid one, and others at will) that answers what the test says.

    ``{returns: value}``, or ``[{when: {argument: glob}, then: value}, ...]``.
    """
    rules = test.functions.get(function.name)
    assert function.signature is not None
    names = [p.name for p in function.signature.parameters]
    type_ = function.signature.returns

    def answer(arguments: Sequence[Any]) -> Any:
        if rules is None:
            raise ProjectError(
                f"{test.model} calls {function.name}()",
                where=test.where,
                hint=f"say what it answers: functions: {{{function.name}: {{returns: ...}}}}",
            )
        if isinstance(rules, Mapping):
            return rules.get("returns")
        given = dict(zip(names, arguments, strict=True))
        for rule in rules:
            if all(fnmatch.fnmatchcase(str(given.get(k)), str(v)) for k, v in rule.get("when", {}).items()):
                return rule.get("then")
        raise ProjectError(f"no rule of functions.{function.name} fits {given}", where=test.where)

    def mocked(*columns: Any) -> Any:
        import pyarrow as pa

        rows = zip(*(c.to_pylist() for c in columns), strict=True)
        return pa.array([answer(row) for row in rows], arrow_type(type_))

    return mocked


def _create(warehouse: Warehouse, node: Node, rows: Sequence[Mapping[str, Any]], test: UnitTest) -> None:
    """A given table: declared types where the yml has them, else the type of the values; a column not given is NULL."""
    declared = dict(SOURCE_COLUMNS) if node.kind == "source" else node.declared_types
    names = list(dict.fromkeys([*(c.name for c in node.columns), *declared, *(k for row in rows for k in row)]))
    if not names:
        raise ProjectError(f"{node.name} has no declared columns, so give its rows", where=test.where)
    types = {n: declared.get(n) or _type_of([row.get(n) for row in rows]) for n in names}
    warehouse.execute(f"create table {quote(node.name)} ({', '.join(f'{quote(n)} {t}' for n, t in types.items())})")
    lines = [", ".join(_value(_fitted(warehouse, n, row.get(n)), types[n]) for n in names) for row in rows]
    if lines:
        warehouse.execute(f"insert into {quote(node.name)} values ({'), ('.join(lines)})")


def _fitted(warehouse: Warehouse, column: str, value: Any) -> Any:
    """A mapping of arrays in a column ``fitted`` is what a fit would have left there: its handle."""
    if column != "fitted" or not isinstance(value, Mapping):
        return value
    import numpy as np

    arrays = {name: np.asarray(numbers) for name, numbers in value.items()}
    return warehouse.keep({name: a.astype(np.float32) if a.dtype == np.float64 else a for name, a in arrays.items()})


def _value(value: Any, type_: str) -> str:
    if type_.upper() == "JSON" and value is not None and not isinstance(value, str):
        value = json.dumps(value)
    return f"cast({literal(value)} as {type_})"


def _type_of(values: Sequence[Any]) -> str:
    for value in values:
        if isinstance(value, bool):
            return "BOOLEAN"
        if isinstance(value, int) and all(isinstance(v, int) or v is None for v in values):
            return "BIGINT"
        if isinstance(value, int | float):
            return "DOUBLE"
        if isinstance(value, list):
            return ("FLOAT" if value and isinstance(value[0], float) else _type_of(value)) + "[]"
        if isinstance(value, Mapping):
            return "JSON"
        if value is not None:
            return "VARCHAR"
    return "VARCHAR"


def _compare(expected: Sequence[Mapping[str, Any]], actual: Sequence[Mapping[str, Any]]) -> str:
    """Compare the named columns, whatever the order of rows. Returns what differs, or ''."""
    names = list(dict.fromkeys(k for row in expected for k in row))
    missing = [n for n in names if actual and n not in actual[0]]
    if missing:
        return f"the model has no column {missing[0]!r}; it has {', '.join(actual[0])}"
    left = [{n: row[n] for n in names} for row in actual]
    unmatched = []
    for row in expected:
        wanted = {n: row.get(n) for n in names}
        found = next((i for i, r in enumerate(left) if all(_equal(wanted[n], r[n]) for n in names)), None)
        if found is None:
            unmatched.append(wanted)
        else:
            left.pop(found)
    lines = [f"expected, not there: {canonical_json(r)}" for r in unmatched] + [
        f"there, not expected: {canonical_json(r)}" for r in left
    ]
    return "\n  ".join(lines[:10])


def _equal(expected: Any, actual: Any) -> bool:
    if isinstance(expected, float) or isinstance(actual, float):
        both = isinstance(expected, int | float) and isinstance(actual, int | float)
        return both and math.isclose(float(expected), float(actual), rel_tol=1e-6, abs_tol=1e-6)
    if isinstance(expected, list) and isinstance(actual, list):
        return len(expected) == len(actual) and all(_equal(e, a) for e, a in zip(expected, actual, strict=True))
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return expected.keys() == actual.keys() and all(_equal(v, actual[k]) for k, v in expected.items())
    if expected is None or actual is None or (isinstance(expected, bool | int | str) and type(expected) is type(actual)):
        return bool(expected == actual)
    return str(expected) == str(actual)
