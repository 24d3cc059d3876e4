"""How often each kind of interval holds the expected value of what it is an interval of."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks._truth_draws import TOPICS, WORDINGS, Drawn, Llm, Study, draw, responses_about, variables
from benchmarks._truth_expected import Expected
from benchmarks._truth_lab import lab

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bclust.warehouse.database import Warehouse

    Rows = Mapping[str, Sequence[Mapping[str, Any]]]

TABLES = (
    "approval_rates", "approval_rates_by_wording", "approval_rates_by_behavior", "approval_differences", "approval_agreement",
    "statement_cluster_approvals", "statement_cluster_tree_approvals", "statement_cluster_tree", "answered_rates",
    "answered_differences", "llm_cluster_shares", "llm_differences", "llm_against_rest", "prompt_against_rest", "findings",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A way to ask under which intervals are counted."""

    name: str
    study: Study


class Interval(NamedTuple):
    """One interval, and what it should hold."""

    kind: str
    low: float | None
    high: float | None
    truth: float

    @property
    def holds(self) -> bool | None:
        """Whether it does; None where there is no interval."""
        return None if self.low is None or self.high is None else bool(self.low - 1e-9 <= self.truth <= self.high + 1e-9)


def settings() -> list[Setting]:
    """Three language models that differ in everything, asked in three ways."""
    base = {
        "a": Llm(_shows(0.30, 0.85), {"shared": 0.3, "statement": 0.3, "question": 0.4}, 0.05, 0.10, 0.05, 0.04, 0.05,
                 declines=0.05, silent=0.1, stops=0.06),
        "b": Llm(_shows(0.35, 0.70), {"shared": 0.3, "statement": 0.6, "question": 0.1}, -0.04, 0.10, 0.05, 0.04, 0.05,
                 topics=_topics(0.5), declines=0.1, silent=0.1, stops=0.06),
        "c": Llm(_shows(0.60, 0.40), {"question": 0.5, "sample": 0.5}, 0.0, 0.15, 0.08, 0.06, 0.04, topics=_topics(0.8),
                 declines=0.08, silent=0.05, stops=0.06),
    }  # fmt: skip
    grouped = {name: _grouped(llm) for name, llm in base.items()}
    twice = Study(grouped, even=False, denying=0.3, samples=2, group_sizes=(1, 2, 3))
    once = Study(grouped, even=False, denying=0.5, samples=5, wordings=WORDINGS[:1], group_sizes=(2,), declared=True)
    return [
        Setting("1 sample, 2 wordings", Study(base, even=False, denying=0.3)),
        Setting("2 samples, 2 wordings, groups of 1 to 3", twice),
        Setting("5 samples, 1 wording, declared groups of 2", once),
    ]


def _shows(first: float, last: float) -> tuple[tuple[float, float], ...]:
    """Twelve behaviors from one probability to another, a little more of it under the second prompt in every third."""
    middle = np.linspace(first, last, 12)
    return tuple((float(p), float(p) + (0.1 if b % 3 == 0 else 0.0)) for b, p in enumerate(middle))


def _topics(tilt: float) -> tuple[float, ...]:
    weights = np.linspace(1 - tilt, 1 + tilt, TOPICS)
    return tuple(float(w) for w in weights / weights.sum())


def _grouped(llm: Llm) -> Llm:
    return replace(
        llm, levels={"shared": 0.2, "group": 0.3, "statement": 0.2, "question": 0.3}, missing={"group": 0.3, "sample": 0.7}
    )


def coverage_run(job: tuple[Setting, int]) -> list[tuple[str, bool]]:
    """All intervals of one warehouse."""
    setting, seed = job
    drawn = draw(setting.study, seed)
    with lab().warehouse(drawn.tables, TABLES, **variables(setting.study, seed)) as warehouse:
        expected = Expected(setting.study, clusters_of(warehouse, seed))
        tables = {name: warehouse.rows(f'from "{name}"') for name in TABLES}
        members = composition(warehouse, drawn)
    intervals = [*of_rates(tables, expected), *of_clusters(tables, expected, members), *of_differences(tables, expected)]
    return [(interval.kind, interval.holds) for interval in intervals if interval.holds is not None]


