"""Why a node is stale: what it was made of when it was built, against what it would be made of now.

Parts: its code (comments and layout are free), the config that changes data, the values of exactly the variables it
reads, the source and version of its functions, and the data version of each input, so that a parent rebuilt with equal
content stops there. Library versions are recorded with the run, never compared: an upgrade costs no money.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bclust.build.results import Result, Run, Status, totals
from bclust.errors import ProjectError
from bclust.project import sql as sql_reader
from bclust.project.config import canonical_json, plain
from bclust.project.literals import literal, row
from bclust.project.nodes import DATA_CONFIG, INCREMENTAL, MODEL, SOURCE, DataTest, Node, UnitTest
from bclust.warehouse.sources import files_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bclust.project.manifest import Manifest
    from bclust.warehouse.database import Warehouse

MAX_GROWTH = 0.1  # by which inputs may grow before a table that `grows_with` them is made again
REMEMBERED = 100  # earlier versions of a table that are known to be part of it

SCHEMA = """
create schema if not exists _bclust;
create table if not exists _bclust.nodes (
    name varchar primary key, unique_id varchar, resource_type varchar, code varchar, code_hash varchar, config varchar,
    vars varchar, functions varchar, inputs varchar, data_version varchar, n_rows bigint, failed_calls bigint,
    seconds double, built_at timestamp, invocation_id varchar, contains varchar
);
alter table _bclust.nodes add column if not exists contains varchar;
create table if not exists _bclust.tests (unique_id varchar primary key, fingerprint varchar, status varchar, failures bigint);
create table if not exists _bclust.runs (
    invocation_id varchar primary key, started_at timestamp, ended_at timestamp, target varchar, status varchar, args varchar,
    calls_new bigint, calls_cached bigint, calls_failed bigint, cost_usd double
);
create table if not exists _bclust.results (
    invocation_id varchar, unique_id varchar, name varchar, resource_type varchar, status varchar, seconds double, n_rows bigint,
    failures bigint, calls_new bigint, calls_cached bigint, calls_failed bigint, tokens bigint,
    cost_usd double, message varchar
);
create table if not exists _bclust.rejected_rows (
    node varchar, source_file varchar, source_line bigint, reason varchar, text varchar
);
create table if not exists _bclust.fitted (handle varchar, node varchar, value blob);
"""

# In an older warehouse a handle has one row, so nodes that made equal values took them from each other.
ONE_OWNER = """
select 1 from duckdb_constraints()
where database_name = current_database() and schema_name = '_bclust' and table_name = 'fitted' and constraint_type = 'PRIMARY KEY'
"""
SEVERAL_OWNERS = """
create table _bclust.__fitted as from _bclust.fitted;
drop table _bclust.fitted;
alter table _bclust.__fitted rename to fitted;
"""


@dataclass(frozen=True)
class Fingerprint:
    """What a node's rows follow from."""

    code: str
    code_hash: str
    config: str
    vars: str
    functions: str
    inputs: str


@dataclass(frozen=True)
class Record:
    """A node as it was last built. ``contains``: earlier data versions whose rows (but for failed ones) are all still there."""

    fingerprint: Fingerprint
    data_version: str
    rows: int
    failed_calls: int
    contains: tuple[str, ...] = ()

    @property
    def versions(self) -> tuple[str, ...]:
        """This version and those it contains, newest first."""
        return (self.data_version, *self.contains)[:REMEMBERED]


def ensure_schema(warehouse: Warehouse) -> None:
    """Make the runner's own tables."""
    warehouse.execute(SCHEMA)
    if warehouse.execute(ONE_OWNER):
        with warehouse.transaction():
            warehouse.execute(SEVERAL_OWNERS)


def read_records(warehouse: Warehouse) -> dict[str, Record]:
    """All recorded nodes whose table is still there."""
    if "nodes" not in warehouse.tables("_bclust"):
        return {}
    present = warehouse.tables()
    return {
        r["name"]: Record(
            Fingerprint(r["code"], r["code_hash"], r["config"], r["vars"], r["functions"], r["inputs"]),
            r["data_version"],
            r["n_rows"],
            r["failed_calls"],
            tuple(json.loads(r["contains"] or "[]")),
        )
        for r in warehouse.rows("select * from _bclust.nodes")
        if r["name"] in present
    }


