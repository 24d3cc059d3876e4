"""Reading SQL: pairs of a statement and what it refers to."""

from __future__ import annotations

from pathlib import Path

import pytest

from bclust.errors import Location, ProjectError
from bclust.project.sql import analyse, check_table_macro
from bclust.project.sql_calls import check_calls

HERE = Location(Path("model.sql"))


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("select 1", set()),
        ("from a", {"a"}),
        ("select * from a join b using (x) where y in (select y from c)", {"a", "b", "c"}),
        ("with a as (select 1) select * from a", set()),
        ("with a as (select * from a) select * from a", {"a"}),
        ("with a as (from b), b as (from c) select * from a, b", {"b", "c"}),
        ("with recursive a as (select 1 as i union all select i + 1 from a where i < 5) from a", set()),
        ("with a as (with b as (from x) from b) select * from a, b", {"x", "b"}),
        ("select (select max(x) from m) as y from n", {"m", "n"}),
        ("select * from a, unnest([1, 2]) as t(x)", {"a"}),
        ("select * from range(3)", set()),
        ("from a semi join b using (x) anti join c using (x)", {"a", "b", "c"}),
        ("select * from (pivot p on x using count(*))", {"p"}),
        ("select *, row_number() over (order by x) from a qualify true", {"a"}),
        ("select * from a positional join b", {"a", "b"}),
        ("with x as materialized (from y) select * from x union all by name from z", {"y", "z"}),
    ],
)
def test_tables_are_those_that_no_cte_hides(sql: str, tables: set[str]) -> None:
    assert {t.name for t in analyse(sql, HERE).tables} == tables


@pytest.mark.parametrize(
    ("sql", "given"),
    [
        ("select * from compare('t', 2)", {("compare", "t")}),
        ("with t as (from x) from compare('t', 2, kind := 'of')", set()),
        ("with a as (from compare('t')), t as (from x) from a", {("compare", "t")}),
        ("with t as (from x) select * from (select * from compare('T', 'u'))", {("compare", "u")}),
    ],
)
def test_tables_named_to_functions_in_from_are_those_that_no_cte_hides(sql: str, given: set[tuple[str, str]]) -> None:
    assert {(function, table.name) for function, table in analyse(sql, HERE).given} == given


@pytest.mark.parametrize(
    ("query", "read"),
    [
        ("(with a as (from query_table(units)) select * from a)", None),
        ("with a as (from query_table(units)) select * from a, range(3)", None),
        ("select * from query_table(units) join texts using (id)", "texts"),
        ("select * from query_table('texts')", "query_table"),
        ("(from read_csv('x.csv'))", "read_csv"),
    ],
)
def test_a_table_macro_reads_only_what_it_is_given(query: str, read: str | None) -> None:
    if read is None:
        return check_table_macro(query, HERE)
    with pytest.raises(ProjectError, match=f"this one reads {read}\n"):
        check_table_macro(query, HERE)
    return None


def test_variables_and_functions_are_found_where_they_stand() -> None:
    found = analyse("select\n  embed(x, getvariable('size')) as y\nfrom a", HERE)
    assert [(v.name, v.line) for v in found.variables] == [("size", 2)]
    assert "embed" in {f.name for f in found.functions}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("select a from b -- remark", "SELECT  a\nFROM b", True),
        ("select a from b", "select a from c", False),
        ("select a from b", "select 'a' from b", False),
        ("select a, b from c", "select b, a from c", False),
    ],
)
def test_comments_and_layout_do_not_change_the_canonical_form(one: str, other: str, same: bool) -> None:
    assert (analyse(one, HERE).canonical == analyse(other, HERE).canonical) is same