def clusters_of(warehouse: Warehouse, seed: int) -> dict[int, list[float]]:
    """Of each cluster of responses, the share of each topic that lies in it: from fresh responses to each topic."""
    warehouse.load("fresh", responses_about(np.repeat(np.arange(TOPICS), 400), np.random.default_rng(10_000 + seed)))
    rows = warehouse.rows(
        "select assign_cluster(embedding, fitted) as cluster_id, topic, count(*) / 400 as share"
        " from fresh cross join comparison_cluster_fits group by all"
    )
    found = {int(c["cluster_id"]): [0.0] * TOPICS for c in warehouse.rows("select distinct cluster_id from comparison_clusters")}
    for row in rows:
        found.setdefault(int(row["cluster_id"]), [0.0] * TOPICS)[row["topic"]] = row["share"]
    return found


def composition(warehouse: Warehouse, drawn: Drawn) -> dict[int, np.ndarray]:
    """Of each cluster of statements, how much of it each behavior makes."""
    behavior = dict(zip(drawn.statements.ids, drawn.statements.behavior.tolist(), strict=True))
    counts: dict[int, np.ndarray] = {}
    for row in warehouse.rows("from statement_clusters"):
        counts.setdefault(row["cluster_id"], np.zeros(drawn.statements.behavior.max() + 1))[behavior[row["statement_id"]]] += 1
    return {cluster_id: n / n.sum() for cluster_id, n in counts.items()}


# --- rates -----------------------------------------------------------------------------------------------------


def of_rates(tables: Rows, expected: Expected) -> Iterator[Interval]:
    """Rates of one language model."""
    first = expected.study.wordings[:1]
    for row in tables["approval_rates"]:
        llm_id, prompt = row["llm_id"], row["prompt_name"]
        how = "wordings" if len(expected.study.wordings) > 1 else "keys"
        yield Interval(
            "approval_rates: rate", row["ci_low"], row["ci_high"], float(np.mean(expected.approves(llm_id, prompt, first)))
        )
        bias = expected.study.llms[llm_id].yes_bias
        yield Interval(f"approval_rates: yes_bias by {how}", row["yes_bias_low"], row["yes_bias_high"], bias)
        truth = expected.balanced(llm_id, prompt)
        yield Interval(f"approval_rates: balanced_rate by {how}", row["balanced_low"], row["balanced_high"], truth)
    for row in tables["approval_rates_by_wording"]:
        truth = float(np.mean(expected.approves(row["llm_id"], row["prompt_name"], [row["wording"]])))
        yield Interval("approval_rates_by_wording: rate", row["ci_low"], row["ci_high"], truth)
    for row in tables["approval_rates_by_behavior"]:
        llm_id, prompt, behavior = row["llm_id"], row["prompt_name"], row["behavior"]
        truth = expected.approves(llm_id, prompt, first)[expected.behaviors.index(behavior)]
        yield Interval("approval_rates_by_behavior: rate", row["ci_low"], row["ci_high"], truth)
        truth = expected.balanced(llm_id, prompt, behavior)
        yield Interval("approval_rates_by_behavior: balanced_rate", row["balanced_low"], row["balanced_high"], truth)
    for row in tables["answered_rates"]:
        about = {"responses": row["prompt_type"] == "responses", "prompt": row["prompt_name"]}
        truth = expected.outcome(row["llm_id"], row["outcome"], **about)
        if truth > 0:  # what cannot happen needs no interval
            yield Interval(f"answered_rates: {row['outcome']}", row["ci_low"], row["ci_high"], truth)


