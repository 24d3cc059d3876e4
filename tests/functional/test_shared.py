"""`warehouse: md:NAME`: all that does not need an account is tried with a plain DuckDB file in the place of MotherDuck.

The setting then begins with the folder of the test in the place of `md:`; every statement is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bclust.errors import WarehouseError
from bclust.project import config
from bclust.project.config import read_config
from bclust.warehouse.database import Warehouse
from bclust.warehouse.shared import open_shared, publish_into
from reports import _warehouse as report_warehouse
from tests.conftest import Project


@pytest.fixture
def shared(project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The project's warehouse is a database elsewhere."""
    database = tmp_path_factory.mktemp("elsewhere") / "team.duckdb"
    with Warehouse(database) as made:
        made.execute("create table notes as select 'mine' as text")
    monkeypatch.setattr(config, "SHARED", ("md:", str(database.parent)))
    monkeypatch.setattr(report_warehouse, "SHARED", ("md:", str(database.parent)))
    project.replace("bclust.yml", "name: tiny", f"name: tiny\nwarehouse: {database}")
    yield database


def rows(database: Path, sql: str) -> list[dict[str, object]]:
    with Warehouse(database, read_only=True) as warehouse:
        return warehouse.rows(sql)


def test_a_build_publishes_there_and_readers_read_there(project: Project, shared: Path) -> None:
    outcome = project.run("build")
    assert outcome.code == 0, outcome.err
    assert not (project.root / "warehouse.duckdb").exists()
    assert len(rows(shared, "from answers")) == 6
    assert rows(shared, "from notes") == [{"text": "mine"}]
    assert {r["name"] for r in rows(shared, "from _bclust.nodes")} == {"raw", "llms", "texts", "answers", "counts"}

    assert project.run("sql", "select count(*) as n from answers", "--format", "csv").out == "n\n6\n"
    assert "one" in project.run("show", "texts").out
    assert f"shared as {shared}" in project.run("debug").out
    assert project.run("plan", "--exit-code").code == 0
    (project.root / "target" / "default" / "warehouse.duckdb").unlink()  # as for somebody who never built it
    assert project.run("sql", "select count(*) as n from answers", "--format", "csv").out == "n\n6\n"


def test_what_changed_is_copied_what_is_gone_is_dropped_and_the_rest_stays(project: Project, shared: Path) -> None:
    project.write({"models/seen.sql": "select * from texts"}).replace(
        "models/_models.yml", "models:", "models:\n  - {name: seen, config: {materialized: view}}"
    )
    assert project.run("build").code == 0
    assert len(rows(shared, "from seen")) == 3
    with Warehouse(shared) as there:  # marks that copying would wipe out
        there.execute("comment on table texts is 'kept'; comment on table counts is 'copied over'")
    project.write({"models/seen.sql": None}).replace("models/_models.yml", "- {name: seen, config: {materialized: view}}", "")
    project.replace("models/counts.sql", "count(*) as n", "count(*) + 1 as n")
    assert project.run("build").code == 0
    comments = {r["table_name"]: r["comment"] for r in rows(shared, "from duckdb_tables()")}
    assert comments["texts"] == "kept"
    assert comments["counts"] is None
    assert "notes" in comments
    assert {r["n"] for r in rows(shared, "from counts")} == {4}


def test_publishing_replaces_only_tables_of_another_data_version(project: Project, tmp_path: Path) -> None:
    assert project.run("build").code == 0
    there, built = tmp_path / "there.duckdb", (project.root / "warehouse.duckdb").resolve()
    assert sorted(publish_into(str(there), built)) == ["answers", "counts", "llms", "raw", "texts"]
    assert publish_into(str(there), built) == []
    with Warehouse(there) as other:
        other.execute("update _bclust.nodes set data_version = 'older' where name = 'texts'; drop table counts")
    assert sorted(publish_into(str(there), built)) == ["counts", "texts"]


def test_a_table_that_bclust_did_not_make_is_never_overwritten(project: Project, shared: Path) -> None:
    with Warehouse(shared) as there:
        there.execute("create table texts as select 'precious' as text")
    outcome = project.run("build")
    assert outcome.code == 1
    assert "has a table texts that bclust did not make; nothing was changed there" in outcome.err
    assert rows(shared, "from texts") == [{"text": "precious"}]
    assert len(project.asked) == 6
    with Warehouse(shared) as there:
        there.execute("drop table texts")
    assert project.run("build").code == 0  # nothing is stale, and yet it is published now
    assert len(rows(shared, "from answers")) == 6
    assert len(project.asked) == 6


