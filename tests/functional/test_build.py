"""What a build does, seen through the command line on a tiny project."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT, Project


def done(text: str) -> str:
    """The last line that begins with Done."""
    return [line for line in text.splitlines() if line.startswith("Done.")][-1]


def test_a_first_build_asks_everything_once_and_publishes(project: Project) -> None:
    outcome = project.run("build")
    assert outcome.code == 0, outcome.err
    assert "calls 6 new, 0 cached, 0 failed · $0.06" in done(outcome.err)
    assert len(project.asked) == 6
    assert project.rows("select answer from answers where text = 'one' and llm_id = 'a'") == [{"answer": "HELLO ONE"}]


def test_a_second_build_reuses_every_node_and_asks_nothing(project: Project) -> None:
    project.run("build")
    outcome = project.run("build")
    assert outcome.code == 0
    assert "PASS=0 WARN=0 ERROR=0 SKIP=0 REUSED=7 TOTAL=7 · calls 0 new" in done(outcome.err)
    assert len(project.asked) == 6


def test_a_comment_rebuilds_nothing(project: Project) -> None:
    project.run("build")
    project.replace("models/answers.sql", "select t.text", "-- a remark\n            select   t.text")
    assert "REUSED=7" in done(project.run("build").err)


def test_a_changed_prompt_rebuilds_what_depends_on_it_and_asks_only_what_is_new(project: Project) -> None:
    project.run("build")
    project.replace("bclust.yml", "greeting: hello", "greeting: good day")
    assert project.run("plan", "--exit-code").code == 1
    outcome = project.run("build")
    assert "calls 6 new" in done(outcome.err)
    project.replace("bclust.yml", "greeting: good day", "greeting: hello")
    assert "calls 0 new, 6 cached" in done(project.run("build").err)


def test_adding_a_language_model_asks_only_its_own_calls(project: Project) -> None:
    project.run("build")
    project.replace("bclust.yml", "- {llm_id: b}", "- {llm_id: b}\n    - {llm_id: c}")
    plan = project.run("plan")
    assert "ask c" in plan.out
    assert "3 new calls, 6 stored" in plan.out
    assert "calls 3 new, 6 cached" in done(project.run("build").err)
    assert [line.split()[0] for line in project.asked[6:]] == ["c", "c", "c"]


def test_a_parent_rebuilt_with_equal_content_stops_there(project: Project) -> None:
    project.run("build")
    project.replace("models/texts.sql", "select record->>'text' as text", "select trim(record->>'text') as text")
    outcome = project.run("build")
    assert "OK      texts" in outcome.err
    assert "REUSED  answers" in outcome.err


def test_a_changed_function_rebuilds_its_models_from_stored_answers(project: Project) -> None:
    project.run("build")
    project.replace("udfs/ask.py", "max_concurrency=4", "max_concurrency=2")
    outcome = project.run("build")
    assert "calls 0 new, 6 cached" in done(outcome.err)
    project.replace("udfs/ask.py", "version=1", "version=2")
    assert "calls 6 new" in done(project.run("build").err)


def test_the_plan_is_exact_and_spends_nothing(project: Project) -> None:
    plan = project.run("plan")
    assert plan.code == 0
    assert plan.out.splitlines()[-1] == "Plan: 5 to build, 0 unchanged · 6 new calls, 0 stored · est. $0.06"
    assert project.asked == []
    assert not (project.root / "warehouse.duckdb").exists()
    assert "calls 6 new" in done(project.run("build").err)


def test_a_failed_call_stays_a_row_and_is_asked_again_by_the_next_build(project: Project) -> None:
    (project.root / "broken").touch()
    outcome = project.run("build")
    assert outcome.code == 0
    assert "PARTIAL answers" in outcome.err
    assert "calls 4 new, 0 cached, 2 failed" in done(outcome.err)
    assert project.rows("select error, count(*) as n from answers where error is not null group by 1") == [
        {"error": "the server is down", "n": 2}
    ]
    (project.root / "broken").unlink()
    outcome = project.run("build")
    assert "calls 2 new, 4 cached, 0 failed" in done(outcome.err)
    assert project.rows("select sum(errors) as n from counts") == [{"n": 0}]


def test_select_builds_only_what_the_node_needs(project: Project) -> None:
    project.write({"models/other.sql": "select 1 as x"})
    project.run("build", "--select", "answers")
    assert {row["name"] for row in project.rows("select name from _bclust.nodes")} == {"raw", "llms", "texts", "answers"}


def test_no_upstream_needs_its_inputs(project: Project) -> None:
    outcome = project.run("build", "-s", "answers", "--no-upstream")
    assert outcome.code == 1
    assert "needs" in outcome.err and "not built" in outcome.err


def test_no_upstream_builds_on_the_inputs_as_they_are(project: Project) -> None:
    project.run("build")
    project.replace("models/texts.sql", "limit", "order by 1 limit")
    outcome = project.run("build", "-f", "-s", "counts", "--no-upstream")
    assert outcome.code == 0, outcome.err
    assert "OK      counts" in outcome.err
    assert "texts" not in outcome.err


def test_full_refresh_recomputes_and_pays_nothing(project: Project) -> None:
    project.run("build")
    outcome = project.run("build", "-f", "-s", "answers")
    assert "OK      answers" in outcome.err
    assert "calls 0 new, 6 cached" in done(outcome.err)


def test_refresh_calls_asks_again(project: Project) -> None:
    project.run("build")
    outcome = project.run("build", "--refresh-calls", "ask")
    assert "calls 6 new" in done(outcome.err)
    assert project.run("build", "--refresh-calls", "ash").code == 2


def test_offline_rebuilds_from_the_store_and_refuses_what_is_missing(project: Project) -> None:
    assert "6 answers are not stored" in project.run("build", "--offline").err
    project.run("build")
    (project.root / "warehouse.duckdb").unlink()
    project.run("clean")
    outcome = project.run("build", "--offline")
    assert outcome.code == 0
    assert "calls 0 new, 6 cached" in done(outcome.err)


def test_max_calls_stops_exactly_and_keeps_what_was_answered(project: Project) -> None:
    outcome = project.run("build", "--max-calls", "4")
    assert outcome.code == 1
    assert len(project.asked) == 4
    assert "calls 2 new, 4 cached" in done(project.run("build").err)


def test_a_price_above_the_limit_is_not_spent_without_a_yes(project: Project) -> None:
    project.replace("bclust.yml", "confirm_over_usd: 5", "confirm_over_usd: 0.01")
    outcome = project.run("build")
    assert outcome.code == 1
    assert "-y" in outcome.err
    assert project.asked == []
    assert project.run("build", "-y").code == 0


def test_a_failing_test_skips_what_is_below(project: Project) -> None:
    project.replace("models/_models.yml", "- unique:", "- row_count: {min: 100}\n      - unique:")
    outcome = project.run("build")
    assert outcome.code == 1
    assert "FAIL" in outcome.err
    assert "SKIP    counts" in outcome.err


def test_a_model_that_fails_leaves_its_old_table_and_the_published_warehouse(project: Project) -> None:
    project.run("build")
    project.replace("models/counts.sql", "count(*) as n", "error('boom') as n")
    outcome = project.run("build")
    assert outcome.code == 1
    assert "boom" in outcome.err
    assert "counts.sql" in outcome.err
    assert len(project.rows("from counts")) == 2


def test_rejected_rows_are_kept_counted_and_limited(project: Project) -> None:
    project.write({"data/more.jsonl": '{"text": "four"}\n{broken\n{"other": 1}\n\n'})
    project.write({"data/empty.jsonl": ""})
    outcome = project.run("build", "-s", "texts")
    assert outcome.code == 1
    assert "3 rows rejected" in outcome.err
    assert "data/more.jsonl:2: not JSON" in outcome.err
    project.replace("bclust.yml", "name: tiny", "name: tiny\nmax_rejected: 0.5")
    assert project.run("build", "-s", "texts").code == 0
    found = project.rows("select source_file, source_line, reason from _bclust.rejected_rows order by all")
    assert [(r["source_file"], r["source_line"]) for r in found] == [
        ("data/empty.jsonl", None),
        ("data/more.jsonl", 2),
        ("data/more.jsonl", 3),
    ]
    assert found[0]["reason"] == "the file is empty"
    assert found[2]["reason"] == "no text"


def test_a_wrong_encoding_is_a_rejected_row(project: Project) -> None:
    (project.root / "data" / "latin.jsonl").write_bytes(b'{"text": "caf\xe9"}\n')
    project.replace("bclust.yml", "name: tiny", "name: tiny\nmax_rejected: 0.5")
    project.run("build", "-s", "texts")
    assert project.rows("select source_line, reason from _bclust.rejected_rows") == [{"source_line": 1, "reason": "not UTF-8"}]


def test_a_source_is_read_once_a_build_and_again_where_it_changed_since_the_plan(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bclust.build import building as build
    from bclust.build import session

    reads = []
    read, unit_tests = session.read_source, build.Build._unit_tests
    monkeypatch.setattr(session, "read_source", lambda *of: reads.append(of) or read(*of))
    project.run("build")
    assert len(reads) == 1

    def between(self: build.Build, names: set[str]) -> None:
        project.write({"data/texts.jsonl": '{"text": "four"}\n{"text": "five"}\n'})
        unit_tests(self, names)

    project.write({"data/texts.jsonl": '{"text": "four"}\n'})
    monkeypatch.setattr(build.Build, "_unit_tests", between)  # comes between the plan and the first node
    project.run("build")
    assert len(reads) == 3
    assert project.rows("select text from texts order by all") == [{"text": "five"}, {"text": "four"}]


def test_the_second_of_two_builds_says_who_holds_the_file(project: Project) -> None:
    from bclust.warehouse.database import build_lock

    with build_lock(project.root / "target" / "default" / "build.lock"):
        outcome = project.run("build")
    assert outcome.code == 1
    assert f"PID {os.getpid()}" in outcome.err


def test_artifacts_have_dbts_field_names(project: Project) -> None:
    project.run("build")
    results = json.loads((project.root / "target" / "run_results.json").read_text())
    manifest = json.loads((project.root / "target" / "manifest.json").read_text())
    assert {"metadata", "args", "elapsed_time", "results"} <= results.keys()
    assert {"unique_id", "status", "execution_time", "message", "failures", "adapter_response"} <= results["results"][0].keys()
    when = [ran["timing"][0] for ran in results["results"] if ran["execution_time"] and ran["unique_id"].startswith("model.")]
    starts, ends = [ran["started_at"] for ran in when], [ran["completed_at"] for ran in when]
    assert len(when) == 3
    assert all(a < b <= c for a, b, c in zip(starts, ends, [*starts[1:], "9"], strict=True)), "one after another"
    assert manifest["nodes"]["model.tiny.answers"]["depends_on"]["nodes"] == ["seed.tiny.llms", "model.tiny.texts"]
    assert manifest["parent_map"]["model.tiny.counts"] == ["model.tiny.answers"]


def test_result_selects_what_failed_last_time(project: Project) -> None:
    project.replace("models/counts.sql", "count(*) as n", "error('boom') as n")
    project.run("build")
    assert project.run("ls", "-s", "result:error").out.split() == ["counts"]


def test_state_selects_what_is_stale_and_what_was_changed(project: Project) -> None:
    assert "answers" in project.run("ls", "-s", "state:unbuilt").out
    project.run("build")
    project.replace("models/counts.sql", "count(*) as n", "count(*) + 0 as n")
    assert project.run("ls", "-s", "state:modified").out.split() == ["counts"]
    project.replace("models/texts.sql", "limit", "order by 1 limit")
    assert project.run("ls", "-s", "state:stale").out.split() == ["texts", "answers", "counts"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_keeps_every_answer_and_exits_130(project: Project, number: signal.Signals) -> None:
    project.replace(
        "udfs/ask.py",
        "        for payload in payloads:",
        "        import asyncio\n        for payload in payloads:\n            await asyncio.sleep(1.0)",
    )
    project.replace("udfs/ask.py", "max_concurrency=4", "max_concurrency=1")
    command = [sys.executable, "-m", "bclust", "build"]
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # where the tests run under nohup, a child would ignore it, too
    process = subprocess.Popen(
        command, cwd=project.root, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    signal.signal(signal.SIGHUP, before)
    until = time.monotonic() + 30
    while not (project.root / ".bclust").exists() and time.monotonic() < until:
        time.sleep(0.05)
    while not project.asked and time.monotonic() < until:
        time.sleep(0.05)
        if process.poll() is not None:
            break
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert "go on with the same command" in err
    paid = len(project.asked)
    assert 0 < paid < 6
    outcome = project.run("build")
    assert f"calls {6 - paid} new, {paid} cached" in done(outcome.err)


@pytest.mark.parametrize("format_", ["csv", "json", "parquet"])
def test_sql_writes_files(project: Project, format_: str) -> None:
    project.run("build")
    path = project.root / f"out.{format_}"
    assert project.run("sql", "from counts order by llm_id", "--format", format_, "-o", str(path)).code == 0
    assert path.stat().st_size > 0


def test_show_and_sql_print_data_on_stdout_only(project: Project) -> None:
    project.run("build")
    outcome = project.run("sql", "select llm_id, n from counts order by 1", "--format", "csv")
    assert outcome.out == "llm_id,n\na,3\nb,3\n"
    assert outcome.err == ""
    assert "bad three" in project.run("show", "texts").out
    assert project.run("sql", "delete from counts").code == 1


def test_compile_names_everything_a_model_is_made_of(project: Project) -> None:
    out = project.run("compile", "answers").out
    assert "-- reads: llms, texts" in out
    assert '"greeting":"hello"' in out
    assert '"ask":"v1 ' in out


def test_clean_keeps_the_call_store(project: Project) -> None:
    project.run("build")
    project.run("clean")
    assert not (project.root / "target").exists()
    assert not (project.root / "warehouse.duckdb").is_symlink()
    assert "calls 0 new, 6 cached" in done(project.run("build").err)


@pytest.mark.parametrize(
    "pair", ["select 1 as high, 2 as low", "select 1::bigint as low, 2 as high", "select true as low, 2 as high"]
)
def test_a_column_that_changes_its_name_or_type_is_a_change(project: Project, pair: str) -> None:
    project.write(
        {"models/pair.sql": "select 1 as low, 2 as high", "models/below.sql": "select low, typeof(low) as type from pair"}
    )
    project.run("build", "-s", "below")
    project.write({"models/pair.sql": pair})
    assert project.run("build", "-s", "below").code == 0
    assert project.rows("select low, typeof(low) as type from pair") == project.rows("from below")
    [expected] = project.rows(f"select low, typeof(low) as type from ({pair})")
    assert project.rows("from below") == [expected]


def test_a_column_may_be_called_t(project: Project) -> None:
    project.write(
        {"models/pair.sql": "select 1 as t, getvariable('greeting') as word", "models/below.sql": "select word from pair"}
    )
    project.run("build", "-s", "below")
    project.replace("bclust.yml", "greeting: hello", "greeting: hey")
    project.run("build", "-s", "below")
    assert project.rows("from below") == [{"word": "hey"}]


@pytest.mark.parametrize("changed", ["one", "other"])
def test_two_models_may_fit_the_same_value(project: Project, changed: str) -> None:
    project.replace("bclust.yml", "n: 10}", "n: 10, w: 1}")
    kept = {"one": "other", "other": "one"}[changed]
    project.write(
        {
            "udfs/learn.py": """
                from bclust.functions import column
                import numpy as np
                @column("(numbers DOUBLE[]) -> STRUCT(fitted FITTED)")
                def learn(numbers):
                    return {"fitted": {"mean": np.array([np.mean(numbers)])}}
            """,
            "udfs/shifted.py": """
                from bclust.functions import scalar
                @scalar("(value DOUBLE, fitted FITTED) -> DOUBLE")
                def shifted(value, fitted):
                    return value - fitted["mean"][0]
            """,
            "models/one.sql": "select learn(list(length(text)::double order by text)).fitted as fitted from texts",
            "models/other.sql": "select learn(list(length(text)::double order by text)).fitted as fitted from texts",
            "models/applied.sql": f"select shifted(getvariable('w')::double, fitted) as x from {kept}",
        }
    )
    assert project.run("build", "-s", "applied one other").code == 0
    project.write(
        {f"models/{changed}.sql": "select learn(list(1 + length(text)::double order by text)).fitted as fitted from texts"}
    )
    assert project.run("build", "-s", changed).code == 0
    project.replace("bclust.yml", "w: 1}", "w: 2}")
    outcome = project.run("build", "-s", "applied")
    assert outcome.code == 0, outcome.err
    assert len(project.rows("from applied where x is not null")) == 1


@pytest.mark.parametrize(
    ("name", "before", "after", "expected"),
    [
        ("udfs/told.sql", "-- b'", "-- d'", "a -- dc hello"),  # behind -- , but in a text
        ("udfs/told.sql", "'a --", "'a  --", "a  -- bc hello"),  # layout, but of a text
        ("bclust.yml", "greeting: hello", "greeting: hey", "a -- bc hey"),  # a variable, named in capitals
        ("udfs/_helper.py", '"c"', '"x"', "a -- bx hello"),  # a relative import
    ],
)
def test_all_that_a_function_is_made_of_counts(project: Project, name: str, before: str, after: str, expected: str) -> None:
    project.write(
        {
            "udfs/told.sql": "create or replace macro told(x) as ('a -- b' || x || ' ' || GETVARIABLE('greeting'))",
            "udfs/_helper.py": 'LETTER = "c"\n',
            "udfs/letter.py": """
                from bclust.functions import scalar
                from ._helper import LETTER
                @scalar("(x INTEGER) -> VARCHAR")
                def letter(x):
                    return [LETTER for _ in x]
            """,
            "models/told_texts.sql": "select told(letter(1)) as text",
        }
    )
    assert project.run("build", "-s", "told_texts").code == 0
    project.replace(name, before, after)
    project.run("build", "-s", "told_texts")
    assert project.rows("from told_texts") == [{"text": expected}]


def test_a_table_macro_reads_the_ctes_and_tables_it_is_given_and_is_tracked(project: Project) -> None:
    project.write(
        {
            "udfs/longest.sql": """
                -- The longest texts (by name), as many as the variable most says.
                create or replace macro longest(units, plus := 0) as table (
                    with lengths as (select text, length(text) + plus as letters from query_table(units))
                    select * from lengths order by letters desc, text limit getvariable('most')::int
                )
            """,
            "udfs/longer.sql": "create or replace macro longer(rows_) as table select * from longest(rows_, plus := 1)",
            "models/of_cte.sql": "with loud as (select text || '!' as text from texts) select * from longer('loud')",
            "models/of_table.sql": "select * from longest('texts')",
        }
    )
    project.replace("bclust.yml", "n: 10}", "n: 10, most: 1}")
    assert project.run("build", "-s", "+of_cte +of_table").code == 0
    [first], [second] = project.rows("from of_cte"), project.rows("from of_table")
    assert first["text"] == second["text"] + "!" and first["letters"] == second["letters"] + 2
    project.replace("bclust.yml", "most: 1", "most: 2")
    assert project.run("build", "-s", "of_cte of_table").code == 0  # the variable is read by a macro that a macro calls
    assert len(project.rows("from of_cte")) == len(project.rows("from of_table")) == 2
    project.replace("udfs/longest.sql", "desc", "asc")
    assert project.run("build", "-s", "of_cte of_table").code == 0
    assert project.rows("from of_cte order by all limit 1") != [first]
    project.replace("models/of_table.sql", "'texts'", "'text'")
    assert "of_table reads 'text', which is no node" in project.run("build", "-s", "of_table").err


def test_a_data_test_runs_again_when_a_variable_it_names_changes(project: Project) -> None:
    project.write({"tests/data/short.sql": "select text from texts where length(text) > getvariable('most')"})
    project.replace("bclust.yml", "n: 10}", "n: 10, most: 20}")
    assert project.run("build").code == 0
    project.replace("bclust.yml", "most: 20", "most: 1")
    assert project.run("build").code == 1


def test_what_a_killed_build_had_made_and_not_shown_is_shown_by_the_next(project: Project) -> None:
    project.run("build")
    before = project.rows("from counts order by llm_id")
    published = (project.root / "warehouse.duckdb").resolve()
    kept = published.read_bytes()
    project.replace("models/counts.sql", "count(*) as n", "count(*) + 1 as n")
    project.run("build")
    after = project.rows("from counts order by llm_id")
    assert after != before
    (project.root / "warehouse.duckdb").resolve().write_bytes(kept)  # as if it had been killed before it published
    assert project.rows("from counts order by llm_id") == before
    outcome = project.run("build")
    assert "calls 0 new" in done(outcome.err)
    assert project.rows("from counts order by llm_id") == after
    (project.root / "warehouse.duckdb").resolve().write_bytes(b"damaged")
    project.run("build")
    assert project.rows("from counts order by llm_id") == after