GOOD = [
    "select llm(p, m).text as t from x",
    "with asked as (select p, llm(p, m) as answer from x) select p, answer.text from asked where answer.error is null",
    "select llm(p, m) as a, embed(p, e) as b from x",
    "select case when long then llm(p, m) end as a from x",
    "with few as (from x order by id limit 10) select llm(p, m) as a from few",
    "select llm(p, m) as a from x where flag union all select llm(q, m) as a from y",
    "with a as (select llm(p, m) as r from x), b as (select embed(p, e) as v from x) select * from a, b",
    "select llm(text, m).text as text, llm(text, m).error as error from x",
    "select llm(p, m).text as t, embed(x.t, e).vector as v from x where x.flag",
    "select llm(p, m).text as t from x where llm(p, m).error is null",
    "with a as (select llm(p, m).text as t, n from x) select n from a join y using (n) where t = 'y'",
    "select llm(p, m).text as t, embed(p, e).vector as v from (from x order by id limit 5)",
    "with a as (select llm(p, m) as r, embed(p, e) as v, n from x) select * from a where n = 1",
    "with a as (select llm(p, m) as r from x), b as (with a as (from y) select llm(q, m) as r from a) from a, b",
]
BAD = {
    "select llm(llm(p, m).text, m) from x": "depends on the first answer",
    "select coalesce(cached, llm(p, m).text) from x": "coalesce",
    "select llm(p, m).text as t from x limit 5": "LIMIT",
    "with a as (select llm(p, m).text as t from x) select t from a where t = 'y' limit 5": "LIMIT",
    "with a as (select llm(p, m).text as t from x) select llm(t, m) from a": "another call's answer",
    "with a as (select llm(p, m).text as t from x), b as (from seen('a')) select llm(t, m) from b": "another call's answer",
    "select case when llm(p, m).text = 'y' then llm(q, m).text end from x": "condition",
    "select llm(p, m) from x using sample 10": "sample",
    "select llm(p || random(), m) from x": "gives other rows each time",
    "with recursive a as (select llm(p, m).text as t from x union all select llm(t, m).text from a) from a": "recursive",
    "select llm(t, m) from (select llm(p, m).text as t from x)": "another call's answer",
    "select llm(p, m) from x where exists (select 1 from (select llm(q, m).text as t from y) where t = p)": "another call's answer",
    "select llm(b.p, m) from x as b join (select llm(p, m).text as t from x) as a on a.t = b.p": "another call's answer",
    "select llm(p, m).text as t, upper(t) as u, llm(u, m).text as v from x": "depends on the first answer",
    "select llm(p, m) as r, llm(r.text, m).text as v from x": "depends on the first answer",
    "select llm(llm(p, m).text.lower(), m) from x": "depends on the first answer",
    "select llm(p, m).text.llm(m) from x": "depends on the first answer",
    'select "LLM"(llm(p, m).text, m) from x': "depends on the first answer",
    "select llm(p, m).text as t, llm(q, m).text as u from x where t = 'y'": "condition",
    "select llm(p, m).text as t from x where llm(q, m).text = 'y'": "condition",
    "select p from x where llm(p, m).text = 'y' and llm(q, m).text = 'y'": "condition",
    "select if(llm(p, m).text = 'y', llm(q, m).text, '') from x": "condition",
    "select llm(p, m).text = 'y' or llm(q, m).text = 'y' as either from x": "condition",
    "with a as (select *, llm(p, m) as r, llm(q, m) as s from x) select * from a where r.text = 'y'": "condition",
    "with a as (select llm(p, m) as r, llm(q, m) as s from x), b as (select * from a) select * from b join y on r.text = y.t": "condition",
    "with a as (select llm(p, m) as r, llm(q, m) as s from x), b(u, v) as (from a) select * from b where u.text = 'y'": "condition",
    "select any_value(llm(p, m)) as r from x group by k having max(llm(q, m).text) = 'y'": "condition",
    "select * from (select llm(p, m).text as t from x) where t = 'y' limit 5": "LIMIT",
}

