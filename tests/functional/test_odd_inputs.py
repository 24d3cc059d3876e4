"""Groups and maps of inputs that hardly are any: a sensible answer or a clear message, never a traceback or a lost row."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bclust.warehouse.database import open_published
from tests.conftest import ROOT, without_unit_tests

Run = Callable[..., subprocess.CompletedProcess[str]]


def bclust(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bclust", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200, check=False)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The starter, without statements."""
    assert bclust(tmp_path, "init", "study").returncode == 0
    without_unit_tests(tmp_path / "study")
    for path in (tmp_path / "study" / "seeds" / "statements").glob("*.jsonl"):
        path.unlink()
    return tmp_path / "study"


def state(study: Path, *statements: str) -> None:
    for i, statement in enumerate(statements):
        (study / "seeds" / "statements" / f"b{i}.jsonl").write_text(json.dumps({"statement": statement}) + "\n")


def answered(study: Path, sql: str) -> list[tuple[object, ...]]:
    with open_published(study / "warehouse.duckdb") as warehouse:
        return warehouse.execute(sql)


@pytest.mark.parametrize(
    ("statements", "with_words"),
    [(["I like cats"], 1), (["I like cats"] * 4, 4), (["...", "!!", "I like cats", "I like dogs"], 2)],
    ids=["one", "equal", "wordless"],
)
def test_hardly_any_statements_are_built_to_the_end_without_a_lost_row(
    study: Path, statements: list[str], with_words: int
) -> None:
    state(study, *statements)
    outcome = bclust(study, "build")
    assert outcome.returncode == 0, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert " 0 failed" in outcome.stderr
    # signs are no text: they are asked about, but have no vector, so that they are in no cluster and on no map
    for table, rows in (("statement_clusters", 2), ("statement_map", 1)):
        assert answered(study, f"select count(*) from {table}") == [(rows * with_words,)]
    for table, rows in (("statement_embeddings", 1), ("response_clusters", 6), ("response_map", 3)):
        assert answered(study, f"select count(*) from {table}") == [(rows * len(statements),)]
    found = answered(study, "select error, count(*) from statement_embeddings where embedding is null group by all")
    assert found == [("there is no text", len(statements) - with_words)] * (with_words < len(statements))


def test_one_language_model_has_clusters_and_no_comparisons(study: Path) -> None:
    state(
        study, *(f"I like {animal} {place}" for animal in ("cats", "dogs", "birds") for place in ("at home", "outside", "at sea"))
    )
    text = (study / "bclust.yml").read_text()
    (study / "bclust.yml").write_text(re.sub(r"    - \{llm_id: (cautious_twin|bold),.*\n", "", text))
    outcome = bclust(study, "build")
    assert outcome.returncode == 0, outcome.stderr
    assert answered(study, "select count(*) from llm_differences") == [(0,)]
    assert answered(study, "select count(*) > 0 from response_cluster_themes") == [(True,)]


def test_a_clustering_that_cannot_work_is_named_before_anything_is_asked(study: Path) -> None:
    state(study, "I like cats", "I like dogs")
    text = (study / "bclust.yml").read_text()
    (study / "bclust.yml").write_text(
        text.replace("algorithm: kmeans, n_clusters: auto", "algorithm: kmeans, n_clusters: auto, ninit: 3")
    )
    for command in ("plan", "build"):
        outcome = bclust(study, command)
        assert outcome.returncode != 0
        assert "clustering kmeans: clustering algorithm kmeans has no parameter 'ninit'" in outcome.stderr
        assert "did you mean n_init" in outcome.stderr
    assert not (study / ".bclust" / "calls.sqlite").exists() or "0 new" in outcome.stderr


def test_vectors_of_mixed_length_name_the_table_and_what_to_do(study: Path) -> None:
    state(study, "I like cats", "I like dogs", "I like birds")
    model = study / "models" / "approvals" / "statement_embeddings.sql"
    model.write_text(
        model.read_text().replace(
            "select * from transformed\n",
            "select * replace (embedding[1:2 + (hash(statement_id) % 2)::int] as embedding) from transformed\n",
        )
    )
    state(study, *(f"I like number {i}" for i in range(12)))
    outcome = bclust(study, "build", "-s", "statement_cluster_fits", "--exclude", "test_type:data")
    assert outcome.returncode == 1
    assert "Traceback" not in outcome.stderr
    assert re.search(r"statement_cluster_fits.*vectors of mixed length: \d to \d numbers", outcome.stderr, re.DOTALL)
    assert "one embedder gives one length" in outcome.stderr
