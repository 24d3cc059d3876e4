"""The sentences of the table `findings`, read back: each equals its row, its row is what was tested, and the reports say just them.

Over two warehouses: the demo, built from the starter, and one of synthetic answers, which also has warnings, groups of
near-duplicates and what is not shown.
"""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bclust.warehouse.database import open_published
from tests.browser.make_warehouse import Shape, make_warehouse
from tests.conftest import ROOT

SHARE = r"(?:[<>] )?[\d.]+ %"
POINTS = r"[+-][\d.]+"
AGAINST_REST = ("approval_differences", "approval_agreement", "llm_differences", "answered_differences")
PROBLEMS = {
    "of its responses say nothing": "empty_responses",
    "of its answers on approval say nothing": "empty_approvals",
    "of its answers on approval are cut": "cut_off_approvals",
    "of its answers on approval could not be read": "unreadable_approvals",
    "of its answers on approval are refusals": "refused_approvals",
    "of its responses are refusals": "refused_responses",
    "of its responses are cut": "cut_off_responses",
    "of its calls for approval failed": "failed_approvals",
    "of its calls for a response failed": "failed_responses",
}


@dataclass(frozen=True)
class Built:
    """A warehouse and its sentences."""

    path: Path
    findings: list[dict[str, Any]]

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Rows of the warehouse."""
        with open_published(self.path) as warehouse:
            return warehouse.rows(sql)

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The sentences of one kind."""
        return [row for row in self.findings if row["kind"] == kind]


def built(path: Path) -> Built:
    """A warehouse with its sentences read, the keys of their rows among them."""
    with open_published(path) as warehouse:
        findings = warehouse.rows("from findings order by position")
    return Built(path, [row | {"key": json.loads(row["key"])} for row in findings])


@pytest.fixture(scope="module")
def demo(starter: Path) -> Built:
    return built((starter / "warehouse.duckdb").resolve())


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return built(make_warehouse(tmp_path_factory.mktemp("synthetic") / "warehouse.duckdb", Shape(n_statements=120)))


@pytest.fixture(params=["demo", "synthetic"])
def study(request: pytest.FixtureRequest) -> Built:
    """Each of the two."""
    found: Built = request.getfixturevalue(request.param)
    return found


# --- numbers ---------------------------------------------------------------------------------------------------


def says(printed: str, value: float, unit: float = 100) -> bool:
    """Whether a printed number is this value, to its last digit: "9.6 %", "> 99 %", "+8.6", "0.012"."""
    number = printed.removesuffix(" %")
    if number.startswith("< "):
        return unit * value < float(number[2:])
    if number.startswith("> "):
        return unit * value > float(number[2:])
    half = 0.5 * 10.0 ** -len(number.partition(".")[2])
    return abs(float(number) - unit * value) <= half + 1e-9


def evidence(text: str, row: dict[str, Any]) -> str:
    """Check q, statements and groups in a sentence; returns it without them."""
    found = re.search(r"q (?:< 0\.001|= ([\d.]+)), n = ([\d,]+) statements(?: that count as ([\d,]+))?", text)
    assert found, text
    q, statements, groups = found.groups()
    assert says(q, row["q_value"], 1) if q else row["q_value"] < 0.001
    assert int(statements.replace(",", "")) == row["n_statements"]
    assert int((groups or statements).replace(",", "")) == row["n_groups"]
    return text.replace(found[0], "")


def test_each_number_of_a_difference_is_that_of_its_row(study: Built) -> None:
    assert study.of("difference")
    for row in study.of("difference"):
        rest = evidence(row["detail"], row)
        if row["table"] == "llm_distances":
            found = re.search(r"AUC ([\d.]+) \(([\d.]+) to ([\d.]+)\) of guessing who wrote a response \(0\.5 is chance\)", rest)
            assert found, row["text"]
            expected = (row["value"], row["ci_low"] + 0.5, row["ci_high"] + 0.5)
            assert all(says(p, v, 1) for p, v in zip(found.groups(), expected, strict=True)), row["text"]
        else:
            found = re.search(rf"({SHARE}) against ({SHARE}) of .*?: ({POINTS}) points \(({POINTS}) to ({POINTS})\)", rest)
            assert found, row["text"]
            expected = (row["value"], row["others"], row["estimate"], row["ci_low"], row["ci_high"])
            assert all(says(p, v) for p, v in zip(found.groups(), expected, strict=True)), row["text"]
            assert row["estimate"] == pytest.approx(row["value"] - row["others"])
        rest = reservations(study, rest.replace(found[0], ""), row)
        assert not re.search(r"\d", rest), f"a number that is not of the row: {row['text']}"
        assert row["ci_low"] > 0 or row["ci_high"] < 0


