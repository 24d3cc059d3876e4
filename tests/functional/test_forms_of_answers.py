"""Every form of thoughts, refusals by filters and missing system roles, of every provider, in one build."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bclust.warehouse.database import open_published
from tests.conftest import ROOT, without_unit_tests
from tests.functional.forms_of_answers import FORMS
from tests.functional.odd_replies import OddServer

INTERFACES = ("openai", "anthropic")
LANES = [(i, name) for name, form in FORMS.items() for i in INTERFACES if form.only in ("", i)]
RECORDED = [name for name, form in FORMS.items() if form.text is not None]
REPLIES = {name: form.reply for name, form in FORMS.items()}
SYSTEM = "You are an honest person."

Rows = dict[str, list[dict[str, Any]]]


def _run(root: Path, *arguments: str, code: int | None = None) -> str:
    outcome = subprocess.run(
        [sys.executable, "-m", "bclust", *arguments],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(ROOT), "A_KEY": "none", "COLUMNS": "400"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )
    assert code is None or outcome.returncode == code, outcome.stderr
    return outcome.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Rows]]:
    """Tables by name and language model."""
    folder = tmp_path_factory.mktemp("forms")
    _run(folder, "init", "study", code=0)
    root = without_unit_tests(folder / "study")
    (root / "seeds" / "approval_prompts.csv").write_text(f"prompt_type,prompt_name,text\npersonas,honest,{SYSTEM}\n")
    config = yaml.safe_load((root / "bclust.yml").read_text())
    config["vars"] |= {"n_statements": 1, "themes_llm": None, "judge_llm": None, "prompt_types": ["personas"]}
    config["vars"] |= {"statements_system_message": "Say what you think."}
    common = {"api_key_env": "A_KEY", "initial_sleep_s": 0.01, "max_tokens": 8, "usd_per_mtok_in": 1, "usd_per_mtok_out": 2}
    del config["targets"], config["default_target"]
    with OddServer(REPLIES) as openai, OddServer(REPLIES) as anthropic:
        urls = {"openai": openai.url, "anthropic": anthropic.anthropic_url}
        llms = [
            {"llm_id": f"{interface} {name}", "provider": interface, "model": name, "base_url": urls[interface], **common}
            for interface, name in LANES
        ]
        llms += [
            {"llm_id": f"recorded {name}", "provider": "recorded", "files": [f"{name}.jsonl"], "llm": "x"} for name in RECORDED
        ]
        config["seeds"]["llms"] = [{"llm_id": "first", "provider": "simulated", "model": "cautious"}]
        (root / "bclust.yml").write_text(yaml.safe_dump(config, sort_keys=False))
        _run(root, "build", "-s", "responses approvals", code=0)
        asked = _tables(root)
        for name in RECORDED:
            _record(root / f"{name}.jsonl", name, asked)
        config["seeds"]["llms"] = llms
        (root / "bclust.yml").write_text(yaml.safe_dump(config, sort_keys=False))
        _run(root, "build", "-y", "-s", "responses approvals")
        yield _tables(root)


def _tables(root: Path) -> dict[str, Rows]:
    with open_published(root / "warehouse.duckdb") as warehouse:
        tables: dict[str, Rows] = {}
        for table in ("responses", "approvals"):
            for row in warehouse.rows(f"from {table}"):
                tables.setdefault(table, {}).setdefault(row["llm_id"], []).append(row)
    return tables


def _record(path: Path, name: str, asked: dict[str, Rows]) -> None:
    """The same answer to all that is asked, as a file."""
    finish = "length" if FORMS[name].cut_off and "stopped" not in name else "stop"
    rows = [row for table in asked.values() for rows in table.values() for row in rows]
    lines = [
        {"prompt": row["prompt"], "system": row["system_message"], "response": FORMS[name].text, "finish_reason": finish}
        for row in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_there_are_more_than_thirty_forms() -> None:
    assert len(FORMS) > 30


@pytest.mark.parametrize(("provider", "name"), [*LANES, *(("recorded", name) for name in RECORDED)])
def test_a_form_is_parted_and_decided_as_it_is_meant(built: dict[str, Rows], provider: str, name: str) -> None:
    form, llm = FORMS[name], f"{provider} {name}"
    for row in built["approvals"][llm]:
        decision = form.decision
        if decision in ("approved", "disapproved") and row["wording"] == "object":
            decision = "disapproved" if decision == "approved" else "approved"
        assert row["decision"] == decision, row
        if form.error:
            assert form.error in row["error"]
            continue
        assert (row["error"], row["answer"], row["reasoning"]) == (None, form.answer, form.reasoning), row
        assert (row["cut_off"], row["system_folded"]) == (form.cut_off, form.folded), row
        assert row["cost_usd"] is not None
        assert form.reasoning is None or row["p_approve"] is None
    if form.error is None:
        for row in built["responses"][llm]:
            assert (row["error"], row["response"], row["reasoning"]) == (None, form.answer, form.reasoning), row
            assert row["system_folded"] == form.folded


def test_what_a_server_counts_and_says_of_itself_is_in_columns(built: dict[str, Rows]) -> None:
    [row] = built["responses"]["openai reasoning_content"]
    assert (row["served_model"], row["reasoning_tokens"]) == ("reasoning_content", 7)
    assert row["reasoning_usd"] == pytest.approx(7 * 2 / 1e6)
    assert built["responses"]["anthropic think"][0]["served_model"] == "think"
    assert built["responses"]["recorded think"][0]["served_model"] is None
