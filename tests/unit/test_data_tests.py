"""Each generic data test finds its bad rows and lets good ones pass."""

from __future__ import annotations

import json

import pytest

from bclust.project.data_tests import DATA_TESTS
from tests.conftest import Project

GOOD_AND_BAD = {
    "not_null": ("not_null", "select 1 as x", "select null::int as x"),
    "unique": ("unique", "select unnest([1, 2]) as x", "select unnest([1, 1]) as x"),
    "accepted_values": ("{accepted_values: {values: [1, 2]}}", "select unnest([1, 2, null]) as x", "select 3 as x"),
    "relationships": ("{relationships: {to: parent, field: id}}", "select 1 as x", "select 9 as x"),
    "expression": ("{expression: {expression: 'x < 5'}}", "select unnest([1, null]) as x", "select 7 as x"),
    "row_count": ("{row_count: {min: 1, max: 2}}", "select 1 as x", "select unnest([1, 2, 3]) as x"),
    "error_rate": ("{error_rate: {column: x, max: 0.5}}", "select unnest([1, null]) as x", "select unnest([1, 2, null]) as x"),
    "complete_cross": ("{complete_cross: {of: [parent.id]}}", "select unnest([1, 2]) as id, 1 as x", "select 1 as id, 1 as x"),
}


def declare(project: Project, test: str, sql: str) -> None:
    where = (
        "columns: [{name: x, data_tests: [%s]}]"
        if test not in ("complete_cross", "error_rate", "row_count")
        else "data_tests: [%s]"
    )
    project.write(
        {
            "bclust.yml": "name: t",
            "models/parent.sql": "select unnest([1, 2]) as id",
            "models/child.sql": sql,
            "models/_m.yml": "models:\n  - name: child\n    " + where % GOOD_AND_BAD[test][0],
        }
    )


def test_every_generic_test_is_covered_here() -> None:
    assert set(GOOD_AND_BAD) == set(DATA_TESTS)


@pytest.mark.parametrize("test", DATA_TESTS)
def test_good_rows_pass_and_bad_rows_fail(empty_project: Project, test: str) -> None:
    declare(empty_project, test, GOOD_AND_BAD[test][1])
    assert empty_project.run("build").code == 0
    declare(empty_project, test, GOOD_AND_BAD[test][2])
    outcome = empty_project.run("build")
    assert outcome.code == 1
    assert f"FAIL    test {test}_child" in outcome.err


def test_a_warning_does_not_fail_and_where_narrows(empty_project: Project) -> None:
    declare(empty_project, "not_null", "select null::int as x, 1 as y")
    empty_project.replace("models/_m.yml", "[not_null]", "[{not_null: {severity: warn}}]")
    outcome = empty_project.run("build")
    assert outcome.code == 0
    assert "WARN=1" in outcome.err
    empty_project.replace("models/_m.yml", "{severity: warn}", "{where: y > 1}")
    assert "WARN=0" in empty_project.run("build").err


def test_singular_tests_return_the_bad_rows(empty_project: Project) -> None:
    declare(empty_project, "not_null", "select 1 as x")
    empty_project.write({"tests/data/no_ones.sql": "-- severity: warn\nselect * from child where x = 1"})
    outcome = empty_project.run("build")
    assert outcome.code == 0
    assert "WARN    test no_ones on child" in outcome.err
    assert "x=1" in outcome.err


# --- generic tests that the project defines: tests/generic/NAME.sql ---------------------------------------------

BELOW = """
-- arguments: table, most = getvariable('most'), but = ['nobody']
-- What stands in texts and comments is left alone: $most
select name, x, '$most' as text from $table where x > $most and name not in (select unnest($but))
"""
SEED = "seeds: {people: [{name: ann, x: 1}, {name: bob, x: 5}, {name: o'hara, x: 9}], others: [{name: cid, x: 1}]}"


def define(project: Project, definition: str, declared: str) -> None:
    project.write(
        {
            "bclust.yml": f"name: t\nvars: {{most: 4, least: 0}}\n{SEED}",
            "models/copy.sql": "select * from people",
            "models/gates.yml": f"data_tests:\n  - {declared}",
            "tests/generic/below.sql": definition,
        }
    )


