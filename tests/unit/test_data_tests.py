"""Each generic data test finds its bad rows and lets good ones pass."""

from __future__ import annotations

import pytest

from bclust.data_tests import DATA_TESTS
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
