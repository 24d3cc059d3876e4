"""The evaluation's SQL: what the yml says of each table is so."""

from __future__ import annotations

from pathlib import Path

import pytest

from bclust.build.session import Session
from bclust.project.literals import quote
from bclust.project.manifest import Manifest
from bclust.project.nodes import MODEL
from bclust.project.reading import read_project
from bclust.warehouse.sources import SOURCE_COLUMNS
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_project(ROOT)


def test_the_yml_names_the_columns_of_every_model_in_their_types(manifest: Manifest, tmp_path: Path) -> None:
    wrong = {}
    with Session(manifest, warehouse=tmp_path / "empty.duckdb") as session:
        for name in manifest.graph.sorted(manifest.nodes):
            node = manifest.nodes[name]
            declared = (
                dict(SOURCE_COLUMNS) if node.kind == "source" else {c.name: (c.data_type or "").upper() for c in node.columns}
            )
            session.warehouse.execute(f"create table {quote(name)} ({', '.join(f'{quote(c)} {t}' for c, t in declared.items())})")
            if node.kind == MODEL:
                found = {row[0]: row[1].upper() for row in session.warehouse.execute(f"describe {node.sql}")}
                if found != declared:
                    wrong[name] = (sorted(found.items() - declared.items()), sorted(declared.items() - found.items()))
    assert wrong == {}, "model: (only in the SQL, only in the yml)"


def test_every_model_says_what_it_is_for_and_what_a_row_is(manifest: Manifest) -> None:
    for node in (n for n in manifest.nodes.values() if n.kind == MODEL):
        text = node.path.read_text()
        assert text.startswith("-- ") and text.splitlines()[0].endswith("."), node.name
        assert "One row per " in node.description, node.name
        assert node.tags, node.name
