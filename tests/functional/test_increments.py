"""Tables that grow with an input: what is added is computed, what is there stays, and what fails is computed again."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.functional.test_build import done

GROWING = {
    "bclust.yml": """
        name: tiny
        vars: {greeting: hello, n: 3}
        calls: {confirm_over_usd: 5}
        sources:
          - {name: raw, files: [data/*.jsonl], required: [text]}
        seeds:
          llms:
            - {llm_id: a}
            - {llm_id: b}
    """,
    "data/texts.jsonl": "".join(f'{{"text": "t{i}"}}\n' for i in range(20)),
    "models/texts.sql": "select record->>'text' as text from raw order by source_line limit getvariable('n')",
    "models/fit.sql": "select count(*) as n, max(length(text)) as longest from texts",
    "models/placed.sql": "select text, length(text) / f.longest as place from texts cross join fit as f",
    "models/_models.yml": """
        models:
          - name: answers
            config: {materialized: incremental, grows_with: texts, unique_key: text}
            data_tests:
              - unique: {columns: [text, llm_id]}
          - name: fit
            config: {grows_with: texts, max_growth: 0.5}
          - name: placed
            config: {materialized: incremental, grows_with: texts, unique_key: [text]}
    """,
}


@pytest.fixture
def growing(project: Project) -> Project:
    return project.write(GROWING)


def grow(project: Project, before: int, after: int) -> None:
    project.replace("bclust.yml", f"n: {before}", f"n: {after}")


def test_added_rows_are_computed_alone_and_equal_those_of_a_full_build(growing: Project) -> None:
    growing.run("build")
    before = growing.rows("select * from answers order by all")
    grow(growing, 3, 4)
    plan = growing.run("plan")
    assert "2 new calls, 0 stored" in plan.out  # the 6 stored answers were not even looked up
    outcome = growing.run("build")
    assert outcome.code == 0, outcome.err
    assert "calls 2 new, 0 cached" in done(outcome.err)
    rows = growing.rows("select * from answers order by all")
    assert len(rows) == 8
    assert all(row in rows for row in before)
    growing.run("build", "--full-refresh")
    assert growing.rows("select * from answers order by all") == rows


def test_a_fit_stays_until_its_input_has_grown_by_more_than_its_limit(growing: Project) -> None:
    growing.run("build")
    grow(growing, 3, 4)
    outcome = growing.run("build")
    assert "REUSED  fit" in outcome.err
    assert "OK      placed" in outcome.err
    assert growing.rows("select n from fit") == [{"n": 3}]
    assert growing.rows("select count(*) as n from placed") == [{"n": 4}]
    grow(growing, 4, 5)
    outcome = growing.run("build")  # 5 is more than 1.5 times the 3 that it was fitted on
    assert growing.rows("select n from fit") == [{"n": 5}]
    assert growing.rows("select count(*) as n from placed") == [{"n": 5}]


def test_a_fit_is_made_again_when_asked_for(growing: Project) -> None:
    growing.run("build")
    grow(growing, 3, 4)
    growing.run("build", "--full-refresh")
    assert growing.rows("select n from fit") == [{"n": 4}]


def test_a_second_build_after_growth_reuses_all(growing: Project) -> None:
    growing.run("build")
    grow(growing, 3, 4)
    growing.run("build")
    outcome = growing.run("build")
    assert "PASS=0" in done(outcome.err)
    assert growing.run("plan", "--exit-code").code == 0


def test_a_changed_row_makes_the_table_and_the_fit_anew(growing: Project) -> None:
    growing.run("build")
    growing.replace("data/texts.jsonl", '"t1"', '"t1 but longer"')
    outcome = growing.run("build")
    assert "calls 2 new, 4 cached" in done(outcome.err)
    assert growing.rows("select longest from fit") == [{"longest": 13}]
    assert [r["text"] for r in growing.rows("select distinct text from answers order by text")] == ["t0", "t1 but longer", "t2"]


def test_rows_that_left_are_gone(growing: Project) -> None:
    growing.run("build")
    grow(growing, 3, 2)
    growing.run("build")
    assert growing.rows("select count(*) as n from answers") == [{"n": 4}]
    assert growing.rows("select n from fit") == [{"n": 2}]


@pytest.mark.parametrize(("max_growth", "moves"), [(0.5, False), (0.4, True)])
def test_failed_rows_are_computed_again_and_move_a_fit_only_where_they_are_many(
    growing: Project, max_growth: float, moves: bool
) -> None:
    """Two of six failed, so what a fit can be made on grows by half when they are answered."""
    growing.replace("data/texts.jsonl", '"t1"', '"bad"')
    (growing.root / "broken").touch()
    growing.write(
        {
            "models/fit.sql": "select count(*) as n, max(length(answer)) as longest from answers where error is null",
            "models/placed.sql": "select text, llm_id, length(answer) / f.longest as place from answers cross join fit as f where error is null",
        }
    )
    growing.replace("models/_models.yml", "grows_with: texts, max_growth: 0.5", f"grows_with: answers, max_growth: {max_growth}")
    growing.replace(
        "models/_models.yml", "grows_with: texts, unique_key: [text]", "grows_with: answers, unique_key: [text, llm_id]"
    )
    outcome = growing.run("build")
    assert "2 failed" in done(outcome.err)
    assert growing.rows("select count(*) as n from placed") == [{"n": 4}]
    (growing.root / "broken").unlink()
    outcome = growing.run("build")
    assert "calls 2 new, 0 cached, 0 failed" in done(outcome.err)
    assert ("REUSED  fit" in outcome.err) is not moves
    assert growing.rows("select n from fit") == [{"n": 6 if moves else 4}]
    assert growing.rows("select count(*) as n, count(error) as errors from answers") == [{"n": 6, "errors": 0}]
    assert growing.rows("select count(*) as n from placed") == [{"n": 6}]


def test_a_changed_row_is_seen_through_a_view(growing: Project) -> None:
    growing.write(
        {
            "models/texts.sql": "select record->>'text' as text, record->>'label' as label from raw where source_line <= 3",
            "models/seen.sql": "select text, label from texts",
            "models/labels.sql": "select text, label from seen",
        }
    )
    growing.replace(
        "models/_models.yml",
        "  - name: fit\n",
        "  - name: seen\n    config: {materialized: view}\n"
        "  - name: labels\n    config: {materialized: incremental, grows_with: seen, unique_key: text}\n  - name: fit\n",
    )
    growing.run("build")
    growing.replace("data/texts.jsonl", '{"text": "t1"}', '{"text": "t1", "label": "new"}')
    growing.run("build")
    assert growing.rows("select label from labels where text = 't1'") == [{"label": "new"}]


def test_a_failed_call_is_made_again_in_a_table_without_an_error_column(growing: Project) -> None:
    growing.replace("data/texts.jsonl", '"t1"', '"bad"')
    growing.replace("models/answers.sql", ", answer.error as error", "")
    growing.write({"models/counts.sql": "select count(*) - count(answer) as missing from answers"})
    (growing.root / "broken").touch()
    growing.run("build")
    assert growing.rows("from counts") == [{"missing": 2}]
    (growing.root / "broken").unlink()
    assert "2 new calls" in growing.run("plan").out
    assert "calls 2 new" in done(growing.run("build").err)
    assert growing.rows("from counts") == [{"missing": 0}]


def incremental(project: Project, name: str, sql: str, *, grows_with: str, key: str) -> None:
    """One more incremental model."""
    project.write({f"models/{name}.sql": sql})
    config = f"{{materialized: incremental, grows_with: {grows_with}, unique_key: {key}}}"
    project.replace("models/_models.yml", "  - name: fit\n", f"  - name: {name}\n    config: {config}\n  - name: fit\n")


def test_more_rows_of_a_key_make_a_table_anew(growing: Project) -> None:
    incremental(growing, "heard", "select text, count(*) as n from answers group by text", grows_with="answers", key="text")
    growing.run("build")
    growing.replace("bclust.yml", "- {llm_id: b}", "- {llm_id: b}\n    - {llm_id: c}")
    growing.run("build")
    assert growing.rows("select distinct n from heard") == [{"n": 3}]


def test_a_failed_row_that_succeeds_reaches_a_table_without_an_error_column(growing: Project) -> None:
    growing.replace("data/texts.jsonl", '"t1"', '"bad"')
    (growing.root / "broken").touch()
    sql = "select text, llm_id, length(answer) as n from answers"
    incremental(growing, "lengths", sql, grows_with="answers", key="[text, llm_id]")
    growing.run("build")
    assert growing.rows("select count(*) - count(n) as missing from lengths") == [{"missing": 2}]
    (growing.root / "broken").unlink()
    growing.run("build")
    assert growing.rows("select count(*) - count(n) as missing from lengths") == [{"missing": 0}]


def test_a_key_may_be_null(growing: Project) -> None:
    growing.write({"models/keys.sql": "select nullif(text, 't1') as key from texts"})
    incremental(growing, "keyed", "select key from keys", grows_with="keys", key="key")
    growing.run("build")
    grow(growing, 3, 4)
    growing.run("build")
    assert growing.rows("select count(*) as n from keyed") == [{"n": 4}]


def test_a_changed_prompt_is_no_growth(growing: Project) -> None:
    growing.run("build")
    growing.replace("bclust.yml", "greeting: hello, n: 3", "greeting: hey, n: 4")
    assert "calls 8 new" in done(growing.run("build").err)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("grows_with: texts, unique_key: text}", "grows_with: texts}", "an incremental table names the input"),
        ("grows_with: texts, unique_key: text}", "grows_with: text, unique_key: text}", "did you mean texts"),
        ("max_growth: 0.5", "max_growth: much", "max_growth is a share"),
    ],
)
def test_a_config_that_cannot_work_says_so(growing: Project, old: str, new: str, words: str) -> None:
    growing.replace("models/_models.yml", old, new)
    outcome = growing.run("build")
    assert outcome.code == 2
    assert words in outcome.err