@pytest.mark.parametrize(
    ("declared", "wrong"),
    [
        ("below: {table: people}", ["bob", "o'hara"]),
        ("below: {table: people, most: 5}", ["o'hara"]),
        ("below: {table: people, most: null}", ["bob", "o'hara"]),
        ("below: {table: people, but: [bob, o'hara]}", []),
        ("below: {table: people, where: x < 9}", ["bob"]),
        ("below: {table: people, config: {where: x < 9, severity: warn}}", ["bob"]),
        ("below: {table: others}", []),
    ],
)
def test_a_test_of_the_project_is_its_select_with_the_arguments_in_it(
    empty_project: Project, declared: str, wrong: list[str]
) -> None:
    define(empty_project, BELOW, declared)
    outcome = empty_project.run("build")
    assert [name for name in ("ann", "bob", "o'hara", "cid") if f"  name={name}, " in outcome.err] == wrong
    assert outcome.code == (1 if wrong and "warn" not in declared else 0)
    assert outcome.err.count("text=$most") == len(wrong)


def test_a_test_of_the_project_is_on_the_node_and_the_column_under_which_it_stands(empty_project: Project) -> None:
    define(empty_project, "-- arguments: table, column\nselect $column from $table as t where $column > 4", "not_there: {}")
    under = "models: [{name: copy, columns: [{name: x, data_tests: [below]}], data_tests: [above]}]"
    empty_project.write(
        {"models/gates.yml": under, "tests/generic/above.sql": "-- arguments: table\nselect * from $table where x < 0"}
    )
    outcome = empty_project.run("build")
    assert "FAIL    test below_copy_x on copy" in outcome.err
    assert "x=5" in outcome.err
    assert empty_project.run("ls", "-s", "test_type:generic").out.split() == ["test.t.above_copy", "test.t.below_copy_x"]


def test_rows_say_how_bad_they_are_and_what_is_wrong_in_words(empty_project: Project) -> None:
    graded = """
        -- arguments: table, bad = 9
        select if(x >= $bad, 'error', 'warn') as severity, name || ' has ' || x as message from $table where x > 1
    """
    define(empty_project, graded, "below: {table: people}")
    outcome = empty_project.run("build")
    assert outcome.code == 1
    assert "FAIL below_people: " in outcome.err
    assert "gates.yml:2: 2 rows, 1 of them errors\n  o'hara has 9\n  bob has 5\n" in outcome.err
    empty_project.replace("models/gates.yml", "people", "people, bad: 10")
    outcome = empty_project.run("build")
    assert outcome.code == 0
    assert "WARN below_people: 2 rows\n  bob has 5\n  o'hara has 9\n" in outcome.err
    empty_project.replace("models/gates.yml", "bad: 10", "severity: warn")
    assert empty_project.run("build").code == 0  # the declaration has the last word
    empty_project.replace("tests/generic/below.sql", "'warn'", "'bad'")
    assert "the severity of a row is error or warn, not 'bad'" in empty_project.run("build").err


def test_a_test_of_the_project_depends_on_what_it_reads_and_runs_again_when_that_changes(empty_project: Project) -> None:
    define(empty_project, BELOW.replace("x > $most", "x > $most + (select min(x) from others)"), "below: {table: copy, most: 20}")
    assert "PASS    test below_copy on copy" in empty_project.run("build", "-v").err
    manifest = json.loads((empty_project.root / "target/manifest.json").read_text(encoding="utf-8"))
    assert manifest["nodes"]["test.t.below_copy"]["depends_on"]["nodes"] == ["model.t.copy", "seed.t.others"]
    assert manifest["nodes"]["test.t.below_copy"]["test_metadata"] == {"name": "below", "kwargs": {"table": "copy", "most": 20}}
    assert "REUSED  test below_copy" in empty_project.run("build", "-v").err
    for change in (
        ("bclust.yml", "{name: cid, x: 1}", "{name: cid, x: 2}"),
        ("models/gates.yml", "20", "19"),
        ("tests/generic/below.sql", "name not in", "true and name not in"),
        ("models/copy.sql", "people", "people where x < 9"),
    ):
        empty_project.replace(*change)
        assert "PASS    test below_copy" in empty_project.run("build", "-v").err, change
    empty_project.replace("models/gates.yml", ", most: 19", "")
    assert empty_project.run("build").code == 0
    assert "FAIL    test below_copy" in empty_project.run("build", "--vars", "{most: 2}").err
    assert "below_copy" in empty_project.run("test", "-s", "copy", "-v").err
    assert "below_copy" not in empty_project.run("test", "-s", "people", "-v").err


