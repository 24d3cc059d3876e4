"""Paid calls as users make them: the real command line in processes of its own, the real SDKs, and a server that counts."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from bclust.project.literals import quote
from bclust.warehouse.database import open_published
from tests.conftest import ROOT, without_unit_tests
from tests.functional.loopback import Behavior, Counts, Loopback

KEYS = {"LOOPBACK_GPT_KEY": "planted-7f3e91c2-gpt", "LOOPBACK_CLAUDE_KEY": "planted-7f3e91c2-claude"}
PLANTED = "planted-7f3e91c2"
CONCURRENCY = 4
USD_PER_MTOK = 1000.0
SPEEDS = {"max_concurrency": CONCURRENCY, "initial_sleep_s": 0.05, "max_retries": 12, "temperature": 0, "max_tokens": 8}
PRICES = {"usd_per_mtok_in": USD_PER_MTOK, "usd_per_mtok_out": USD_PER_MTOK}
PROMPTS = "prompt_type,prompt_name,text\npersonas,poet,You are a gentle poet.\npersonas,founder,You are a restless founder.\n"
EVERYTHING = "responses approvals approval_rates response_embeddings statement_embeddings"


@dataclass
class Study:
    """A project whose language models are answered by servers of this process, one for each."""

    root: Path
    gpt: Loopback
    claude: Loopback
    embedder: Loopback

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "bclust", *arguments]

    def environment(self, keys: Mapping[str, str]) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "COLUMNS": "200"} | keys

    def run(self, *arguments: str, keys: Mapping[str, str] = KEYS) -> subprocess.CompletedProcess[str]:
        """The command line in a process of its own."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env=self.environment(keys),
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )

    def build(self, *arguments: str, keys: Mapping[str, str] = KEYS, code: int = 0) -> str:
        """What a build said."""
        outcome = self.run("build", "-y", *arguments, keys=keys)
        assert outcome.returncode == code, outcome.stderr
        return outcome.stderr

    @property
    def chats(self) -> dict[str, Counts]:
        return {"gpt": self.gpt.counts, "claude": self.claude.counts}

    def stored(self) -> set[tuple[str, str]]:
        """What is answered in the call store: language model and the texts that it was asked."""
        with sqlite3.connect(f"{(self.root / '.bclust' / 'calls.sqlite').as_uri()}?mode=ro", uri=True) as store:
            rows = store.execute("select lane, payload from answers where function = 'llm'").fetchall()
        store.close()
        return {(lane, "\n".join(m["content"] for m in json.loads(payload)["messages"])) for lane, payload in rows}

    def tables(self) -> dict[str, list[str]]:
        """All rows of all published tables, as text, in an order of their own."""
        with open_published(self.root / "warehouse.duckdb") as warehouse:
            return {name: sorted(str(row) for row in warehouse.rows(f"from {quote(name)}")) for name in warehouse.tables()}

    def responses(self) -> list[dict[str, Any]]:
        """The responses, without what tells when and how fast."""
        with open_published(self.root / "warehouse.duckdb") as warehouse:
            return warehouse.rows("select * exclude (latency_ms, responded_at) from responses order by all")


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `bclust init` hands out, with two personas."""
    folder = tmp_path_factory.mktemp("blank")
    subprocess.run(
        [sys.executable, "-m", "bclust", "init", "study"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
    )
    (folder / "study" / "seeds" / "approval_prompts.csv").write_text(PROMPTS)
    return without_unit_tests(folder / "study")


def start(stack: ExitStack, blank: Path, root: Path, gpt: Behavior, claude: Behavior | None = None, **settings: Any) -> Study:
    """A copy of the project, asking three new servers. ``settings`` are laid over those of both language models."""
    shutil.copytree(blank, root)
    first, second, third = (stack.enter_context(Loopback(behavior)) for behavior in (gpt, claude or gpt, Behavior(dimensions=4)))
    config = yaml.safe_load((root / "bclust.yml").read_text())
    config["vars"] |= {"prompt_types": ["personas"], "themes_llm": None, "judge_llm": None}
    common = SPEEDS | settings
    config["seeds"]["llms"] = [
        {"llm_id": "gpt", "provider": "openai", "model": "g", "base_url": first.url, "api_key_env": "LOOPBACK_GPT_KEY"} | common,
        {"llm_id": "claude", "provider": "anthropic", "model": "c", "base_url": second.anthropic_url}
        | {"api_key_env": "LOOPBACK_CLAUDE_KEY"}
        | common,
    ]
    config["seeds"]["embedders"] = [{"embedder": "default", "provider": "openai", "model": "e", "base_url": third.url}]
    del config["targets"], config["default_target"]
    (root / "bclust.yml").write_text(yaml.safe_dump(config, sort_keys=False))
    return Study(root, first, second, third)


@pytest.fixture(scope="module")
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@dataclass
class Clean:
    """A clean run: what the plan said, and what the build said."""

    study: Study
    plan: str
    build: str


@pytest.fixture(scope="module")
def clean(servers: ExitStack, blank: Path, tmp_path_factory: pytest.TempPathFactory) -> Clean:
    study = start(servers, blank, tmp_path_factory.mktemp("clean") / "study", Behavior(), **PRICES)
    few = ("--vars", "{n_statements: 6}")
    plan = study.run("plan", "-s", "responses approvals", *few)
    assert plan.returncode == 0, plan.stderr
    assert study.gpt.counts.requests == study.claude.counts.requests == 0
    return Clean(study, plan.stdout, study.build("-s", EVERYTHING, *few))


def test_the_plan_is_what_the_servers_then_are_asked(clean: Clean) -> None:
    study, plan = clean.study, clean.plan
    for lane, counts in study.chats.items():
        planned = sum(int(n) for n in re.findall(rf"llm {lane} +(\d+) new", plan))
        assert planned == counts.requests == counts.answered.total() == 6 + 6 * 2 * 2
    total = study.gpt.counts.requests + study.claude.counts.requests
    assert f"{total} new calls, 0 stored" in plan.splitlines()[-1]
    for table, personas in (("approvals", 4), ("responses", 1)):
        shown = plan[plan.index(f"\n~ {table} ") :].split("\n~ ")[1]
        assert re.findall(r"llm (\w+) +(\d+) new", shown) == [("claude", str(6 * personas)), ("gpt", str(6 * personas))]
    assert "0 failed" in clean.build


def test_the_price_that_is_announced_is_never_less_than_what_the_servers_book(clean: Clean) -> None:
    found = re.search(r"est\. \$([\d.,]+)$", clean.plan.splitlines()[-1])
    assert found
    likely = re.search(r"likely about \$([\d.,]+);", clean.plan)
    assert likely
    answered = sum((counts.answered for counts in clean.study.chats.values()), Counter())
    booked = sum(n * (-(-len(text) // 4) + 1) for text, n in answered.items()) * USD_PER_MTOK / 1e6
    assert booked <= float(found[1])
    assert float(likely[1]) < float(found[1]) < 10 * booked


def test_two_personas_are_two_payloads_at_the_wire(clean: Clean) -> None:
    personas = {"You are a gentle poet.", "You are a restless founder."}
    sent: dict[str, dict[str, set[str]]] = {"gpt": {}, "claude": {}}
    for body in clean.study.gpt.counts.bodies:
        [system, user] = body["messages"]
        sent["gpt"].setdefault(user["content"], set()).add(system["content"])
    for body in clean.study.claude.counts.bodies:
        [user] = body["messages"]
        sent["claude"].setdefault(user["content"], set()).add(body["system"])
    for lane in sent.values():
        approvals = {prompt: systems for prompt, systems in lane.items() if "answer with either" in prompt}
        assert len(approvals) == 6 * 2
        assert all(systems == personas for systems in approvals.values())


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_an_exported_store_rebuilds_the_same_warehouse_offline_and_without_a_key(
    clean: Clean, tmp_path: Path, suffix: str
) -> None:
    exported = tmp_path / f"answers.{suffix}"
    outcome = clean.study.run("calls", "export", str(exported))
    assert outcome.returncode == 0, outcome.stderr
    shutil.copytree(clean.study.root, tmp_path / "theirs", symlinks=True)
    theirs = Study(tmp_path / "theirs", clean.study.gpt, clean.study.claude, clean.study.embedder)
    shutil.rmtree(theirs.root / ".bclust")
    assert theirs.run("clean").returncode == 0
    assert not (theirs.root / "target").exists()
    outcome = theirs.run("calls", "import", str(exported), keys={})
    assert outcome.returncode == 0, outcome.stderr
    before = [server.counts.requests for server in (theirs.gpt, theirs.claude, theirs.embedder)]
    said = theirs.build("-s", EVERYTHING, "--offline", "--vars", "{n_statements: 6}", keys={})
    assert "calls 0 new" in said
    assert [server.counts.requests for server in (theirs.gpt, theirs.claude, theirs.embedder)] == before
    ours = clean.study.tables()
    assert {"responses", "approvals", "approval_rates", "response_embeddings"} <= ours.keys()
    assert theirs.tables() == ours


def test_four_kills_under_faults_lose_nothing_and_pay_for_nothing_twice(servers: ExitStack, blank: Path, tmp_path: Path) -> None:
    draw = random.Random()
    many = ("-s", "responses", "--vars", "{n_statements: 60}")
    undisturbed = start(servers, blank, tmp_path / "undisturbed", Behavior())
    assert "calls 120 new" in undisturbed.build(*many)

    faults = Behavior(latency_ms=(40, 120), fault_share=0.15, faults=("429", "500", "reset"), retry_after=0.1)
    study = start(servers, blank, tmp_path / "killed", faults)
    snapshots: list[tuple[set[tuple[str, str]], dict[str, Counter[str]]]] = []
    for kill in range(4):
        moment = 20 * kill + draw.randrange(1, 20)
        log = (tmp_path / f"{kill}.log").open("w")
        process = subprocess.Popen(
            study.command("build", "-y", *many), cwd=study.root, env=study.environment(KEYS), stderr=log, stdout=log
        )
        until = time.monotonic() + 60
        while sum(len(c.answered) for c in study.chats.values()) < moment and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 0.03))
        delivered = {lane: set(counts.answered) for lane, counts in study.chats.items()}
        process.send_signal(signal.SIGKILL)
        assert process.wait(30) == -signal.SIGKILL, (tmp_path / f"{kill}.log").read_text()
        log.close()
        stored = study.stored()
        for lane, texts in delivered.items():
            lost = texts - {text for stored_lane, text in stored if stored_lane == lane}
            # asked and answered, or arrived and not yet on disk: a busy machine may be killed between the two
            assert len(lost) <= 2 * CONCURRENCY, "more is lost than was under way"
        while any(counts.in_flight for counts in study.chats.values()):
            time.sleep(0.01)
        snapshots.append((stored, {lane: Counter(counts.tries) for lane, counts in study.chats.items()}))

    kept = len(snapshots[-1][0])
    assert 0 < kept < 120
    assert f"calls {120 - kept} new, {kept} cached, 0 failed" in study.build(*many)
    for stored, tries in snapshots:
        again = [text for lane, text in stored if study.chats[lane].tries[text] != tries[lane][text]]
        assert again == []
    for counts in study.chats.values():
        assert sum((counts.statuses - Counter({"200": counts.statuses["200"]})).values()) > 0, "no fault was met"
        assert counts.answered.total() - len(counts.answered) <= 4 * 2 * CONCURRENCY
    assert study.responses() == undisturbed.responses()
    assert len(study.responses()) == 120


def test_a_planted_key_is_nowhere_even_where_servers_repeat_it(
    clean: Clean, servers: ExitStack, blank: Path, tmp_path: Path
) -> None:
    repeats = Behavior(echo_headers=True, fault_share=0.3, faults=("500",))
    study = start(servers, blank, tmp_path / "repeated", repeats, Behavior(echo_headers=True, models=()))
    said = study.build("-s", "responses approvals", "--vars", "{n_statements: 4}", "-v", code=1)
    assert "does not exist" in said
    assert "[secret]" in "".join(study.run("sql", "--working", "from responses", "--format", "json").stdout)
    said += "".join(study.run("debug").stdout)
    assert "LOOPBACK_GPT_KEY: present" in said
    for suffix in ("jsonl", "parquet"):
        outcome = study.run("calls", "export", f"answers.{suffix}")
        assert outcome.returncode == 0, outcome.stderr
        said += outcome.stdout + outcome.stderr
    assert PLANTED not in said
    for root in (study.root, clean.study.root):
        assert [str(path) for path, text in contents(root) if PLANTED.encode() in text] == []


def contents(root: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file as it lies there, and once more decompressed where its format may compress."""
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        yield path, path.read_bytes()
        if path.suffix == ".parquet":
            yield path, str(pq.read_table(path).to_pylist()).encode()
        elif path.suffix == ".duckdb":
            with open_published(path) as warehouse:
                tables = warehouse.execute("select database_name, schema_name, table_name from duckdb_tables()")
                for database, schema, table in tables:
                    rows = warehouse.execute(f"from {quote(database)}.{quote(schema)}.{quote(table)}")
                    yield path, str(rows).encode()
        elif path.suffix == ".sqlite":
            store = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
            yield path, "\n".join(str(store.execute(f"select * from {t}").fetchall()) for t in ("answers", "errors")).encode()
            store.close()