def of_clusters(tables: Rows, expected: Expected, members: Mapping[int, np.ndarray]) -> Iterator[Interval]:
    """Rates in clusters and in the nodes of a tree."""
    first, everything = expected.study.wordings[:1], expected.behaviors
    for row in tables["statement_cluster_approvals"]:
        llm_id, prompt, part = row["llm_id"], row["prompt_name"], members[row["cluster_id"]]
        truth = float(part @ expected.approves(llm_id, prompt, first))
        yield Interval("statement_cluster_approvals: rate", row["ci_low"], row["ci_high"], truth)
        moved = [expected.shows(llm_id, b, prompt) - expected.shows(llm_id, b, row["baseline"] or prompt) for b in everything]
        truth = float(part @ moved)
        yield Interval("statement_cluster_approvals: difference", row["difference_low"], row["difference_high"], truth)
    nodes = {row["node_id"]: row["clusters"] for row in tables["statement_cluster_tree"]}
    for row in tables["statement_cluster_tree_approvals"]:
        held = np.sum([members[c] > 0 for c in nodes[row["node_id"]]], axis=0) > 0  # behaviors are equally frequent
        truth = float(np.mean(np.array(expected.approves(row["llm_id"], row["prompt_name"], first))[held]))
        yield Interval("statement_cluster_tree_approvals: rate", row["ci_low"], row["ci_high"], truth)
    for row in tables["llm_cluster_shares"]:
        truth = expected.in_cluster(row["llm_id"], row["cluster_id"])
        yield Interval("llm_cluster_shares: share", row["ci_low"], row["ci_high"], truth)


# --- differences -----------------------------------------------------------------------------------------------


def of_differences(tables: Rows, expected: Expected) -> Iterator[Interval]:
    """Differences of two sides."""
    for row in tables["approval_differences"]:
        truth = expected.shows(row["llm_a"], row["behavior"], row["prompt_a"]) - expected.shows(
            row["llm_b"], row["behavior"], row["prompt_b"]
        )
        yield _paired("approval_differences", row, truth)
    for row in tables["approval_agreement"]:
        truth = float(
            np.mean(expected.approves(row["llm_a"], row["prompt_a"])) - np.mean(expected.approves(row["llm_b"], row["prompt_b"]))
        )
        yield _paired("approval_agreement", row, truth)
    for row in tables["answered_differences"]:
        a, b = row["llm_a"], row["llm_b"]
        about = {"outcome": row["outcome"], "responses": row["prompt_type"] == "responses", "prompt": row["prompt_name"]}
        truth = expected.outcome(a, **about) - expected.outcome(b, **about)
        if row["rate_a"] + row["rate_b"] > 0:
            yield _paired(f"answered_differences: {row['outcome']}", row, truth)
    for row in tables["llm_differences"]:
        truth = expected.in_cluster(row["llm_a"], row["cluster_id"]) - expected.in_cluster(row["llm_b"], row["cluster_id"])
        yield _paired("llm_differences", row, truth)
    for row in tables["llm_against_rest"]:
        yield _paired(f"llm_against_rest: {_about(row)}", row, expected.against_rest(row))
    for row in tables["prompt_against_rest"]:
        yield _paired(f"prompt_against_rest: {_about(row)}", row, expected.prompt_against_rest(row))
    for row in tables["findings"]:
        about = json.loads(row["key"])
        if row["kind"] != "difference" or row["table"] == "llm_distances":  # what that estimates is not declared
            continue
        truth = expected.prompt_against_rest(about) if about["prompt_name"] else expected.against_rest(about)
        yield _paired("findings: chosen", row, truth)


def _about(row: Mapping[str, Any]) -> str:
    return str(row["unit"] if row["table"] == "answered_differences" else row["table"])


def _paired(kind: str, row: Mapping[str, Any], truth: float) -> Interval:
    return Interval(kind, row["ci_low"], row["ci_high"], truth)
