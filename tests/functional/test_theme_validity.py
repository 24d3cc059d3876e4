"""Themes and their judge at the wire: one server names clusters and judges the names, and sees nothing but the requests."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bclust.warehouse.database import open_published
from tests.conftest import ROOT, without_unit_tests
from tests.functional.loopback import Loopback

TOPICS = {
    "tide": ["harbor", "anchor", "sail", "tide", "rudder"],
    "orchard": ["apple", "orchard", "pear", "blossom", "cider"],
    "forge": ["anvil", "hammer", "furnace", "forge", "ingot"],
    "choir": ["soprano", "hymn", "choir", "organ", "psalm"],
    "glacier": ["icicle", "glacier", "frost", "snowdrift", "blizzard"],
    "bakery": ["yeast", "dough", "bakery", "crust", "oven"],
}
TOPIC_OF = {word: topic for topic, words in TOPICS.items() for word in words}


class NamingServer(Loopback):
    """Names a list by the topic most of its words belong to, and judges by whether a text has a word of the named topic.

    ``next_topic``: it names every list after the next topic instead, as a namer would that understood nothing.
    """

    def __init__(self, *, next_topic: bool = False) -> None:
        super().__init__()
        self.next_topic = next_topic

    def _answer(self, path: str, body: dict[str, Any], echo: str | None) -> dict[str, Any]:
        answer = super()._answer(path, body | {"logprobs": False}, echo)
        prompt = body["messages"][-1]["content"]
        answer["choices"][0]["message"]["content"] = (
            self._judged(prompt) if "Belongs (yes / no):" in prompt else self._named(prompt)
        )
        return answer

    def _named(self, prompt: str) -> str:
        topics = list(TOPICS)
        [(topic, _)] = Counter(topics_in(prompt.split("For contrast", maxsplit=1)[0])).most_common(1)
        if self.next_topic:
            topic = topics[(topics.index(topic) + 1) % len(topics)]
        return f"1. About the {topic} (1, 2, 3)"

    def _judged(self, prompt: str) -> str:
        theme, text = re.findall(r"Theme: (.*)\nText: (.*)\n", prompt)[0]
        return "Yes." if set(topics_in(theme)) & set(topics_in(text)) else "No."


def topics_in(text: str) -> list[str]:
    return [TOPIC_OF[word] for word in re.findall(r"[a-z]+", text.lower()) if word in TOPIC_OF]


def project(folder: Path, url: str) -> Path:
    """The starter with statements on six topics, and one served language model that names and judges."""
    draw = random.Random(5)
    command = [sys.executable, "-m", "bclust", "init", "study"]
    subprocess.run(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, timeout=1200)
    study = without_unit_tests(folder / "study")
    for path in (study / "seeds" / "statements").glob("*.jsonl"):
        path.unlink()
    for topic, words in TOPICS.items():
        records = [{"statement": " ".join(draw.sample(words, 3)) + f" number {i}"} for i in range(40)]
        (study / "seeds" / "statements" / f"{topic}.jsonl").write_text("\n".join(map(json.dumps, records)))
    text = (study / "bclust.yml").read_text()
    text = re.sub(
        r"- \{llm_id: namer.*", f"- {{llm_id: namer, provider: openai, model: m, base_url: '{url}', role: helper}}", text
    )
    text = text.replace("min_clusters: 10", "min_clusters: 6").replace("n_clusters_ratio: 0.04", "n_clusters_ratio: 0.025")
    (study / "bclust.yml").write_text(text)
    return study


def validities(folder: Path, *, next_topic: bool) -> tuple[list[tuple[str, float, float, float]], str]:
    """Name, validity and interval of each cluster of statements, and what the build said."""
    with NamingServer(next_topic=next_topic) as server:
        study = project(folder, server.url)
        command = [
            sys.executable,
            "-m",
            "bclust",
            "build",
            "-s",
            "statement_cluster_themes",
            "-y",
            "--vars",
            "{n_statements: null}",
        ]
        outcome = subprocess.run(
            command,
            cwd=study,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        prompts = [body["messages"][-1]["content"] for body in server.counts.bodies]
    judged = [p for p in prompts if "Belongs (yes / no):" in p]
    assert judged
    assert not any("For contrast" in p or "Briefly list" in p for p in judged)  # the judge sees the theme and one text alone
    with open_published(study / "warehouse.duckdb") as warehouse:
        rows = warehouse.execute(
            "select statement_theme, theme_validity, validity_low, validity_high from statement_cluster_themes where clustering = 'main'"
        )
    return rows, outcome.stderr


def test_validity_at_the_wire_is_near_one_for_planted_themes(tmp_path: Path) -> None:
    rows, said = validities(tmp_path, next_topic=False)
    assert len(rows) == 6
    assert all(name.startswith("About the ") for name, *_ in rows)
    assert sum(validity for _, validity, _, _ in rows) / len(rows) > 0.9
    assert all(low <= validity <= high for _, validity, low, high in rows)
    assert "a_name_of_statements_is_made_of_them" not in said


def test_validity_at_the_wire_is_near_one_half_for_names_of_other_clusters(tmp_path: Path) -> None:
    rows, said = validities(tmp_path, next_topic=True)
    assert len(rows) == 6
    assert sum(validity for _, validity, _, _ in rows) / len(rows) == pytest.approx(
        0.45, abs=0.1
    )  # a stranger may be of the named topic
    assert not any(low > 0.5 for _, _, low, _ in rows)
    assert not any(name.startswith("About the ") for name, *_ in rows)  # no judge confirms them: words take their place
    assert "a_name_of_statements_is_made_of_them" not in said