def test_a_missing_key_names_its_variable_and_stops_no_other_language_model(
    servers: ExitStack, blank: Path, tmp_path: Path
) -> None:
    study = start(servers, blank, tmp_path / "study", Behavior())
    keys = {"LOOPBACK_GPT_KEY": KEYS["LOOPBACK_GPT_KEY"]}
    said = study.build("-s", "responses", "--vars", "{n_statements: 6}", keys=keys, code=1)
    assert "LOOPBACK_CLAUDE_KEY" in said
    assert study.claude.counts.requests == 0
    assert study.gpt.counts.answered.total() == 6
    assert "6 new" in said.splitlines()[-1] or "calls 6 new" in said
    again = study.build("-s", "responses", "--vars", "{n_statements: 6}")
    assert "calls 6 new, 6 cached, 0 failed" in again


def test_a_maximal_cost_is_never_passed_and_nearly_used(servers: ExitStack, blank: Path, tmp_path: Path) -> None:
    most = 1.5
    faults = Behavior(latency_ms=(5, 30), fault_share=0.15, faults=("429", "500", "reset"), retry_after=0.05)
    study = start(servers, blank, tmp_path / "study", faults, **PRICES)
    limited = ("-s", "responses", "--vars", "{n_statements: 30}", "--max-cost", str(most))
    said = study.build(*limited, code=1)
    assert "the budget is used up" in said
    answered = sum((counts.answered for counts in study.chats.values()), Counter())
    # tokens as the server counts them; "Yes." and "No." are one
    tokens = sum(n * (-(-len(text) // 4) + 1) for text, n in answered.items())
    dearest = max(len(text.encode()) for text in answered) + 24 + SPEEDS["max_tokens"]
    assert most - (1 + CONCURRENCY) * dearest * USD_PER_MTOK / 1e6 < tokens * USD_PER_MTOK / 1e6 <= most
    n = answered.total()
    assert f"calls {n} new, 0 cached" in said
    assert f"calls {60 - n} new, {n} cached, 0 failed" in study.build(*limited[:-2])
