"""dbt's selection grammar over a small graph."""

from __future__ import annotations

import pytest

from bclust.errors import SelectionError, UsageError
from bclust.project.manifest import Manifest
from bclust.project.reading import read_project
from bclust.project.selector import Facts, select
from tests.conftest import Project


@pytest.fixture
def manifest(empty_project: Project) -> Manifest:
    """a -> b -> c -> d and a -> e; b and e in models/x."""
    empty_project.write(
        {
            "bclust.yml": "name: t\nmodels: {x: {tags: [inner]}}",
            "models/a.sql": "select 1 as i",
            "models/x/b.sql": "from a",
            "models/c.sql": "from b",
            "models/d.sql": "from c",
            "models/x/e.sql": "from a",
            "models/_m.yml": """
                models:
                  - name: c
                    config: {tags: [fine], materialized: view}
                    columns: [{name: i, data_tests: [not_null]}]
                unit_tests:
                  - {name: u, model: c, given: [{input: b, rows: [{i: 1}]}], expect: {rows: [{i: 1}]}}
            """,
            "tests/data/d_is_small.sql": "from d where i > 10",
        }
    )
    return read_project(empty_project.root)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("c", "c"), ("+c", "a b c"), ("1+c", "b c"), ("c+", "c d"), ("b+1", "b c"), ("+b+", "a b c d"), ("@e", "a e"), ("@b", "a b c d"),
        ("b c", "b c"), ("b+,+c", "b c"), ("tag:inner", "b e"), ("tag:inner+", "b c d e"), ("x", "b e"), ("path:models/x", "b e"),
        ("models/x", "b e"), ("file:c.sql", "c"), ("c.sql", "c"), ("[ab]", "a b"), ("*", "a b c d e"), ("config.materialized:view", "c"),
        ("config.tags:fine", "c"), ("resource_type:model,tag:fine", "c"), ("state:stale", "d"), ("result:error", "e"), ("state:stale result:error", "d e"),
    ],
)  # fmt: skip
def test_selectors_mean_what_they_mean_in_dbt(manifest: Manifest, text: str, names: str) -> None:
    facts = Facts(lambda: {"d": {"stale"}}, lambda: {"e": "error"})
    assert sorted(select(manifest, [text], facts=facts).nodes) == names.split()


def test_exclude_takes_away(manifest: Manifest) -> None:
    assert sorted(select(manifest, ["+d"], ["b"]).nodes) == ["a", "c", "d"]


def test_a_selected_node_brings_its_tests(manifest: Manifest) -> None:
    assert select(manifest, ["c"]).tests == {"test.t.not_null_c_i", "unit_test.t.u"}
    assert select(manifest, ["d"]).tests == {"test.t.d_is_small"}


@pytest.mark.parametrize(
    ("text", "tests"),
    [
        ("test_type:unit", {"unit_test.t.u"}), ("test_type:singular", {"test.t.d_is_small"}), ("test_type:generic", {"test.t.not_null_c_i"}),
        ("test_type:data", {"test.t.not_null_c_i", "test.t.d_is_small"}), ("test_name:not_null", {"test.t.not_null_c_i"}),
        ("c,test_type:unit", {"unit_test.t.u"}),
    ],
)  # fmt: skip
def test_tests_are_selected_by_type_and_name(manifest: Manifest, text: str, tests: set[str]) -> None:
    found = select(manifest, [text])
    assert found.tests == tests
    assert not found.nodes


def test_an_exact_name_wins_over_a_folder(empty_project: Project) -> None:
    empty_project.write({"bclust.yml": "name: t", "models/x/x.sql": "select 1 as i", "models/x/y.sql": "from x"})
    assert select(read_project(empty_project.root), ["x"]).nodes == {"x"}


@pytest.mark.parametrize("text", ["@a+", "@+a", "tagg:inner", "state:fresh", "a++"])
def test_what_cannot_be_read_is_a_usage_error(manifest: Manifest, text: str) -> None:
    with pytest.raises(UsageError):
        select(manifest, [text])


def test_nothing_selected_is_an_error_that_suggests(manifest: Manifest) -> None:
    with pytest.raises(SelectionError, match="nothing matches"):
        select(manifest, ["tag:innner"])
    with pytest.raises(SelectionError, match="nothing is left"):
        select(manifest, ["a"], ["a"])
