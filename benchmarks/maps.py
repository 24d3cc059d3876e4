"""How long does a map take, and how much of it can be believed? t-SNE as the project draws it, beside scikit-learn's.

    python benchmarks/maps.py --data DIR [--quick] [--cache DIR] [--rows N] [--ours]

Rows stand for the responses of two language models to the same statements: the MiniLM vector of each statement, and copies of
it moved a little until there are 50,000. The baseline is
scikit-learn's TSNE(perplexity=30, learning_rate=200, max_iter=1000, init="pca") on 50 principal components. Every method has
a process of its own. Trustworthiness (Venna and Kaski 2001) and 15-NN recall are taken over 2,000 rows against all rows. The last
line is JSON: time_ratio (the default / baseline), trust, trust_baseline.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks._alone import alone, peak_mib

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
NEIGHBORS, SCORED = 15, 2_000


def responses(vectors: np.ndarray, rows: int) -> np.ndarray:
    """``rows`` unit vectors in mixed order: those given, and copies moved by a tenth of the usual distance between neighbours."""
    draw = np.random.default_rng(0)
    more = vectors[draw.integers(0, len(vectors), max(0, rows - len(vectors)))]
    moved = more + draw.normal(scale=0.02, size=more.shape).astype(np.float32)
    together = draw.permutation(np.concatenate([vectors[:rows], moved])).astype(np.float32)
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


def project_map(vectors: np.ndarray, method: str, sample: int) -> np.ndarray:
    """The project's own map: fitted on ``sample`` rows, the others placed in chunks as DuckDB hands them over."""
    from bclust.project.registry import load_functions

    functions = load_functions(ROOT)
    fitted = functions["fit_map"].target(vectors[:sample], method, None, 42)["fitted"]
    place = functions["place"].target
    parts = [place(vectors[start : start + 2048], fitted) for start in range(0, len(vectors), 2048)]
    return np.concatenate([np.column_stack([part["x"], part["y"]]) for part in parts])


def reduced(vectors: np.ndarray) -> np.ndarray:
    """The first 50 principal components, which every method but ours is handed (ours takes them itself)."""
    from sklearn.decomposition import PCA

    return np.asarray(PCA(min(50, *vectors.shape), random_state=0).fit_transform(vectors))


def seed_system(vectors: np.ndarray) -> np.ndarray:
    """scikit-learn's t-SNE as the earlier system calls it."""
    from sklearn.manifold import TSNE

    model = TSNE(perplexity=30, learning_rate=200.0, max_iter=1000, init="pca", random_state=0, n_jobs=-1)
    return np.asarray(model.fit_transform(reduced(vectors)))


def open_tsne(vectors: np.ndarray) -> np.ndarray:
    """openTSNE by itself, with its own neighbour search."""
    from openTSNE import TSNE

    return np.asarray(TSNE(perplexity=30, random_state=0, n_jobs=-1).fit(reduced(vectors)))


def umap(vectors: np.ndarray) -> np.ndarray:
    """UMAP with its defaults, seeded (so by one thread)."""
    from umap import UMAP

    return np.asarray(UMAP(random_state=0, n_jobs=1).fit_transform(reduced(vectors)))


def measure(method: Callable[..., np.ndarray], vectors: np.ndarray, *arguments: Any) -> dict[str, float] | str:
    """Seconds, trustworthiness, recall and memory of one method; or which package it lacks."""
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    try:
        method(vectors[:40], *[min(a, 40) if isinstance(a, int) else a for a in arguments])  # imports are not timed
    except ModuleNotFoundError as error:
        return f"needs the package {error.name}"
    started = time.perf_counter()
    places = method(vectors, *arguments)
    seconds = time.perf_counter() - started
    memory = peak_mib()
    trust, recall = quality(vectors, places)
    return {"seconds": seconds, "trust": trust, "recall": recall, "peak_mib": memory}


def main() -> None:
    """Read the options, measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 rows")
    parser.add_argument("--data", type=Path, help="a folder laid out as github.com/anthropics/evals")
    parser.add_argument("--cache", type=Path, help="where vectors are kept between runs")
    parser.add_argument("--rows", type=int, help="rows of the map (default 50,000)")
    parser.add_argument("--ours", action="store_true", help="only the project's own maps: no baseline, no ratio")
    arguments = parser.parse_args()

    from bclust.project.config import read_yaml
    from benchmarks._vectors import CACHE, labelled_statements, minilm

    rows = arguments.rows or (2_000 if arguments.quick else 50_000)
    sample = min(rows, int(read_yaml(ROOT / "bclust.yml").section("vars")["map_sample"]))
    texts, _ = labelled_statements(arguments.data, 40, min(1_000, -(-rows // 40)))
    vectors = responses(minilm(texts, arguments.cache or CACHE), rows)
    print(f"{rows:,} vectors, {os.cpu_count()} cores\n")
    print(f"{'method':<44}{'seconds':>9}{'trust':>8}{'recall':>8}{'peak MiB':>10}")
    default = f"tsne, the default (map_sample {sample:,})"
    runs: list[tuple[str, Callable[..., np.ndarray], tuple[Any, ...]]] = [
        ("pca", project_map, ("pca", rows)),
        (default, project_map, ("tsne", sample)),
        *([("tsne of all rows", project_map, ("tsne", rows))] if sample < rows else []),
    ]
    if not arguments.ours:
        runs += [("openTSNE", open_tsne, ()), ("UMAP", umap, ()), ("scikit-learn as the seed system calls it", seed_system, ())]
    found: dict[str, dict[str, float]] = {}
    for name, method, given in runs:
        result = alone(measure, method, vectors, *given)
        if isinstance(result, str):
            print(f"{name:<44}  {result}")
            continue
        found[name] = result
        numbers = f"{result['seconds']:>9.1f}{result['trust']:>8.3f}{result['recall']:>8.3f}{result['peak_mib']:>10.0f}"
        print(f"{name:<44}{numbers}", flush=True)
    line: dict[str, Any] = {
        "rows": rows,
        "seconds": round(found[default]["seconds"], 1),
        "trust": round(found[default]["trust"], 4),
    }
    if not arguments.ours:
        baseline = found[runs[-1][0]]
        line |= {
            "time_ratio": round(found[default]["seconds"] / baseline["seconds"], 3),
            "trust_baseline": round(baseline["trust"], 4),
        }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
