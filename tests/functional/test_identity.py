"""By what an answer is stored: the language model, and neither the path of its files, nor the port of its server, nor its row."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from bclust.warehouse.database import open_published
from tests.conftest import ROOT, without_unit_tests
from tests.functional.loopback import Behavior, Loopback
from tests.unit.test_providers import tiny_llama
from udfs._weights import fingerprint, identity_of

__all__ = ["tiny_llama"]  # a fixture


class Study:
    """A project whose language models can be declared anew."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *arguments: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "bclust", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
        outcome = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True, timeout=1200, check=False
        )
        assert outcome.returncode == code, outcome.stderr
        return outcome.stdout + outcome.stderr

    def declare(self, *llms: dict[str, Any], **variables: Any) -> None:
        config = yaml.safe_load((self.root / "bclust.yml").read_text())
        for key in ("targets", "default_target"):
            config.pop(key, None)
        config["vars"] |= {"n_statements": 4, "themes_llm": None, "judge_llm": None, **variables}
        config["seeds"]["llms"] = list(llms)
        (self.root / "bclust.yml").write_text(yaml.safe_dump(config, sort_keys=False))

    def asks(self, select: str = "responses") -> str:
        """How many new calls a build says that it made."""
        return self.run("build", "-y", "-s", select).split("calls ")[-1].split(" new")[0]


@pytest.fixture
def study(tmp_path: Path) -> Study:
    subprocess.run(
        [sys.executable, "-m", "bclust", "init", "study"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True,
        capture_output=True,
    )  # fmt: skip
    return Study(without_unit_tests(tmp_path / "study"))


def test_other_weights_in_a_folder_are_asked_anew_and_the_same_elsewhere_are_not(study: Study, tiny_llama: Path) -> None:
    shutil.copytree(tiny_llama / "plain", study.root / "weights")
    row = {"llm_id": "tiny", "provider": "transformers", "model": "weights", "max_tokens": 4, "temperature": 0}
    study.declare(row)
    assert study.asks() == "4"
    assert study.asks() == "0"
    shutil.copytree(study.root / "weights", study.root / "elsewhere" / "weights")
    study.declare(row | {"model": "elsewhere/weights"})
    assert study.asks() == "0"
    study.declare(row)
    [file] = (study.root / "weights").glob("*.safetensors")
    good, other = file.read_bytes(), bytearray(file.read_bytes())
    other[-1] ^= 1
    file.write_bytes(other)
    said = study.run("plan", "-s", "responses", "--why")
    assert "files of tiny" in said
    assert "4 new calls" in said
    assert study.asks() == "4"
    file.write_bytes(good)
    assert study.asks() == "0"


def test_a_server_that_moves_is_the_same_one_where_it_is_named(study: Study) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(Loopback(Behavior())) for _ in range(2))
        row = {"llm_id": "here", "provider": "openai", "model": "m", "usd_per_mtok_in": 0, "usd_per_mtok_out": 0, "max_tokens": 8}
        study.declare(row | {"base_url": first.url})
        assert study.asks() == "4"
        study.declare(row | {"base_url": second.url, "identity": first.url})
        assert study.asks() == "0"
        study.declare(row | {"base_url": second.url, "identity": "my box"})
        assert study.asks() == "4"
        study.declare(row | {"base_url": first.url, "identity": "my box"})
        assert study.asks() == "0"
        assert (first.counts.requests, second.counts.requests) == (4, 4)


def test_a_replicate_is_asked_apart_and_its_noise_is_said(study: Study) -> None:
    with Loopback(Behavior()) as server:
        row = {
            "llm_id": "one",
            "provider": "openai",
            "model": "m",
            "base_url": server.url,
            "usd_per_mtok_in": 0,
            "usd_per_mtok_out": 0,
        }
        study.declare(row, row | {"llm_id": "same"}, prompt_types=["personas"])
        n = 4 * 4 * 2
        assert study.asks("approvals") == str(n)  # two names of one language model ask once
        study.declare(row, row | {"llm_id": "again", "replicate": 1}, prompt_types=["personas"])
        assert study.asks("+findings").isdigit()
        assert server.counts.requests == 2 * (n + 4)
    with open_published(study.root / "warehouse.duckdb") as warehouse:
        [noise] = warehouse.rows("from noise_floor")
        assert (noise["llm_id"], noise["other_llm"], noise["n_decisions"], noise["share"]) == ("again", "one", n, 0.0)
        [finding] = warehouse.rows("select * from findings where kind = 'noise'")
        assert "again and one are one language model, asked twice: it decides otherwise in 0 %" in finding["title"]
        assert not warehouse.rows("from findings where kind = 'difference'")


def test_answers_from_before_there_were_fingerprints_stay_found(tmp_path: Path) -> None:
    (tmp_path / ".bclust").mkdir()
    (tmp_path / ".bclust" / "calls.sqlite").touch()
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"old")
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("is no part of it")
    before = fingerprint(tmp_path, folder)
    assert identity_of(tmp_path, "weights", before) == {"model": "weights"}
    (folder / "README.md").write_text("as one sees")
    assert fingerprint(tmp_path, folder) == before
    (folder / "config.json").write_text("{ }")
    after = fingerprint(tmp_path, folder)
    assert after != before
    assert identity_of(tmp_path, "weights", after) == {"weights": after}
    assert identity_of(tmp_path, "moved", before) == {"model": "weights"}
    (tmp_path / "new").mkdir()
    assert identity_of(tmp_path / "new", "weights", before) == {"weights": before}