def write_record(warehouse: Warehouse, node: Node, record: Record, seconds: float, invocation_id: str) -> None:
    """Record a node; call inside the transaction that puts its table in place."""
    f = record.fingerprint
    values = [
        node.name, node.unique_id, node.kind, f.code, f.code_hash, f.config, f.vars, f.functions, f.inputs, record.data_version,
        record.rows, record.failed_calls, seconds,
    ]  # fmt: skip
    moment = f"now()::timestamp, {literal(invocation_id)}, {literal(json.dumps(record.contains))}"
    warehouse.execute(f"insert or replace into _bclust.nodes values ({', '.join(map(literal, values))}, {moment})")


def fingerprint(node: Node, manifest: Manifest, versions: Mapping[str, str]) -> Fingerprint:
    """What the node would be made of now; ``versions`` are the data versions of its inputs."""
    if node.kind == SOURCE:
        code = files_hash(manifest.config.root, node) + canonical_json(node.required)
    elif node.kind == MODEL:
        code = node.sql
    else:
        code = canonical_json({"rows": node.rows, "types": node.declared_types})
    functions = {f: f"v{manifest.functions[f].version} {manifest.functions[f].source_hash}" for f in node.functions}
    outside = {what: content for f in node.functions for what, content in manifest.outside.get(f, {}).items()}
    return Fingerprint(
        code=code,
        code_hash=sql_reader.digest(node.canonical or code),
        config=canonical_json({k: plain(node.config[k]) for k in DATA_CONFIG if k in node.config}),
        vars=canonical_json({v: manifest.config.vars[v] for v in node.variables}),
        functions=canonical_json(functions | outside),
        inputs=canonical_json({name: versions.get(name) for name in node.depends_on}),
    )


def reasons(
    node: Node, now: Fingerprint, record: Record | None, contains: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, ...]:
    """Why the node must be built, in words; () when it is fresh.

    ``contains`` has for each input the earlier data versions of which it still holds all rows.
    """
    if record is None:
        return ("not built yet",)
    before, found = record.fingerprint, []
    if now.code_hash != before.code_hash and not _same_code(node, now, before):
        found.append({SOURCE: "files changed", MODEL: "SQL changed"}.get(node.kind, "rows changed"))
    if now.config != before.config:
        found.append("config changed: " + ", ".join(_changed(before.config, now.config)))
    if now.vars != before.vars:
        found.append("variables changed: " + ", ".join(_changed(before.vars, now.vars, values=True)))
    if now.functions != before.functions:
        changed = _changed(before.functions, now.functions)
        outside = [what for what in changed if " " in what]  # no function has such a name
        found += ["functions changed: " + ", ".join(f for f in changed if f not in outside)] if outside != changed else []
        found += ["changed: " + ", ".join(outside)] if outside else []
    if now.inputs != before.inputs and not stays(node, now, before, contains or {}):
        found.append("inputs changed: " + ", ".join(_changed(before.inputs, now.inputs)))
    if record.failed_calls:
        found.append(f"{record.failed_calls} calls failed")
    return tuple(found)


def only_grown(node: Node, now: Fingerprint, before: Fingerprint, contains: Mapping[str, Sequence[str]]) -> bool:
    """Whether nothing has changed since the node was built but rows added to inputs that it grows with."""
    if not node.grows_with:
        return False
    if (now.code_hash, now.config, now.vars, now.functions) != (before.code_hash, before.config, before.vars, before.functions):
        return False
    then, today = json.loads(before.inputs), json.loads(now.inputs)
    changed = [name for name in {**then, **today} if then.get(name) != today.get(name)]
    return all(name in node.grows_with and then.get(name) in contains.get(name, ()) for name in changed)


def stays(node: Node, now: Fingerprint, before: Fingerprint, contains: Mapping[str, Sequence[str]]) -> bool:
    """Whether a table that is not incremental is left in place although its inputs have grown."""
    if node.materialized == INCREMENTAL or not only_grown(node, now, before, contains):
        return False
    most = 1 + float(node.config.get("max_growth", MAX_GROWTH))
    then, today = json.loads(before.inputs), json.loads(now.inputs)
    return all(_rows(today[name]) <= most * _rows(then[name]) for name in node.grows_with if name in then)


def _rows(data_version: str) -> int:
    return int(data_version.partition("-")[0])