MACROS = {
    "ask": "create or replace macro ask(p, m := 'a', sys := NULL) as (llm(p, m, system := sys).text)",
    "again": "-- once more\ncreate or replace macro again(p) as (ask(p))",
    "or_else": "create or replace macro or_else(a, b) as (coalesce(a, b))",
    "twice": "create or replace macro twice(p) as (llm(llm(p, 'a').text, 'a').text)",
    "shuffled": "create or replace macro shuffled(p) as (p || random())",
    "asked": "create or replace macro asked(rows) as table (select *, ask(p) as t from query_table(rows))",
    "asked_too": "create or replace macro asked_too(rows) as table (with o as (from asked(rows)) select * from o)",
    "few": "create or replace macro few(rows, n := 5) as table (from query_table(rows) limit n)",
    "is_yes": "create or replace macro is_yes(t) as (lower(t) = 'yes')",
    "loop": "create or replace macro loop(p) as (loop(p))",
}
GOOD_MACROS = [
    "select ask(p) as t from x",
    "select again(p) as t from x",
    "select t from asked_too('x') where is_yes(t)",
    "with f as (from few('x')) select ask(p) as t from f",
    "with f as (from few('x')), a as (from asked('f')) select * from a",
]
BAD_MACROS = {
    "select ask(ask(p)) from x": "called by the macro ask, inside llm(), called by the macro ask: the second",
    "select llm(again(p), m) from x": "depends on the first answer",
    "select again(p).ask() from x": "depends on the first answer",
    "select ask(sys := ask(p), p := p) from x": "depends on the first answer",
    "select twice(p) from x": "depends on the first answer",
    "select or_else(known, ask(p)) from x": "coalesce",
    "select ask(shuffled(p)) from x": ", called by the macro shuffled, gives other rows each time",
    "select ask(t) from asked('x')": "another call's answer",
    "select embed(t, e) from asked_too('x')": "another call's answer",
    "with a as (from asked('x')) select t from few('a')": "LIMIT",
    "with a as (select ask(p) as t, again(p) as same, ask(q) as u from x) select * from a where is_yes(t)": "condition",
}


@pytest.mark.parametrize("sql", GOOD)
def test_calls_that_can_be_planned_are_let_through(sql: str) -> None:
    check_calls(sql, {"llm", "embed"}, HERE)


@pytest.mark.parametrize("sql", BAD)
def test_calls_that_cannot_be_planned_are_refused_with_the_way_out(sql: str) -> None:
    with pytest.raises(ProjectError) as caught:
        check_calls(sql, {"llm", "embed"}, HERE)
    assert BAD[sql] in caught.value.message
    assert "split this model" in (caught.value.hint or "")


@pytest.mark.parametrize("sql", GOOD_MACROS)
def test_macros_that_make_calls_are_let_through(sql: str) -> None:
    check_calls(sql, {"llm", "embed"}, HERE, MACROS)


@pytest.mark.parametrize("sql", BAD_MACROS)
def test_macros_are_looked_through(sql: str) -> None:
    with pytest.raises(ProjectError) as caught:
        check_calls(f"-- a remark\n{sql}", {"llm", "embed"}, HERE, MACROS)
    assert BAD_MACROS[sql] in caught.value.message
    assert caught.value.where is not None
    assert caught.value.where.line in (None, 2)  # of the model, not of the macro


def test_a_macro_that_cannot_be_read_is_refused_where_a_call_goes_through_it() -> None:
    macros = {"ask": "create or replace macro ask(a) as llm(a, 'm').text, (a, b) as llm(a || b, 'm').text"}
    with pytest.raises(ProjectError, match=r"ask\(\) leads to a paid call"):
        check_calls("select ask(p) from x", {"llm"}, HERE, macros)
    check_calls("select llm(p, m) from x", {"llm"}, HERE, macros)


def test_a_syntax_error_points_at_its_line() -> None:
    with pytest.raises(ProjectError) as caught:
        analyse("select a\nfrom (b", HERE)
    assert caught.value.where is not None
    assert caught.value.where.line == 2