def reservations(study: Built, text: str, row: dict[str, Any]) -> str:
    """Check what a sentence adds to its evidence against the candidate that it is made from; returns what is left."""
    candidate = candidate_of(study, row)
    if prompts := re.search(r"the same way in (\d+) of (\d+) prompts", text):
        assert [int(n) for n in prompts.groups()] == [candidate["n_prompts_same"], candidate["n_prompts"]]
        text = text.replace(prompts[0], "")
    if bounds := re.search(
        rf"({SHARE}) of its answers decide, ({SHARE}) of the others: had all decided, anything from ({POINTS}) to ({POINTS}) points",
        text,
    ):
        below, above = row["estimate"] - row["ci_low"], row["ci_high"] - row["estimate"]
        expected = (
            candidate["answered"], candidate["answered_others"],
            max(-1.0, candidate["bound_low"] - below), min(1.0, candidate["bound_high"] + above),
        )  # fmt: skip
        assert all(says(p, v) for p, v in zip(bounds.groups(), expected, strict=True)), row["text"]
        text = text.replace(bounds[0], "")
    elif candidate["answered"] is not None:
        assert min(candidate["answered"], candidate["answered_others"]) >= 0.8
        assert abs(candidate["answered"] - candidate["answered_others"]) <= 0.05 + 1e-9
    if pairs := re.search(r"so can (one|\d+) other pairs?", text):
        others = study.rows(
            "select count(*) as n from finding_candidates where \"table\" = 'llm_distances' and verdict = 'differs'"
        )
        assert (1 if pairs[1] == "one" else int(pairs[1])) == others[0]["n"] - 1
        text = text.replace(pairs[0], "")
    assert candidate["may_be_yes_saying"] or "a tendency to say yes" not in text
    return text


def candidate_of(study: Built, row: dict[str, Any]) -> dict[str, Any]:
    """The row of finding_candidates behind a sentence."""
    key = {k: row["key"][k] for k in ("unit", "llm_id", "other_llm", "prompt_type", "prompt_name")}
    where = " and ".join(f"{k} is not distinct from {sql(v)}" for k, v in {'"table"': row["table"], **key}.items())
    [candidate] = study.rows(f"from finding_candidates where {where}")
    return candidate


def sql(value: str | None) -> str:
    return "null" if value is None else "'" + value.replace("'", "''") + "'"


def test_each_share_of_a_warning_is_that_of_its_row(study: Built) -> None:
    problems = {row["llm_id"]: row for row in study.rows("from answer_problems")}
    assert {row["key"]["llm_id"] for row in study.of("warning")} == set(problems)
    for row in study.of("warning"):
        found = re.findall(rf"({SHARE}) (of its [^;.]*)", row["text"])
        assert found, row["text"]
        for share, phrase in found:
            [column] = [c for words, c in PROBLEMS.items() if phrase.startswith(words)]
            assert says(share, problems[row["key"]["llm_id"]][column]), row["text"]


def test_what_is_not_shown_is_said_with_its_interval(synthetic: Built) -> None:
    [row] = synthetic.of("none")
    assert row["verdict"] == "not shown"
    assert "are not shown to tell" in row["title"]
    rest = evidence(row["detail"], row)
    auc, low, high = re.search(r"AUC ([\d.]+) \(([\d.]+) to ([\d.]+)\)", rest).groups()  # type: ignore[union-attr]
    assert says(auc, row["value"], 1)
    assert says(low, row["ci_low"] + 0.5, 1)
    assert says(high, row["ci_high"] + 0.5, 1)


# --- direction -------------------------------------------------------------------------------------------------


