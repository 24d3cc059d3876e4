"""A project from Python: read, planned and built as by the command line, also in a notebook, and beside a build."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import bclust
from bclust.errors import BudgetError, SelectionError, UsageError, WarehouseError
from bclust.warehouse.database import build_lock
from tests.conftest import ROOT, Project, without_unit_tests


def test_the_script_of_the_how_to_runs_in_a_new_project(starter: Path, tmp_path: Path) -> None:
    study = without_unit_tests(Path(shutil.copytree(starter, tmp_path / "study", symlinks=True)))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, str(ROOT / "docs" / "how-to" / "from_python.py")]
    outcome = subprocess.run(command, cwd=study, env=environment, capture_output=True, text=True, timeout=1200, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert "new calls, at most $0.00" in outcome.stdout
    assert "True" in outcome.stdout
    assert "One row per language model and prompt." in outcome.stdout
    assert outcome.stderr == "", "quiet"


def test_a_project_is_planned_built_and_read(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    opened = bclust.open(project.root)
    assert opened.plan().new == 6
    assert project.asked == []
    run = opened.build(max_cost=10)
    assert (run.ok, run.totals.calls_new, run.totals.calls_failed) == (True, 6, 0)
    assert "Done." not in capsys.readouterr().out
    answers = opened.read("answers")
    assert isinstance(answers, pl.DataFrame)
    assert answers.height == 6
    assert opened.sql("select n from counts where llm_id = 'a'").item() == 3
    assert opened.plan("counts").to_build == []
    again = opened.build("counts", quiet=True)
    assert {r.status for r in again.results} == {"reused"}
    assert capsys.readouterr().err.count("Done") <= 1


def test_what_may_cost_too_much_is_not_begun_and_a_limit_is_kept(project: Project) -> None:
    project.replace("bclust.yml", "confirm_over_usd: 5", "confirm_over_usd: 0")
    opened = bclust.open(project.root)
    with pytest.raises(BudgetError, match="not confirmed") as asked:
        opened.build(quiet=True)
    assert asked.value.hint == "limit it: max_cost = USD"
    assert project.asked == []
    with pytest.raises(BudgetError):
        opened.build(max_cost=1000, max_calls=2, quiet=True)
    assert len(project.asked) == 2


def test_ctrl_c_ends_the_build_and_not_the_notebook(project: Project) -> None:
    """Twice: a kernel must outlive it."""
    code = f"""
import os, signal
import bclust, bclust.opened
built = bclust.opened.run_build
def interrupted(session, *rest):
    os.kill(os.getpid(), signal.SIGINT)
    session.stop.wait(30)
    os.kill(os.getpid(), signal.SIGINT)
    built(session, *rest)
bclust.opened.run_build = interrupted
try:
    bclust.open({str(project.root)!r}).build(max_cost=10, quiet=True)
except bclust.errors.Interrupted:
    print("stopped", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert outcome.stdout == "stopped True\n", outcome.stderr
    assert "Ctrl-C again" not in outcome.stderr
    assert project.asked == []


def test_it_builds_where_an_event_loop_runs_already_as_in_a_notebook(project: Project) -> None:
    async def cell() -> bool:
        return bclust.open(project.root).build(max_cost=10, quiet=True).ok

    assert asyncio.run(cell())


def test_reading_goes_on_while_a_build_runs_and_a_second_build_says_who_has_it(project: Project) -> None:
    opened = bclust.open(project.root)
    opened.build(max_cost=10, quiet=True)
    (working,) = (project.root / "target").glob("*/")
    with build_lock(working / "build.lock"):
        assert opened.read("counts").height == 2
        assert set(opened.tables) >= {"texts", "answers", "counts"}
        assert opened.plan().new >= 0
        with pytest.raises(WarehouseError, match="another build is running"):
            opened.build(quiet=True)


def test_nothing_is_written_but_by_a_build(project: Project) -> None:
    opened = bclust.open(project.root)
    opened.build(max_cost=10, quiet=True)
    with pytest.raises(WarehouseError):
        opened.sql("drop table counts")
    with pytest.raises(WarehouseError):
        opened.sql("select no_such_column from counts")
    assert opened.read("counts").height == 2


def test_a_table_shows_its_grain_and_its_columns(project: Project) -> None:
    project.write(
        {
            "models/_models.yml": """
                models:
                  - name: answers
                    description: What was answered. One row per text and <language model>.
                    columns: [{name: text, description: "The text, a & b."}]
            """
        }
    )
    opened = bclust.open(project.root)
    opened.build(max_cost=10, quiet=True)
    table = opened.tables["answers"]
    assert table.description == "What was answered. One row per text and <language model>."
    assert [(c.name, c.type) for c in table.columns] == [(n, "VARCHAR") for n in ("text", "llm_id", "answer", "error")]
    html = table._repr_html_()
    assert "One row per text and &lt;language model&gt;." in html
    assert "<code>text</code></td><td>VARCHAR</td><td>The text, a &amp; b.</td>" in html
    assert table.read().equals(opened.read("answers"))


def test_mistakes_are_said_with_what_was_meant(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no bclust.yml"):
        bclust.open(tmp_path.parent)
    with pytest.raises(UsageError, match="no target 'tset'"):
        bclust.open(project.root, target="tset")
    opened = bclust.open(project.root)
    with pytest.raises(WarehouseError, match="there is no warehouse") as raised:
        opened.read("counts")
    assert raised.value.hint == "build it: bclust build"
    opened.build(max_cost=10, quiet=True)
    with pytest.raises(SelectionError, match="no published table 'count'") as missing:
        opened.read("count")
    assert "counts" in (missing.value.hint or "")
    assert bclust.__all__ == ["open"]
