"""How Python functions become SQL functions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bclust.errors import BclustError, ProjectError
from bclust.functions import Context
from bclust.project.registry import load_functions, source_hash
from bclust.project.sql_types import parse_signature
from bclust.warehouse.arrow_functions import arrow_function
from bclust.warehouse.database import Warehouse
from tests.conftest import Project

FUNCTIONS = {
    "udfs/__init__.py": '"""f"""',
    "udfs/fit.py": '''
        """Mean of a column of vectors."""
        from bclust.functions import column
        @column("(vectors FLOAT[][], params JSON := NULL) -> STRUCT(fitted FITTED, n INTEGER)")
        def fit(vectors, params):
            """The mean."""
            return {"fitted": {"mean": vectors.mean(axis=0)}, "n": len(vectors) + (params or {}).get("plus", 0)}
    ''',
    "udfs/apply.py": '''
        """Distance from a mean."""
        from bclust.functions import scalar
        @scalar("(vector FLOAT[], fitted FITTED) -> DOUBLE")
        def apply(vector, fitted):
            """Distance."""
            return abs(vector - fitted["mean"]).sum(axis=1)
    ''',
    "udfs/half.py": '''
        """Half."""
        from bclust.functions import scalar
        @scalar("(x DOUBLE) -> STRUCT(half DOUBLE, text VARCHAR)")
        def half(x):
            """Half."""
            return {"half": x / 2, "text": [str(v) for v in x]}
    ''',
    "udfs/known.py": '''
        """Null or not."""
        from bclust.functions import scalar
        @scalar("(x VARCHAR, y VARCHAR := 'd') -> VARCHAR", nulls=True)
        def known(x, y):
            """Known."""
            return [f"{a} {b}" for a, b in zip(x, y)]
    ''',
    "udfs/scaled.py": '''
        """Vector times a number."""
        from bclust.functions import scalar
        @scalar("(x FLOAT[], times DOUBLE := 2) -> FLOAT[]")
        def scaled(x, times):
            """Scaled."""
            return x * times[:, None]
    ''',
}  # fmt: skip


@pytest.fixture
def warehouse(empty_project: Project) -> Warehouse:
    empty_project.write(FUNCTIONS)
    warehouse = Warehouse()
    warehouse.execute("create schema _bclust; create table _bclust.fitted (handle varchar, node varchar, value blob)")
    for function in load_functions(empty_project.root).values():
        warehouse.register(function, arrow_function(function, Context(empty_project.root), warehouse))
    warehouse.execute("create table v as select i, [i, i + 1]::float[] as vector from range(5000) t(i)")
    return warehouse


def test_a_column_function_sees_all_rows_and_a_scalar_one_uses_what_it_fitted(warehouse: Warehouse) -> None:
    warehouse.run("create table fits as ", "select i % 2 as k, fit(list(vector order by i), {'plus': 1}) as f from v group by k")
    assert warehouse.execute("select f.n from fits order by k") == [(2501,), (2501,)]
    warehouse.run("create table d as ", "select v.i, k, apply(vector, f.fitted) as d from v join fits on k = i % 2")
    rows = warehouse.execute("select i, d from d order by i")
    expected = [2 * abs(i - (2500 if i % 2 else 2499)) for i, _ in rows]
    assert np.allclose([d for _, d in rows], expected)


def test_a_fitted_value_survives_a_new_connection(warehouse: Warehouse, tmp_path: Path) -> None:
    handle = warehouse.keep({"mean": np.arange(3.0), "name": np.array(["a", "é"])})
    warehouse.store_fitted("node")
    warehouse._fitted.clear()
    assert warehouse.kept(handle)["name"].tolist() == ["a", "é"]
    assert warehouse.kept(handle) is warehouse.kept(handle)


def test_rows_with_null_are_null_without_a_call(warehouse: Warehouse) -> None:
    assert warehouse.execute("select half(x).half from (values (1.0), (null), (3.0)) t(x)") == [(0.5,), (None,), (1.5,)]
    assert warehouse.execute("select half(null).half") == [(None,)]


def test_nulls_reach_a_function_that_asks_for_them(warehouse: Warehouse) -> None:
    assert warehouse.execute("select known(x, y := 'e') from (values ('a'), (null)) t(x)") == [("a e",), ("None e",)]
    assert warehouse.execute("select known('a')") == [("a d",)]


def test_vectors_come_back_as_vectors(warehouse: Warehouse) -> None:
    assert warehouse.execute("select scaled([1, 2]::float[]), scaled(null)") == [([2.0, 4.0], None)]


def test_vectors_of_mixed_length_are_a_clear_error(warehouse: Warehouse) -> None:
    with pytest.raises(BclustError, match="mixed length: 1 to 2"):
        warehouse.run("create table x as ", "select scaled(v) as y from (values ([1]::float[]), ([1, 2]::float[])) t(v)")


def test_docstrings_and_comments_do_not_change_the_hash_but_code_and_helpers_do(empty_project: Project) -> None:
    empty_project.write(
        FUNCTIONS
        | {"udfs/_help.py": "K = 1\n", "udfs/half.py": FUNCTIONS["udfs/half.py"] + "\n        from udfs._help import K\n"}
    )
    path = empty_project.root / "udfs" / "half.py"
    before = source_hash(path)
    empty_project.replace("udfs/half.py", '"""Half."""', '"""A half."""  # of it')
    assert source_hash(path) == before
    empty_project.replace("udfs/_help.py", "1", "2")
    assert source_hash(path) != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("from bclust.functions import scalar\n", "declares 0 functions"),
        ("def f(:\n", "syntax error"),
        ("import nothing_of_that_name\n", "cannot import"),
        ("from bclust.functions import scalar\n@scalar('x -> y')\ndef f(x): ...\n", "bad signature"),
    ],
)
def test_a_bad_function_file_is_refused_with_its_name(empty_project: Project, text: str, message: str) -> None:
    empty_project.write({"udfs/__init__.py": "", "udfs/bad.py": text})
    with pytest.raises(ProjectError, match=message):
        load_functions(empty_project.root)


def test_signatures_are_read_with_defaults_and_nested_types() -> None:
    signature = parse_signature("(a FLOAT[][], b VARCHAR := 'x, y') -> STRUCT(c STRUCT(d INTEGER, e DOUBLE)[], f FITTED)")
    assert [p.name for p in signature.parameters] == ["a", "b"]
    assert signature.parameters[1].default == "'x, y'"