def test_a_database_that_cannot_be_used_is_said_before_anything_is_asked(project: Project, shared: Path) -> None:
    shared.unlink()
    shared.mkdir()
    outcome = project.run("build")
    assert outcome.code == 1
    assert f"warehouse {shared} cannot be used" in outcome.err
    assert project.asked == []


def test_without_a_token_or_the_extension_nothing_is_asked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("motherduck_token", raising=False)
    monkeypatch.delenv("MOTHERDUCK_TOKEN", raising=False)
    project.replace("bclust.yml", "name: tiny", "name: tiny\nwarehouse: md:team")
    for command in (["build"], ["sql", "select 1"], ["show", "texts"], ["report", "--export", "x.html"]):
        outcome = project.run(*command)
        assert outcome.code == 1
        assert "warehouse md:team: the environment variable motherduck_token is not set" in outcome.err
        assert "export motherduck_token=..." in outcome.err
    assert project.run("plan").code == 0
    # with a token DuckDB looks for its extension, which is not there, and may not be fetched
    monkeypatch.setenv("motherduck_token", "not-a-token")
    monkeypatch.setenv("HOME", str(project.root))
    outcome = project.run("build")
    assert outcome.code == 1
    assert "warehouse md:team cannot be used" in outcome.err
    assert project.asked == []


@pytest.mark.parametrize("statement", ["drop table answers", "copy answers to 'x.csv'", "attach 'x.duckdb'", "set threads = 1"])
def test_readers_may_only_select(project: Project, shared: Path, statement: str) -> None:
    assert project.run("build").code == 0
    outcome = project.run("sql", statement)
    assert outcome.code == 1
    assert "only SELECT is allowed in a shared warehouse" in outcome.err
    with open_shared(str(shared), {}) as warehouse, pytest.raises(WarehouseError):
        warehouse.rows(f"select 1; {statement}")
    assert len(rows(shared, "from answers")) == 6


def test_a_select_is_exported_from_a_shared_warehouse(project: Project, shared: Path) -> None:
    assert project.run("build").code == 0
    assert project.run("sql", "from counts", "--format", "csv", "-o", "counts.csv").code == 0
    assert (project.root / "counts.csv").read_text().count("\n") == 3
    outcome = project.run("sql", "drop table counts", "--format", "csv", "-o", "counts.csv")
    assert "only SELECT is allowed" in outcome.err


def test_a_report_reads_a_shared_warehouse_and_sees_the_next_version(
    project: Project, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.run("build").code == 0
    monkeypatch.setattr(report_warehouse, "LOOK_SECONDS", 0.0)
    warehouse = report_warehouse.Warehouse(shared)
    assert warehouse.row("select count(*) as n from answers") == {"n": 6}
    assert warehouse.has("answers", "_bclust.runs")
    assert warehouse.published_at.year >= 2024
    assert warehouse.refresh() is False
    assert warehouse.bounded("from texts")[0].height == 3
    for forbidden in ("drop table texts", "from read_csv('bclust.yml')", "set threads = 1"):
        with pytest.raises(WarehouseError):
            warehouse.bounded(forbidden)
    with warehouse._cursor() as cursor:  # somebody publishes
        cursor.execute("update _bclust.runs set ended_at = ended_at + interval 1 hour; create table more as select 1 as x")
    assert warehouse.refresh() is True
    assert warehouse.has("more")
    assert report_warehouse.siblings(shared) == [shared]
    assert report_warehouse.building(warehouse) is False
    warehouse.close()


def test_each_target_has_a_database_of_its_own(project: Project) -> None:
    project.replace("bclust.yml", "name: tiny", "name: tiny\nwarehouse: md:team\ntargets: {main: {}, full-run: {}}")
    assert read_config(project.root).shared == "md:team"
    assert read_config(project.root, "full-run").shared == "md:team_full_run"
    assert read_config(project.root).warehouse_path == project.root / "target" / "main" / "warehouse.duckdb"
