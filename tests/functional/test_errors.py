"""Bad projects: one error with file and line, what is wrong, what to write instead, exit code 2, nothing built."""

from __future__ import annotations

import pytest

from tests.conftest import Project

CASES = {
    "an unknown key in bclust.yml": ("bclust.yml", "vars:", "varz:", "bclust.yml:2: unknown key 'varz'", "did you mean vars?"),
    "a key that is set twice": ("bclust.yml", "name: tiny", "name: tiny\nname: other", "bclust.yml:2: 'name' is set twice", "line 1"),
    "broken YAML": ("bclust.yml", "{greeting: hello, n: 10}", "{greeting: hello", "bclust.yml:3", "not valid YAML"),
    "a model that refers to no node": ("models/counts.sql", "from answers", "from answer", "counts.sql:1:", "did you mean answers?"),
    "a cycle": ("models/texts.sql", "from raw", "from raw, counts", "cycle: ", "counts"),
    "an unknown executor": ("bclust.yml", "confirm_over_usd: 5", "executor: rai", "bclust.yml:3: unknown executor 'rai'", "did you mean ray?"),
    "a Ray setting with a typo": ("bclust.yml", "confirm_over_usd: 5", "ray_adress: auto", "bclust.yml:3: unknown key 'ray_adress'", "did you mean ray_address?"),
    "a worker without a CPU": ("bclust.yml", "confirm_over_usd: 5", "ray_cpus_per_worker: 0", "bclust.yml:3: ray_cpus_per_worker", "too few"),
    "SQL with a typo": ("models/texts.sql", "select record", "selct record", "texts.sql:2", "SQL"),
    "a column that is not there": ("models/counts.sql", "llm_id,", "llm_idd,", "counts.sql:1:8", "llm_id"),
    "an unknown function": ("models/answers.sql", "ask(", "aks(", "answers.sql:2:", "did you mean ask?"),
    "an unknown variable": ("models/texts.sql", "'n'", "'nn'", "texts.sql:2", "did you mean n?"),
    "an unknown data test": ("models/_models.yml", "- unique:", "- uniq:", "_models.yml:6", "did you mean unique?"),
    "an unknown test argument": ("models/_models.yml", "columns: [text", "colums: [text", "_models.yml:6", "did you mean columns?"),
    "properties of no model": ("models/_models.yml", "name: answers", "name: anwsers", "_models.yml:2", "did you mean answers?"),
    "a source without files": ("bclust.yml", "data/*.jsonl", "dta/*.jsonl", "bclust.yml:5", "no file matches"),
    "a hidden input": ("models/texts.sql", "from raw", "from read_csv('x.csv')", "texts.sql:2", "declare the files as a source"),
    "a call over another's answer": (
        "models/answers.sql", "select text, llm_id, answer.text", "select text, llm_id, ask(answer.text, llm_id).text",
        "answers.sql:5", "split this model",
    ),
    "a limit above a call": ("models/answers.sql", "from asked", "from asked limit 3", "answers.sql", "split this model"),
    "a random order of calls": ("models/answers.sql", "t.text ||", "random() || t.text ||", "answers.sql", "split this model"),
    "a call that falls back": ("models/answers.sql", "ask(getvariable('greeting') || ' ' || t.text, l.llm_id)", "coalesce(ask('a', 'a'), ask('b', 'b'))", "answers.sql", "split this model"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.replace(" ", "-"))
def test_a_bad_project_is_refused_before_anything_is_built(project: Project, case: str) -> None:
    name, old, new, where, hint = CASES[case]
    if case == "a random order of calls":
        old, new = "' ' || t.text", "random()::varchar || t.text"
    project.replace(name, old, new)
    outcome = project.run("build")
    assert outcome.code == 2, outcome.err
    assert where in outcome.err
    assert hint in outcome.err
    assert "Traceback" not in outcome.err
    assert not (project.root / "warehouse.duckdb").exists()
    assert project.asked == []


def test_two_models_of_one_name_are_refused(project: Project) -> None:
    project.write({"models/more/texts.sql": "select 1 as x"})
    outcome = project.run("ls")
    assert outcome.code == 2
    assert "two nodes are called texts" in outcome.err


def test_two_statements_in_one_file_are_refused(project: Project) -> None:
    project.write({"models/texts.sql": "select 1 as text; select 2 as text"})
    outcome = project.run("ls")
    assert outcome.code == 2
    assert "this file holds 2 statements" in outcome.err


def test_selecting_nothing_is_an_error_with_a_suggestion(project: Project) -> None:
    outcome = project.run("build", "-s", "anwsers")
    assert outcome.code == 1
    assert "did you mean answers?" in outcome.err


def test_an_unknown_target_is_refused(project: Project) -> None:
    outcome = project.run("build", "-t", "prod")
    assert outcome.code == 2
    assert "no target 'prod'" in outcome.err


def test_unknown_vars_are_refused(project: Project) -> None:
    outcome = project.run("build", "--vars", "{greting: hi}")
    assert outcome.code == 2
    assert "did you mean greeting?" in outcome.err


def test_outside_a_project_the_error_names_init(empty_project: Project) -> None:
    outcome = empty_project.run("build")
    assert outcome.code == 2
    assert "bclust init" in outcome.err


def test_a_view_cannot_call_python(project: Project) -> None:
    project.replace("models/_models.yml", "- name: answers", "- name: answers\n    config: {materialized: view}")
    outcome = project.run("ls")
    assert outcome.code == 2
    assert "cannot be a view" in outcome.err


def test_a_bad_value_in_a_seed_names_the_seed(project: Project) -> None:
    project.write(
        {
            "seeds/sizes.csv": "name,size\nx,1\ny,large\n",
            "seeds/seeds.yml": "seeds:\n  - name: sizes\n    columns: [{name: size, data_type: integer}]\n",
        }
    )
    outcome = project.run("build", "-s", "sizes")
    assert outcome.code == 2
    assert "seed sizes" in outcome.err and "large" in outcome.err


def test_a_seed_row_with_too_many_cells_names_its_line(project: Project) -> None:
    project.write({"seeds/sizes.csv": "name,size\nx,1,2\n"})
    outcome = project.run("ls")
    assert outcome.code == 2
    assert "sizes.csv:2: 3 cells where the header has 2" in outcome.err


def test_an_unquoted_yes_in_a_text_column_is_explained(project: Project) -> None:
    project.write({"seeds/seeds.yml": "seeds:\n  - name: llms\n    columns: [{name: llm_id, data_type: varchar}]\n"})
    outcome = project.replace("bclust.yml", "{llm_id: a}", "{llm_id: yes}").run("build")
    assert outcome.code == 2
    assert "llm_id is text, and YAML reads it as True" in outcome.err
    assert "bclust.yml:" in outcome.err


def test_a_fault_in_a_function_fails_its_table_and_names_file_and_line(project: Project) -> None:
    project.write(
        {
            "udfs/half.py": """
                '''Halves.'''
                from bclust.functions import scalar

                @scalar("(x BIGINT) -> DOUBLE")
                def half(x):
                    '''Half of it.'''
                    raise ValueError(f'no half of {x[0]}')
            """,
            "models/halves.sql": "select half(n) as h from counts",
            "models/apart.sql": "select 1 as one",
        }
    )
    outcome = project.run("build")
    assert outcome.code == 1
    assert "Traceback" not in outcome.err
    assert "the function half failed: ValueError: no half of 3" in outcome.err
    assert "half.py:7" in outcome.err
    assert "OK      apart" in outcome.err
