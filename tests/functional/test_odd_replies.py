"""All kinds of odd replies, of both interfaces, in one build: each costs its own rows, and no more than it must."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bclust.warehouse.database import open_published
from tests.conftest import ROOT, without_unit_tests
from tests.functional.odd_replies import KINDS, YES, OddServer

INTERFACES = ("openai", "anthropic")
LANES = [(i, k) for k, odd in KINDS.items() for i in INTERFACES if odd.only in ("", i)]
STATEMENTS = 2
REPLIES = {name: lambda good, _, reply=odd.reply: reply(good) for name, odd in KINDS.items()}


@dataclass
class Built:
    """What two builds said, and what the server was asked in each."""

    said: tuple[str, str]
    asked: tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]
    rows: dict[str, list[dict[str, Any]]]


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bclust", *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT), "ODD_KEY": "none", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("odd")
    assert _run(folder, "init", "study").returncode == 0
    root = without_unit_tests(folder / "study")
    config = yaml.safe_load((root / "bclust.yml").read_text())
    config["vars"] |= {"n_statements": STATEMENTS, "themes_llm": None, "judge_llm": None}
    common = {
        "api_key_env": "ODD_KEY", "initial_sleep_s": 0.01, "max_retries": 3, "max_wait_s": 3, "max_concurrency": 2, "max_tokens": 8,
        "temperature": 0, "usd_per_mtok_in": 1, "usd_per_mtok_out": 1,
    }  # fmt: skip
    with OddServer(REPLIES) as openai, OddServer(REPLIES) as anthropic:
        urls = {"openai": openai.url, "anthropic": anthropic.anthropic_url}
        config["seeds"]["llms"] = [
            {"llm_id": f"{interface} {kind}", "provider": interface, "model": kind, "base_url": urls[interface]} | common
            for interface, kind in [*LANES, *((i, "good") for i in INTERFACES)]
        ]
        del config["targets"], config["default_target"]
        (root / "bclust.yml").write_text(yaml.safe_dump(config, sort_keys=False))
        said, asked = [], []
        for _ in range(2):
            openai.asked, anthropic.asked = {}, {}
            outcome = _run(root, "build", "-y", "-s", "responses")
            said.append(outcome.stderr)
            asked.append({f"{i} {k}": n for i, s in (("openai", openai), ("anthropic", anthropic)) for k, n in s.asked.items()})
        rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
        with open_published(root / "warehouse.duckdb") as warehouse:
            for row in warehouse.rows("from responses"):
                rows[row["llm_id"]].append(row)
        yield Built((said[0], said[1]), (asked[0], asked[1]), rows)


def test_there_are_sixty_kinds_and_more() -> None:
    assert len(KINDS) >= 60


def test_no_build_ends_in_a_traceback_and_the_good_ones_end_well(built: Built) -> None:
    for said in built.said:
        assert "Traceback" not in said, said
        assert re.search(r"Done\. ", said), said
    for interface in INTERFACES:
        rows = built.rows[f"{interface} good"]
        assert len(rows) == STATEMENTS
        assert {row["response"] for row in rows} == {YES}
        assert [*built.asked[0][f"{interface} good"].values()] == [1] * STATEMENTS


@pytest.mark.parametrize(("interface", "kind"), LANES)
def test_an_odd_reply_has_its_answer_or_its_sentence_and_is_paid_at_most_twice(built: Built, interface: str, kind: str) -> None:
    odd, name = KINDS[kind], f"{interface} {kind}"
    rows = built.rows[name]
    assert len(rows) == STATEMENTS
    for row in rows:
        assert row["response"] == odd.text, row
        assert (odd.says in row["error"]) if odd.text is None else row["error"] is None, row
    for asked in built.asked:
        assert max(asked.get(name, {"": 0}).values()) <= odd.most
    assert (name in built.asked[1]) == (odd.text is None), "a rebuild asks what failed, and nothing else"