def the_tested_row(study: Built, row: dict[str, Any]) -> dict[str, Any]:
    """The row of the tested table that a sentence is about."""
    key = row["key"]
    if row["table"] in AGAINST_REST:
        where = f'"table" = {sql(row["table"])} and unit = {sql(key["unit"])} and llm_id = {sql(key["llm_id"])}'
        [found] = study.rows(f"from llm_against_rest where {where}")
    elif row["table"] == "prompt_against_rest":
        where = " and ".join(f"{k} = {sql(key[k])}" for k in ("unit", "llm_id", "prompt_type", "prompt_name"))
        [found] = study.rows(f"from prompt_against_rest where {where}")
    else:
        assert row["table"] == "llm_distances"
        pair = f"({sql(key['llm_id'])}, {sql(key['other_llm'])})"
        [found] = study.rows(
            f"select *, separability - 0.5 as difference from llm_distances where llm_a in {pair} and llm_b in {pair}"
        )
    return found


def test_words_of_direction_agree_with_what_was_tested(study: Built) -> None:
    for row in study.of("difference"):
        difference = the_tested_row(study, row)["difference"]
        assert difference == pytest.approx(row["estimate"]), row["text"]
        words = {word.lower() for word in re.findall(r"\b([Mm]ore|[Ll]ess)\b", row["title"])}
        if row["table"] == "llm_distances":
            assert not words
            assert "can be told apart" in row["title"]
            assert difference > 0
        else:
            assert words == {"more" if difference > 0 else "less"}, row["text"]
        assert row["key"]["llm_id"] in row["title"]


def test_who_else_shows_it_shows_it_the_same_way(demo: Built) -> None:
    named = [(row, found[1]) for row in demo.of("difference") if (found := re.search("likewise (.*)\\.$", row["detail"]))]
    assert named
    for row, llms in named:
        for llm in llms.split(", "):
            other = candidate_of(demo, row | {"key": row["key"] | {"llm_id": llm}})
            assert other["verdict"] == "differs"
            assert (other["difference"] > 0) == (row["estimate"] > 0)


def test_statements_to_read_are_of_the_behavior(study: Built) -> None:
    behaviors = {row["statement_id"]: row["behavior"] for row in study.rows("from statements")}
    for row in study.of("difference"):
        assert len(row["statement_ids"]) <= 3
        if row["key"]["unit"] in behaviors.values():
            assert {behaviors[s] for s in row["statement_ids"]} == {row["key"]["unit"]}, row["text"]


# --- names of clusters -----------------------------------------------------------------------------------------


def test_each_word_of_a_headline_stands_in_half_of_what_was_tested(demo: Built) -> None:
    headlines = [row for row in demo.of("difference") if row["table"] == "llm_differences"]
    assert headlines
    for row in headlines:
        key = row["key"]
        texts = demo.rows(
            "select r.response from comparison_clusters as c inner join responses as r using (statement_id, llm_id, sample) "
            f"where c.half = 'test' and c.clustering = {sql(key['clustering'])} and c.cluster_id = {key['cluster_id']}"
        )
        words = [set(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text["response"].lower())) for text in texts]
        name = re.search("“(.*)”", row["title"])
        assert name, row["title"]
        for word in name[1].lower().split(", "):
            assert sum(word in found for found in words) >= len(words) / 2, f"{word} in {row['title']}"


# --- reports ---------------------------------------------------------------------------------------------------


def export(study: Built, out: Path) -> str:
    """A report as a file."""
    kind = out.suffix.removeprefix(".")
    command = [
        sys.executable,
        str(ROOT / "reports" / "export.py"),
        "--warehouse",
        str(study.path),
        "--out",
        str(out),
        "--format",
        kind,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out.read_text(encoding="utf-8")


def test_the_short_text_says_these_sentences_and_no_others(study: Built, tmp_path: Path) -> None:
    text = export(study, tmp_path / "findings.md")
    said = [line[2:].replace("**", "") for line in text.splitlines() if line.startswith("- ")]
    assert [re.sub(r"\\(.)", r"\1", line).replace("&lt;", "<") for line in said] == [row["text"] for row in study.findings]


def test_the_page_says_these_sentences_and_no_others(study: Built, tmp_path: Path) -> None:
    text = export(study, tmp_path / "report.html")
    lists = re.findall(r'<ul class="findings [a-z]+">(.*?)</ul>', text, re.DOTALL)
    said = re.findall(r"<li><b>(.*?)</b> <span>(.*?)</span>", "".join(lists))
    assert [html.unescape(f"{title} {detail}".strip()) for title, detail in said] == [row["text"] for row in study.findings]