def _same_code(node: Node, now: Fingerprint, before: Fingerprint) -> bool:
    """A newer sqlglot may write equal SQL in another way: compare both texts through today's."""
    if node.kind != MODEL:
        return False
    try:
        return sql_reader.digest(sql_reader.analyse(before.code, node.where).canonical) == now.code_hash
    except ProjectError:
        return False


def _changed(before: str, now: str, *, values: bool = False) -> list[str]:
    old, new = json.loads(before), json.loads(now)
    names = [k for k in {**old, **new} if old.get(k) != new.get(k)]
    if not values:
        return names
    return [f"{k} {_short(old.get(k))} -> {_short(new.get(k))}" for k in names]


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else text[:37] + "..."


# --- tests and runs --------------------------------------------------------------------------------------------


_VARIABLE = re.compile(r"getvariable\(\s*'(\w+)'", re.IGNORECASE)


def data_test_fingerprint(test: DataTest, manifest: Manifest, versions: Mapping[str, str]) -> str:
    """Equal when neither the test, the variables and functions it names nor the rows it reads have changed."""
    text = canonical_json([test.arguments, test.filter, test.sql])
    words = set(re.findall(r"\w+", text))
    functions = {name: f for name, f in manifest.functions.items() if name in words}
    named = _VARIABLE.findall(" ".join([text, *(f.macro_sql or "" for f in functions.values())]))
    return sql_reader.digest(
        canonical_json(
            [
                test.test,
                test.column,
                test.arguments,
                test.severity,
                test.filter,
                test.sql,
                {n: versions.get(n) for n in test.depends_on},
                {v: manifest.config.vars.get(v) for v in named},
                {name: f"v{f.version} {f.source_hash}" for name, f in functions.items()},
            ]
        )
    )


def unit_test_fingerprint(test: UnitTest, manifest: Manifest) -> str:
    """Equal when neither the test, the model's code nor its functions have changed."""
    node = manifest.nodes[test.model]
    code = fingerprint(node, manifest, {})
    types = {g["input"]: manifest.nodes[g["input"]].declared_types for g in test.given}
    return sql_reader.digest(
        canonical_json([code.code_hash, code.vars, code.functions, types, test.given, test.functions, test.vars, test.expect])
    )


def read_tests(warehouse: Warehouse) -> dict[str, tuple[str, Status, int]]:
    """Last outcome of each test: (fingerprint, status, failures)."""
    if "tests" not in warehouse.tables("_bclust"):
        return {}
    return {r[0]: (r[1], Status(r[2]), r[3]) for r in warehouse.execute("select * from _bclust.tests")}


def write_test(warehouse: Warehouse, unique_id: str, fingerprint_: str, result: Result) -> None:
    """Remember how a test ended."""
    values = [unique_id, fingerprint_, str(result.status), result.failures or 0]
    warehouse.execute(f"insert or replace into _bclust.tests values {row(values)}")


def begin_run(warehouse: Warehouse, run: Run, target: str) -> None:
    """Note that a run has begun."""
    known = f"{literal(run.invocation_id)}, now()::timestamp, {literal(target)}, 'running', {literal(canonical_json(run.args))}"
    warehouse.execute(f"insert into _bclust.runs (invocation_id, started_at, target, status, args) values ({known})")


def end_run(warehouse: Warehouse, run: Run, status: str) -> None:
    """Note how a run and each of its nodes and tests ended."""
    done = totals(run.results)
    warehouse.execute(
        f"update _bclust.runs set ended_at = now()::timestamp, status = {literal(status)}, calls_new = {done.calls_new},"
        f" calls_cached = {done.calls_cached}, calls_failed = {done.calls_failed}, cost_usd = {literal(done.cost_usd)}"
        f" where invocation_id = {literal(run.invocation_id)}"
    )
    rows = []
    for r in run.results:
        t = totals([r])
        how = (r.unique_id, r.name, r.resource_type, str(r.status), r.seconds, r.rows, r.failures)
        calls = (t.calls_new, t.calls_cached, t.calls_failed, sum(c.tokens for c in r.calls), t.cost_usd)
        rows.append(row([run.invocation_id, *how, *calls, r.message]))
    if rows:
        warehouse.execute(f"insert into _bclust.results values {', '.join(rows)}")
