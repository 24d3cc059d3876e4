"""A plan says what the build then does: after any edit, the calls that it counts are those that are made."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bclust.cli.main import main
from tests.conftest import BASE, Outcome, Project
from tests.functional.test_build import done
from tests.functional.test_increments import GROWING

STUDY = {
    **{name: text for name, text in (BASE | GROWING).items() if name not in ("models/fit.sql", "models/placed.sql")},
    "bclust.yml": """
        name: tiny
        vars: {greeting: hello, n: 3, samples: 1, tone: kind}
        calls: {confirm_over_usd: 5}
        sources:
          - {name: raw, files: [data/*.jsonl], required: [text]}
        seeds:
          llms:
            - {llm_id: a}
            - {llm_id: b}
    """,
    "seeds/personas.csv": "kind,persona,text\nasked,poet,You are a poet.\nasked,cook,You are a cook.\nspare,king,You are a king.\n",
    "udfs/greeted.sql": "create or replace macro greeted(text) as (getvariable('greeting') || ' ' || text)",
    "udfs/put.sql": "create or replace macro put(text, who) as (ask(greeted(text), who))",
    "models/prompts.sql": "select persona, text as system from personas where kind = 'asked'",
    "models/answers.sql": """
        with asked as (
            select t.text, l.llm_id, p.persona, n.sample, put(t.text || ' ' || p.system || n.sample, l.llm_id) as answer
            from texts as t cross join llms as l cross join prompts as p
            cross join (select unnest(range(getvariable('samples')::int)) as sample) as n
        )
        select text, llm_id, persona, sample, answer.text as answer, answer.error as error from asked
    """,
    "models/tones.sql": "select text, llm_id, getvariable('tone') || answer as tone from answers where error is null",
    "models/_models.yml": """
        models:
          - name: answers
            config: {materialized: incremental, grows_with: texts, unique_key: text}
          - name: tones
            config: {materialized: incremental, grows_with: answers, unique_key: [text, llm_id]}
    """,
    "models/counts.sql": "select llm_id, count(*) as n from answers group by llm_id",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Asks three texts of two language models under two personas, and is built: copied for each test."""
    root = tmp_path_factory.mktemp("built") / "study"
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        Project(root, lambda *_: Outcome(0, "", "")).write(STUDY)
        patch.setattr("sys.dont_write_bytecode", True)
        main(["build", "--project-dir", str(root)])
    assert len((root / "asked.txt").read_text(encoding="utf-8").splitlines()) == 12
    return root


@pytest.fixture
def study(built: Path, bclust: Callable[..., Outcome], tmp_path: Path) -> Project:
    shutil.copytree(built, tmp_path / "study", symlinks=True)
    return Project(tmp_path / "study", bclust)


def planned(outcome: Outcome) -> int:
    found = re.search(r"([\d,]+) new calls", outcome.out)
    assert outcome.code == 0, outcome.err
    assert found, outcome.out
    return int(found[1].replace(",", ""))


def agrees(project: Project, new: int, *arguments: str) -> Outcome:
    """Plan and build: both make so many new calls, and so says the build itself."""
    plan = planned(project.run("plan", *arguments))
    before = len(project.asked)
    outcome = project.run("build", *arguments)
    assert outcome.code == 0, outcome.err
    assert (plan, len(project.asked) - before) == (new, new)
    assert f"calls {new:,} new" in done(outcome.err)
    return outcome


def swap(file: str, old: str, new: str) -> Callable[[Project], Project]:
    return lambda project: project.replace(file, old, new)


EDITS: dict[str, tuple[Callable[[Project], object], int]] = {
    "a language model more": (swap("bclust.yml", "{llm_id: b}", "{llm_id: b}\n    - {llm_id: c}"), 6),
    "a language model fewer": (swap("bclust.yml", "- {llm_id: b}\n", "\n"), 0),
    "a language model by another name": (swap("bclust.yml", "{llm_id: b}", "{llm_id: z}"), 6),
    "a setting of a language model that asks nothing else": (swap("bclust.yml", "{llm_id: b}", "{llm_id: b, speed: 2}"), 0),
    "a persona more": (swap("seeds/personas.csv", "spare,king", "asked,king"), 6),
    "another text of a persona": (swap("seeds/personas.csv", "You are a cook", "You are a chef"), 6),
    "a persona that nobody is asked about": (swap("seeds/personas.csv", "a king", "a queen"), 0),
    "a persona fewer": (swap("seeds/personas.csv", "asked,cook", "spare,cook"), 0),
    "another template": (swap("bclust.yml", "greeting: hello", "greeting: hi"), 12),
    "another macro": (swap("udfs/greeted.sql", "|| ' ' ||", "|| ', ' ||"), 12),
    "a macro with a remark": (swap("udfs/put.sql", "as (", "as (  -- no change\n"), 0),
    "more samples": (swap("bclust.yml", "samples: 1", "samples: 2"), 12),
    "more texts": (swap("bclust.yml", "n: 3", "n: 5"), 8),
    "fewer texts": (swap("bclust.yml", "n: 3", "n: 2"), 0),
    "another text": (swap("data/texts.jsonl", '"t1"', '"T1"'), 4),
    "a text more at the end of the file, beyond n": (swap("data/texts.jsonl", '{"text": "t9"}', '{"text": "t99"}'), 0),
    "a source more, whose rows come first": (lambda p: p.write({"data/a.jsonl": '{"text": "first"}\n'}), 4),
    "a blank line in a source": (swap("data/texts.jsonl", '{"text": "t0"}\n', '{"text": "t0"}\n\n'), 0),
    "a variable below": (swap("bclust.yml", "tone: kind", "tone: cold"), 0),
    "a table that becomes a view": (
        swap("models/_models.yml", "  - name: tones", "  - name: prompts\n    config: {materialized: view}\n  - name: tones"),
        0,
    ),
    "a table that is no longer added to": (
        swap("models/_models.yml", "{materialized: incremental, grows_with: texts, unique_key: text}", "{}"),
        0,
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_the_plan_counts_what_is_asked_after(name: str, study: Project) -> None:
    edit, new = EDITS[name]
    edit(study)
    agrees(study, new)


def test_the_plan_counts_what_is_asked_after_edits_together_and_one_after_another(study: Project) -> None:
    for several, new in (
        (("a language model more", "more texts"), 3 * 2 * 5 - 12),
        (("another text of a persona", "a variable below"), 3 * 5),
        (("fewer texts", "a persona more"), None),
    ):
        for name in several:
            if name == "fewer texts":
                study.replace("bclust.yml", "n: 5", "n: 4")
            else:
                EDITS[name][0](study)
        agrees(study, 3 * 4 if new is None else new)


def test_a_view_between_hides_no_new_persona(study: Project) -> None:
    EDITS["a table that becomes a view"][0](study)
    study.run("build")
    EDITS["a persona more"][0](study)
    agrees(study, 6)


def test_the_plan_is_right_where_only_a_part_is_built_at_a_time(study: Project) -> None:
    study.replace("bclust.yml", "n: 3", "n: 4")
    agrees(study, 0, "-s", "texts")
    EDITS["another text of a persona"][0](study)
    agrees(study, 0, "-s", "prompts")
    study.replace("bclust.yml", "n: 4", "n: 5")
    agrees(study, 2 * 3 + 2 * 2 + 2 * 2, "-s", "tones")
    assert study.rows("select count(*) as n from tones") == [{"n": 20}]


def test_the_plan_is_right_with_inputs_left_as_they_are(study: Project) -> None:
    EDITS["a persona more"][0](study)
    study.replace("bclust.yml", "greeting: hello", "greeting: hi")
    agrees(study, 12, "-s", "answers", "--no-upstream")


def test_a_full_refresh_asks_what_is_not_stored_and_a_changed_persona_besides(study: Project) -> None:
    EDITS["another text of a persona"][0](study)
    assert planned(study.run("plan", "--full-refresh")) == 6
    study.run("build", "--full-refresh")
    assert len(study.asked) == 18


def test_the_plan_is_right_after_a_build_that_was_stopped(study: Project) -> None:
    EDITS["a language model more"][0](study)
    study.replace("bclust.yml", "n: 3", "n: 4")
    assert study.run("build", "--max-calls", "5").code == 1
    EDITS["another text of a persona"][0](study)
    left = planned(study.run("plan"))
    before = len(study.asked)
    study.run("build")
    assert len(study.asked) - before == left


@pytest.mark.parametrize("shown", [True, False])
def test_the_plan_is_right_while_the_table_holds_failed_calls(study: Project, shown: bool) -> None:
    if not shown:  # a table that does not say which rows failed
        study.replace("models/answers.sql", ", answer.error as error", "").replace("models/tones.sql", " where error is null", "")
    study.replace("data/texts.jsonl", '"t1"', '"bad"')
    (study.root / "broken").touch()
    assert "4 failed" in done(study.run("build").err)
    EDITS["a language model more"][0](study)
    assert planned(study.run("plan")) == 4 + 6
    (study.root / "broken").unlink()
    agrees(study, 10)
    assert study.rows("select count(*) as n, count(answer) as answered from answers") == [{"n": 18, "answered": 18}]


def test_a_table_that_stays_asks_nothing_even_where_the_store_is_gone(study: Project) -> None:
    (study.root / ".bclust" / "calls.sqlite").unlink()
    EDITS["a persona that nobody is asked about"][0](study)
    assert "= answers" in study.run("plan", "--why").out
    agrees(study, 0)


# --- macros ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("macro", "sql"),
    [
        ("put(text, who) as (ask(text, who))", "select ask(put(text, 'a').text, 'a').text as t from texts"),
        ("put(text, who) as (ask(ask(text, who).text, who))", "select put(text, 'a').text as t from texts"),
        (
            "put(rows) as table (select ask(text, 'a').text as t from query_table(rows))",
            "select ask(t, 'a').text as t from put('texts')",
        ),
    ],
)
def test_a_macro_hides_no_call_of_an_answer(study: Project, macro: str, sql: str) -> None:
    study.write(
        {"udfs/put.sql": f"create or replace macro {macro}", "models/answers.sql": sql, "models/tones.sql": "select 1 as a"}
    )
    study.replace("models/_models.yml", "{materialized: incremental, grows_with: texts, unique_key: text}", "{}")
    study.replace("models/_models.yml", "{materialized: incremental, grows_with: answers, unique_key: [text, llm_id]}", "{}")
    outcome = study.run("plan")
    assert outcome.code == 2
    assert "answer" in outcome.err
    assert "models/answers.sql" in outcome.err
    assert "split this model" in outcome.err


def test_a_table_macro_that_asks_is_counted(study: Project) -> None:
    asking = "select text, ask(text, 'a') as answer from query_table(rows)"
    study.write(
        {
            "udfs/asked.sql": f"create or replace macro asked(rows) as table ({asking})",
            "models/more.sql": "select text, answer.text as answer from asked('texts') where answer.error is null",
        }
    )
    agrees(study, 3)


# --- money -----------------------------------------------------------------------------------------------------


def test_calls_that_are_known_only_later_are_asked_about_before_they_pass_the_limit(study: Project) -> None:
    study.write({"models/more.sql": "select text, ask(answer, llm_id).text as answer from answers"})
    study.replace("bclust.yml", "greeting: hello", "greeting: hi").replace(
        "bclust.yml", "confirm_over_usd: 5", "confirm_over_usd: 0.2"
    )
    plan = study.run("plan")
    assert "calls are known when answers is built" in plan.out
    assert "not in it: calls that are known later" in plan.out
    outcome = study.run("build")
    assert outcome.code == 1
    assert "not confirmed; 12 calls of more were not made" in outcome.err
    assert len(study.asked) == 12 + 12
    assert planned(study.run("plan")) == 12  # now they are known
    assert study.run("build").code == 0  # 0.12 is below the limit
    assert len(study.asked) == 12 + 24


def test_what_was_confirmed_is_not_asked_about_again(study: Project) -> None:
    study.write({"models/more.sql": "select text, ask(answer, llm_id).text as answer from answers"})
    study.replace("bclust.yml", "greeting: hello", "greeting: hi").replace(
        "bclust.yml", "confirm_over_usd: 5", "confirm_over_usd: 0.1"
    )
    assert study.run("build", "-y").code == 0
    assert len(study.asked) == 12 + 24


def test_no_theme_is_announced_where_nobody_names_clusters(bclust: Callable[..., Outcome], tmp_path: Path) -> None:
    assert bclust(tmp_path, "init", "study").code == 0
    wanted = ("plan", "-s", "statement_cluster_themes", "--vars")
    named = bclust(tmp_path / "study", *wanted, "{n_statements: 20}").out
    assert "statement_theme_answers: at most 20 calls" in named
    assert "statement_theme_judgements: at most 480 calls" in named
    unjudged = bclust(tmp_path / "study", *wanted, "{n_statements: 20, judge_llm: null}").out
    assert "statement_theme_answers: at most 20 calls" in unjudged
    assert "statement_theme_judgements:" not in unjudged
    for nobody in ("null", "not_there"):
        plain = bclust(tmp_path / "study", *wanted, f"{{n_statements: 20, themes_llm: {nobody}}}").out
        assert "~ statement_theme_answers" in plain
        assert "at most" not in plain


def test_the_bound_of_themes_follows_the_clusterings(bclust: Callable[..., Outcome], tmp_path: Path) -> None:
    assert bclust(tmp_path, "init", "study").code == 0
    config = tmp_path / "study" / "bclust.yml"
    text = config.read_text(encoding="utf-8")
    fixed = "- {clustering: kmeans, algorithm: kmeans, n_clusters: 30}\n    - {clustering: own, algorithm: hdbscan}"
    config.write_text(text.replace("- {clustering: kmeans, algorithm: kmeans, n_clusters: auto}", fixed), encoding="utf-8")
    plan = bclust(tmp_path / "study", "plan", "-s", "statement_theme_answers", "--vars", "{n_statements: 50}")
    assert "statement_theme_answers: at most 90 calls" in plan.out  # 10 by the ratio, 30 by number, at most one each
