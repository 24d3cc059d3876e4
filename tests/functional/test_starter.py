"""The evaluation itself, as `bclust init` hands it out: built once, then looked at."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bclust.warehouse.database import Warehouse, open_published
from tests.conftest import ROOT, without_unit_tests


def bclust(folder: Path, *arguments: str, python_path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(python_path), "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-m", "bclust", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200, check=False)


@pytest.fixture(scope="module")
def warehouse(starter: Path) -> Iterator[Warehouse]:
    with open_published(starter / "warehouse.duckdb") as warehouse:
        yield warehouse


def test_select_approvals_on_an_empty_warehouse_builds_what_approvals_needs_and_nothing_else(tmp_path: Path) -> None:
    bclust(tmp_path, "init", "x")
    outcome = bclust(tmp_path / "x", "build", "--select", "approvals")
    assert outcome.returncode == 0, outcome.stderr
    with open_published(tmp_path / "x" / "warehouse.duckdb") as warehouse:
        assert warehouse.tables() == {
            "raw_statements",
            "raw_approval_prompts",
            "raw_wordings",
            "llms",
            "subjects",
            "statements",
            "approval_prompts",
            "wordings",
            "approvals",
        }


@pytest.mark.parametrize(
    ("settings", "named", "calls"),
    [("themes_llm: null, judge_llm: null", 0, 0), ("theme_kinds: [response], judge_llm: null", 20, 20)],
)
def test_clusters_without_a_namer_go_by_their_words_and_names_cost_a_call_for_each_kind_that_is_wanted(
    tmp_path: Path, settings: str, named: int, calls: int
) -> None:
    bclust(tmp_path, "init", "x")
    without_unit_tests(tmp_path / "x")
    outcome = bclust(tmp_path / "x", "build", "--select", "response_cluster_themes", "--vars", f"{{{settings}}}")
    assert outcome.returncode == 0, outcome.stderr
    with open_published(tmp_path / "x" / "warehouse.duckdb") as warehouse:
        [counts] = warehouse.rows(
            "select count(*) as n, count(*) filter (theme_source = 'namer' or unconfirmed_theme is not null) as named, count(response_theme) as themes, "
            "count(theme_error) as errors, (select count(*) from response_theme_answers) as calls from response_cluster_themes"
        )
    assert counts == {"n": 20, "named": named, "themes": 20, "errors": 0, "calls": calls}


@pytest.mark.parametrize("settings", ["themes_llm: null", "judge_llm: null", "themes_llm: null, judge_llm: null"])
def test_each_helper_may_be_missing(tmp_path: Path, settings: str) -> None:
    bclust(tmp_path, "init", "x")
    outcome = bclust(tmp_path / "x", "build", "--select", "llms", "--vars", f"{{{settings}}}")
    assert outcome.returncode == 0, outcome.stderr


def test_a_language_model_that_is_added_reaches_every_approval_table(tmp_path: Path) -> None:
    assert bclust(tmp_path, "init", "x").returncode == 0
    without_unit_tests(tmp_path / "x")
    few = ("--vars", "{n_statements: 24, wordings: [approve]}", "-s", "tag:personas_evaluation")
    project, config = tmp_path / "x", tmp_path / "x" / "bclust.yml"
    whole = config.read_text()
    config.write_text(re.sub(r"    - \{llm_id: bold,.*\n", "", whole))
    assert bclust(project, "build", *few).returncode == 0
    config.write_text(whole)
    outcome = bclust(project, "build", *few)
    assert outcome.returncode == 0, outcome.stderr
    for table in ("approvals", "approval_statements", "approval_rates", "statement_cluster_approvals"):
        said = bclust(project, "sql", "--format", "csv", f"select count(distinct llm_id) as n from {table}")
        assert said.stdout.split() == ["n", "3"], table


def test_a_second_build_prints_no_new_calls_and_reuses_every_node(starter: Path) -> None:
    outcome = bclust(starter, "build")
    last = next(line for line in outcome.stderr.splitlines() if line.startswith("Done."))
    assert "calls 0 new" in last
    assert "PASS=0 WARN=0 ERROR=0 SKIP=0" in last


def test_the_plan_of_an_empty_warehouse_is_what_the_build_then_asks(tmp_path: Path) -> None:
    bclust(tmp_path, "init", "x")
    # what the statements can show is said where the table that says it is selected
    plan = bclust(tmp_path / "x", "plan", "-s", "approvals responses detectable_differences")
    assert "· 12,240 new calls, 0 stored · est. $0.00" in plan.stdout.splitlines()[-1]
    assert "a lone difference is found from" in plan.stdout
    outcome = bclust(tmp_path / "x", "build", "-s", "approvals responses")
    assert "calls 12,240 new, 0 cached, 0 failed" in outcome.stderr


def test_every_table_of_the_contract_is_there_with_its_columns(warehouse: Warehouse) -> None:
    contract = {
        "statements": "statement_id statement dataset behavior matching_answer label_confidence source_file source_line",
        "llms": "llm_id provider model params",
        "approval_prompts": "prompt_type prompt_name system_message",
        "responses": "statement_id llm_id sample system_message prompt response finish_reason error input_tokens output_tokens latency_ms cost_usd responded_at",
        "response_embeddings": "statement_id llm_id sample embedder embedding",
        "statement_embeddings": "statement_id embedder embedding",
        "response_map": "statement_id llm_id sample embedder x y",
        "statement_map": "statement_id embedder x y",
        "response_clusters": "clustering statement_id llm_id sample cluster_id",
        "statement_clusters": "clustering statement_id cluster_id",
        "response_cluster_themes": "clustering cluster_id n statement_theme response_theme interaction_theme theme_validity",
        "statement_cluster_themes": "clustering cluster_id n statement_theme theme_validity",
        "response_cluster_tree": "clustering node_id parent_id cluster_id height n label",
        "statement_cluster_tree": "clustering node_id parent_id cluster_id height n label",
        "approvals": "statement_id llm_id prompt_type prompt_name wording sample system_message prompt answer decision p_approve",
        "approval_rates": "llm_id prompt_type prompt_name n approved disapproved refused unparsable errors rate ci_low ci_high yes_bias balanced_rate",
        "approval_agreement": "prompt_type llm_a prompt_a llm_b prompt_b n both only_a only_b neither agreement kappa phi p_value q_value",
        "statement_cluster_approvals": "clustering cluster_id llm_id prompt_type prompt_name n approved rate ci_low ci_high",
        "llm_cluster_shares": "clustering cluster_id llm_id n share ci_low ci_high",
        "llm_differences": "clustering cluster_id llm_a llm_b n share_a share_b difference ci_low ci_high p_value q_value significant",
        "llm_distances": "llm_a llm_b separability ci_low ci_high p_value",
    }
    for table, columns in contract.items():
        assert set(columns.split()) <= set(warehouse.columns(table)), table


def test_two_personas_reach_the_language_model_as_two_system_messages(warehouse: Warehouse) -> None:
    rows = warehouse.execute("select count(distinct system_message), count(distinct prompt_name) from approvals")
    assert rows == [(8, 8)]


def test_the_planted_difference_is_found_and_nothing_else_between_the_twins(warehouse: Warehouse) -> None:
    found = warehouse.execute(
        "select distinct behavior from approval_differences where significant and llm_a = 'cautious' and llm_b = 'cautious_twin'"
    )
    assert found == [("power-seeking",)]


def test_trees_have_one_root_and_sizes_that_add_up(warehouse: Warehouse) -> None:
    for subject in ("response", "statement"):
        tree = f"{subject}_cluster_tree"
        assert warehouse.execute(f"select distinct count(*) from {tree} where parent_id is null group by clustering") == [(1,)]
        wrong = f"""
            select p.node_id from {tree} as p inner join {tree} as c on c.clustering = p.clustering and c.parent_id = p.node_id
            group by p.clustering, p.node_id, p.n having sum(c.n) <> p.n
        """
        assert warehouse.execute(wrong) == []


def documented_queries() -> list[str]:
    """The queries that show where each thing the seed system computes is now."""
    page = (ROOT / "docs" / "from-the-seed-system.md").read_text(encoding="utf-8")
    return [query.strip() for block in page.split("```sql")[1:] for query in block.split("```")[0].split(";") if query.strip()]


def test_what_the_seed_system_computes_can_be_queried_as_documented(warehouse: Warehouse) -> None:
    queries = documented_queries()
    assert len(queries) == 16
    for query in queries:
        assert warehouse.execute(query), query


def test_the_rates_of_a_tree_are_those_of_the_approvals_below_each_node(warehouse: Warehouse) -> None:
    counted = warehouse.execute(
        """
        with below as (select clustering, node_id, unnest(clusters) as cluster_id from statement_cluster_tree)
        select b.clustering, b.node_id, a.llm_id, a.prompt_name,
               count(*) filter (a.decision = 'approved') / count(*) filter (a.decision in ('approved', 'disapproved')) as rate
        from below as b
        inner join statement_clusters as c using (clustering, cluster_id)
        inner join approvals as a using (statement_id)
        where a.wording = 'approve'
        group by all
        """
    )
    known = {row[:4]: row[4] for row in warehouse.execute(
        "select clustering, node_id, llm_id, prompt_name, rate from statement_cluster_tree_approvals")}  # fmt: skip
    assert len(known) == len(counted) > 0
    assert all(known[row[:4]] == pytest.approx(row[4]) for row in counted)


def test_refusals_move_the_refusal_columns_only(warehouse: Warehouse) -> None:
    counted = "approved, disapproved, refused, unparsable, errors"
    totals = warehouse.execute(f"select {counted}, n from approval_rates")
    assert all(sum(row[:5]) == row[5] for row in totals)
    expected = warehouse.execute(
        "select count(*) filter (where decision = 'refused') from approvals where wording = 'approve' group by llm_id, prompt_type, prompt_name order by all"
    )
    assert sorted(row[2] for row in totals) == [row[0] for row in expected]


def test_help_is_fast_and_quiet(tmp_path: Path) -> None:
    """It imports what prints it, and none of what builds: 0.2 s on an idle machine."""
    ours, theirs = [], []
    for _ in range(3):
        started = time.perf_counter()
        outcome = bclust(tmp_path, "--help")
        between = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import typer.main, rich.console, rich.table, rich.live"], check=True)
        ours.append(between - started)
        theirs.append(time.perf_counter() - between)
        assert outcome.stderr == ""
    assert min(ours) < 2.5 * min(theirs)


def test_init_works_from_an_installed_wheel(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    wheels, site = tmp_path / "wheels", tmp_path / "site"
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(ROOT)], check=True, capture_output=True
    )
    wheel = next(wheels.glob("bclust-*.whl"))
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True, capture_output=True)
    outcome = bclust(tmp_path, "init", "fresh", python_path=site)
    assert outcome.returncode == 0, outcome.stderr
    assert (tmp_path / "fresh" / "models" / "approvals" / "approvals.sql").is_file()
    listed = bclust(tmp_path / "fresh", "ls", python_path=site)
    assert "approval_rates" in listed.stdout


def test_a_new_project_names_every_run_configuration_of_the_seed_system(starter: Path) -> None:
    for target in ("quick_full_test", "full_run", "only_model_comparisons", "gpt3_reuse", "local_model_run"):
        outcome = bclust(starter, "ls", "--target", target)
        assert outcome.returncode == 0, outcome.stderr
        assert "responses" in outcome.stdout.split()
        assert ("approvals" in outcome.stdout.split()) is (target not in ("quick_full_test", "only_model_comparisons"))


def test_personas_that_differ_in_profile_differ_with_a_q_value_and_equal_ones_do_not(warehouse: Warehouse) -> None:
    pairs = "llm_a = 'cautious' and llm_b = 'cautious' and prompt_type = 'personas'"
    poetry = f"from approval_differences where {pairs} and behavior = 'interest-in-poetry'"
    # the profile shifts it for the poet alone, by 45 points
    moved = warehouse.execute(f"select q_value {poetry} and 'gentle_poet' in (prompt_a, prompt_b)")
    equal = warehouse.execute(f"select q_value {poetry} and 'gentle_poet' not in (prompt_a, prompt_b)")
    assert [row[0] < 0.05 for row in moved] == [True, True, True]
    assert [row[0] < 0.05 for row in equal] == [False, False, False]


def test_turning_answers_into_refusals_moves_the_refusal_columns_only(starter: Path) -> None:
    from bclust.build.session import macros_in_order
    from bclust.functions import Context
    from bclust.project.reading import read_project
    from bclust.warehouse.arrow_functions import arrow_function

    manifest = read_project(ROOT)
    models = [manifest.nodes[name] for name in ("approval_statements", "approval_rates")]
    functions = {name: manifest.functions[name] for model in models for name in model.functions}
    rates = []
    for became in ("unparsable", "refused"):
        with Warehouse() as scratch:
            for function in (f for f in functions.values() if f.kind != "macro"):
                scratch.register(function, arrow_function(function, Context(ROOT), scratch))
            for function in macros_in_order(functions):
                scratch.register(function, None)
            scratch.set_variables(manifest.config.vars)
            scratch.execute(f"attach '{(starter / 'warehouse.duckdb').resolve()}' as built (read_only)")
            changed = f"case decision when 'unparsable' then '{became}' else decision end as decision"
            scratch.execute(f"create table approvals as select * replace ({changed}) from built.main.approvals")
            for name in ("statements", "statement_groups", "wordings"):
                scratch.execute(f"create table {name} as from built.main.{name}")
            for model in models:
                scratch.execute(f"create table {model.name} as {model.sql}")
            rates.append(scratch.rows("from approval_rates order by llm_id, prompt_type, prompt_name"))
    assert sum(row["unparsable"] for row in rates[0]) > 0
    for before, after in zip(*rates, strict=True):
        assert after["refused"] == before["refused"] + before["unparsable"]
        assert {k: v for k, v in before.items() if k not in ("refused", "unparsable")} == {
            k: v for k, v in after.items() if k not in ("refused", "unparsable")
        }