def test_a_test_of_the_project_over_a_table_that_is_not_built_is_an_error(empty_project: Project) -> None:
    define(empty_project, BELOW, "below: {table: people, most: 99}")
    for command in ("test", "build"):
        outcome = empty_project.run(command, "-s", "test_name:below")
        assert outcome.code == 1
        assert "people is not built\n  bclust build -s people" in outcome.err
    assert empty_project.run("build").code == 0
    for command in ("test", "build"):
        outcome = empty_project.run(command, "-s", "test_name:below")
        assert outcome.code == 0
        assert "TOTAL=1" in outcome.err


@pytest.mark.parametrize(
    ("definition", "declared", "message"),
    [
        (BELOW, "belo: {table: people}", "gates.yml:2: unknown data test 'belo'\n  did you mean below?"),
        (BELOW, "below: {table: peple}", "gates.yml:2: data test below reads 'peple', which is no node\n  did you mean people?"),
        (
            BELOW,
            "below: {table: people,\n           moast: 1}",
            "gates.yml:3: unknown key 'moast' in data test below\n  did you mean most?",
        ),
        (BELOW, "below", "gates.yml:1: data test below needs 'table', a node"),
        (BELOW.replace("= getvariable('most')", ""), "below: {table: people}", "gates.yml:2: data test below needs 'most'"),
        (BELOW.replace("'most'", "'least'", 1), "below: {table: people, severity: bad}", "severity is error or warn, not 'bad'"),
        (BELOW.replace("('most')", "('mist')"), "below: {table: people}", "below.sql:3: no variable 'mist'"),
        (BELOW.replace("most = ", "none = "), "below: {table: people}", "below.sql:2: below has no argument 'most'"),
        (BELOW.replace(", but", ", and, but"), "below: {table: people}", "below.sql:1: below does not use its argument 'and'"),
        (BELOW.replace(", but =", ", but ] ="), "below: {table: people}", "below.sql:1: these arguments cannot be read"),
        (BELOW.replace("most", "where"), "below: {table: people}", "below.sql:1: every data test has 'where'"),
        (BELOW.replace("unnest($but)", "unnest($but) from nobody"), "below: {table: people}", "below.sql:3:"),
        ("select 1 as x", "below: {}", "below.sql:1: a data test reads at least one node"),
        ("select 1 as x from people", "below: {where: x > 1}", "data test below has no node that `where` could narrow"),
        (
            "-- arguments: table, column\nfrom $table where $column",
            "below: {table: people}",
            "data test below stands under a column",
        ),
        ("delete from people", "below: {}", "below.sql: a model is one SELECT"),
        (BELOW, "not_null: {columns: [name]}", "gates.yml:2: data test not_null stands under a node"),
    ],
)
def test_what_is_wrong_in_a_test_of_the_project_is_said_with_its_place(
    empty_project: Project, definition: str, declared: str, message: str
) -> None:
    define(empty_project, definition.lstrip("\n"), declared)
    outcome = empty_project.run("ls")
    assert outcome.code == 2
    assert message in outcome.err


def test_a_test_of_the_project_has_a_name_of_its_own_and_stands_under_what_it_is_for(empty_project: Project) -> None:
    define(empty_project, BELOW, "below: {table: people}")
    empty_project.write({"tests/generic/unique.sql": "select * from people"})
    assert "unique.sql:1: unique is a data test of the runner" in empty_project.run("ls").err
    empty_project.write({"tests/generic/unique.sql": None})
    empty_project.write({"models/more.yml": "models: [{name: copy, columns: [{name: x, data_tests: [below]}]}]"})
    assert "more.yml:1: data test below stands under a node" in empty_project.run("ls").err
    empty_project.write({"models/more.yml": "data_tests: [{below: {table: people}}]"})
    assert "two data tests are called below_people" in empty_project.run("ls").err
    empty_project.replace("models/more.yml", "people", "people, name: again")
    assert empty_project.run("ls").code == 0
