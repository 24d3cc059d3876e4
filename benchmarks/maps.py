"""How long does a map take, and how much of it can be believed? t-SNE as the project draws it, beside scikit-learn's.

    python benchmarks/maps.py --data DIR [--quick] [--cache DIR] [--rows N]

Rows stand for the responses of two language models to the same statements: the MiniLM vector of each statement, and copies of
it moved a little until there are 50,000. The baseline is scikit-learn's TSNE(perplexity=30, learning_rate=200, max_iter=1000,
init="pca") on the same 50 principal components. Trustworthiness (Venna and Kaski 2001) and 15-NN recall are taken over 2,000
rows against all rows. The last line is JSON: time_ratio (ours / baseline), trust, trust_baseline.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
NEIGHBORS, SCORED = 15, 2_000


def responses(vectors: np.ndarray, rows: int) -> np.ndarray:
    """``rows`` unit vectors: those given, then copies moved by a tenth of the usual distance between neighbours' vectors."""
    draw = np.random.default_rng(0)
    more = vectors[draw.integers(0, len(vectors), max(0, rows - len(vectors)))]
    moved = more + draw.normal(scale=0.02, size=more.shape).astype(np.float32)
    together = np.concatenate([vectors[:rows], moved]).astype(np.float32)
    return np.asarray(together / np.linalg.norm(together, axis=1, keepdims=True))


def quality(vectors: np.ndarray, places: np.ndarray) -> tuple[float, float]:
    """Trustworthiness and recall of the nearest neighbours, over a seeded part of the rows against all of them."""
    n = len(vectors)
    chosen = np.random.default_rng(0).permutation(n)[:SCORED]
    penalty, recalled = 0.0, 0
    for i in chosen:
        far = np.einsum("ij,ij->i", vectors - vectors[i], vectors - vectors[i])
        near = np.einsum("ij,ij->i", places - places[i], places - places[i])
        far[i] = near[i] = -1
        rank = np.empty(n, dtype=np.int64)
        rank[np.argsort(far, kind="stable")] = np.arange(n)  # the row itself has rank 0
        shown = np.argpartition(near, NEIGHBORS)[: NEIGHBORS + 1]
        ranks = rank[shown[shown != i]]
        penalty += np.maximum(ranks - NEIGHBORS, 0).sum()
        recalled += int((ranks <= NEIGHBORS).sum())
    worst = len(chosen) * NEIGHBORS * (2 * n - 3 * NEIGHBORS - 1) / 2
    return 1 - penalty / worst, recalled / (len(chosen) * NEIGHBORS)


def baseline(vectors: np.ndarray) -> np.ndarray:
    """scikit-learn's t-SNE with the settings that the project's predecessors used."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    points = PCA(min(50, *vectors.shape), random_state=0).fit_transform(vectors)
    model = TSNE(perplexity=30, learning_rate=200.0, max_iter=1000, init="pca", random_state=0, n_jobs=-1)
    return np.asarray(model.fit_transform(points))


def main() -> None:
    """Read the options, measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 rows")
    parser.add_argument("--data", type=Path, help="a folder laid out as github.com/anthropics/evals")
    parser.add_argument("--cache", type=Path, help="where vectors are kept between runs")
    parser.add_argument("--rows", type=int, help="rows of the map (default 50,000)")
    arguments = parser.parse_args()

    sys.path.insert(0, str(ROOT))
    from bclust.functions import load_functions
    from benchmarks._vectors import CACHE, labelled_statements, minilm

    functions = load_functions(ROOT)
    fit_map, place = functions["fit_map"].target, functions["place"].target
    rows = arguments.rows or (2_000 if arguments.quick else 50_000)
    texts, _ = labelled_statements(arguments.data, 40, min(1_000, -(-rows // 40)))
    vectors = responses(minilm(texts, arguments.cache or CACHE), rows)
    print(f"{rows} vectors, {os.cpu_count()} cores\n")
    print(f"{'method':<32}{'seconds':>9}{'trust':>8}{'recall':>8}")

    def ours(method: str, sample: int) -> np.ndarray:
        fitted = fit_map(vectors[:sample], method, None, 42)["fitted"]
        parts = [place(vectors[start : start + 2048], fitted) for start in range(0, rows, 2048)]
        return np.concatenate([np.column_stack([part["x"], part["y"]]) for part in parts])

    def timed(name: str, draw: Callable[[], np.ndarray]) -> tuple[float, float]:
        started = time.perf_counter()
        places = draw()
        seconds = time.perf_counter() - started
        trust, recall = quality(vectors, places)
        print(f"{name:<32}{seconds:>9.1f}{trust:>8.3f}{recall:>8.3f}", flush=True)
        return seconds, trust

    for method in ("pca", "tsne"):
        fit_map(vectors[:20], method, None, 42)  # imports are not timed
    timed("pca", lambda: ours("pca", rows))
    timed("tsne of a tenth, the rest placed", lambda: ours("tsne", rows // 10))
    seconds, trust = timed("tsne (the default)", lambda: ours("tsne", rows))
    seconds_baseline, trust_baseline = timed("scikit-learn, seed's settings", lambda: baseline(vectors))
    ratio = seconds / seconds_baseline
    print(json.dumps({"time_ratio": round(ratio, 3), "trust": round(trust, 4), "trust_baseline": round(trust_baseline, 4)}))


if __name__ == "__main__":
    main()
