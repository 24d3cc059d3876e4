"""Which clusterer finds the behaviors? Each one, with each reduction, on MiniLM vectors of labelled statements.

    python benchmarks/clusters.py --data DIR [--quick] [--cache DIR] [--million]

40 behaviors x 100 statements, 5 seeds; without --data, the project's own statements. Every clusterer runs in its own process,
gets the true number of behaviors (those that find the number themselves ignore it) and is timed from vectors to the labels of
all rows; ARI and NMI count noise as one cluster. The baseline is scikit-learn's KMeans on the same unit vectors.
--million also groups 100,000 and 1,000,000 vectors in DuckDB. The last line is JSON: default (the first clustering of
bclust.yml), default_ari, baseline_ari, ari_ratio, time_ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks._alone import alone, peak_mib

ROOT = Path(__file__).parent.parent
PCA = {"reduce": {"method": "pca", "dims": 50}}
UMAP = {"reduce": {"method": "umap", "dims": 10}}
SPECTRAL = {"reduce": {"method": "spectral", "dims": 30}}
RUNS: list[tuple[str, dict[str, Any]]] = [
    ("KMeans (scikit-learn)", {}),
    ("kmeans", {}),
    ("kmeans", PCA),
    ("kmeans", UMAP),
    ("spectral", {}),
    ("spectral", PCA),
    ("agglomerative", {}),
    ("agglomerative", PCA),
    ("agglomerative", UMAP),
    ("agglomerative", {"linkage": "average"}),
    ("agglomerative", {"linkage": "average", **PCA}),
    ("hdbscan", SPECTRAL),
    ("hdbscan", PCA),
    ("hdbscan", UMAP),
    ("optics", SPECTRAL),
    ("optics", PCA),
    ("optics", UMAP),
]


def measure(algorithm: str, params: dict[str, Any], vectors: np.ndarray, truth: np.ndarray, seeds: int) -> dict[str, float] | str:
    """Mean ARI, NMI, clusters, share of noise, seconds, and the peak of this process's memory; or why it could not run."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    from bclust.errors import FunctionError
    from bclust.functions import member
    from bclust.project.registry import load_functions

    load_functions(ROOT)
    import udfs.clusterers as family

    k = len(np.unique(truth))

    def labels(rows: np.ndarray, n_clusters: int, seed: int) -> np.ndarray:
        if algorithm.startswith("KMeans"):
            return np.asarray(KMeans(n_clusters, random_state=seed).fit_predict(rows))
        return family.fit_clusterer(rows, algorithm, n_clusters=n_clusters, params=params, random_state=seed)["labels"]

    if not algorithm.startswith("KMeans"):
        member("clusterers", algorithm)
    try:
        labels(vectors[:: max(1, len(vectors) // 200)], min(k, 10), 0)  # imports and first touches are not timed
        scores, started = [], time.perf_counter()
        for seed in range(seeds):
            found = labels(vectors, k, seed)
            scores.append((found, time.perf_counter() - started))
            started = time.perf_counter()
    except FunctionError as error:
        return error.message
    return {
        "ari": float(np.mean([adjusted_rand_score(truth, found) for found, _ in scores])),
        "nmi": float(np.mean([normalized_mutual_info_score(truth, found) for found, _ in scores])),
        "clusters": float(np.mean([found.max() + 1 for found, _ in scores])),
        "noise": float(np.mean([(found < 0).mean() for found, _ in scores])),
        "seconds": float(np.median([seconds for _, seconds in scores])),
        "peak_mib": peak_mib(),
    }


def default_run() -> tuple[str, dict[str, Any]]:
    """The first clustering of bclust.yml: the project's default."""
    from bclust.project.config import plain, read_yaml

    row = dict(plain(read_yaml(ROOT / "bclust.yml").section("seeds"))["clusterings"][0])
    params = {key: value for key, value in row.items() if key not in ("clustering", "algorithm", "n_clusters")}
    return str(row["algorithm"]), params


def sampling_loss(algorithm: str, params: dict[str, Any], vectors: np.ndarray, truth: np.ndarray, seeds: int) -> float:
    """How much ARI is lost when half of the rows are fitted and the others assigned."""
    from sklearn.metrics import adjusted_rand_score

    import udfs.clusterers as family

    k, losses = len(np.unique(truth)), []
    for seed in range(seeds):
        half = np.random.default_rng(seed).permutation(len(vectors))[: len(vectors) // 2]
        settings: dict[str, Any] = {"n_clusters": k, "params": params, "random_state": seed}
        whole = family.fit_clusterer(vectors, algorithm, **settings)["labels"]
        part = family.assign(vectors, family.fit_clusterer(vectors[half], algorithm, **settings))
        losses.append(adjusted_rand_score(truth, whole) - adjusted_rand_score(truth, part))
    return float(np.mean(losses))


def million(algorithm: str, vectors: np.ndarray, labels: list[str], rows: int) -> dict[str, float]:
    """Seconds to group ``rows`` jittered vectors by the project's own SQL models in DuckDB, 500 clusters fitted on 20,000 rows.

    ``fit`` is response_cluster_fits without repetitions, ``assign`` response_clusters, ``quality`` the silhouette and the
    stability over 10 repetitions, and clustering_quality with ARI and NMI; ``peak_gib`` is this process's.
    """
    from bclust.functions import Context
    from bclust.project.registry import load_functions
    from bclust.warehouse.arrow_functions import arrow_function
    from bclust.warehouse.database import Warehouse

    functions = load_functions(ROOT)
    took = {}
    with tempfile.TemporaryDirectory() as folder, Warehouse(Path(folder) / "million.duckdb") as warehouse:
        warehouse.execute("create schema _bclust; create table _bclust.fitted (handle varchar, node varchar, value blob)")
        for name in ("auto_clusters", "checked_clustering", "fit_clusters", "assign_cluster", "cluster_agreement"):
            arrow = None if functions[name].kind == "macro" else arrow_function(functions[name], Context(ROOT), warehouse)
            warehouse.register(functions[name], arrow)
        settings = {"random_state": 42, "clustering_embedder": "default", "fit_sample": 20_000, "stability_resamples": 0}
        warehouse.set_variables(settings | {"min_clusters": 10, "max_clusters": 500, "n_clusters_ratio": 0.04})
        _fill(warehouse, algorithm, vectors, labels, rows)
        del vectors

        def timed(step: str, *models: str) -> None:
            started = time.perf_counter()
            for model in models:
                sql = next((ROOT / "models").glob(f"*/{model}.sql")).read_text(encoding="utf-8")
                warehouse.run(f"create or replace table {model} as\n", sql, alone=model.endswith(("_fits", "_quality")))
            took[f"{step}_s"] = time.perf_counter() - started

        timed("fit", "clustering_settings", "response_cluster_fits")
        timed("assign", "response_clusters")
        warehouse.set_variables({"stability_resamples": 10})
        timed("quality", "response_cluster_fits", "clustering_quality")
        [(took["ari"], took["stability"], n)] = warehouse.execute("select ari, stability, n from clustering_quality")
        assert n == rows
    return took | {"peak_gib": peak_mib() / 1024}


def _fill(warehouse: Any, algorithm: str, vectors: np.ndarray, labels: list[str], rows: int) -> None:
    """The tables that the models read: ``rows`` responses, each a labelled statement's vector moved a little."""
    import pyarrow as pa

    draw = np.random.default_rng(0)
    warehouse.execute(
        f"""create table clusterings as
                select 'main' as clustering, '{algorithm}' as algorithm, 'auto' as n_clusters, null::json as params;
            create table statement_clusters (clustering varchar, statement_id varchar, cluster_id integer);
            create table statement_cluster_fits (clustering varchar);
            create table statements (statement_id varchar, behavior varchar);
            create table response_embeddings (
                statement_id varchar, llm_id varchar, sample integer, embedder varchar, embedding float[])"""
    )
    for start in range(0, rows, 50_000):  # in blocks: the normal draws are float64
        of = draw.integers(0, len(vectors), min(50_000, rows - start))
        block = vectors[of] + draw.normal(scale=0.02, size=(len(of), vectors.shape[1])).astype(np.float32)
        ids = [f"s{start + i}" for i in range(len(of))]
        offsets = pa.array(np.arange(0, block.size + 1, block.shape[1], dtype=np.int32))
        lists = pa.ListArray.from_arrays(offsets, pa.array(block.ravel()))
        warehouse.load("block", pa.table({"id": ids, "behavior": [labels[i] for i in of], "embedding": lists}))
        warehouse.execute(
            """insert into statements select id, behavior from block;
               insert into response_embeddings select id, 'a', 0, 'default', embedding from block"""
        )
    warehouse.execute("drop table block")


def _millions(vectors: np.ndarray, labels: list[str], default: str) -> dict[str, float]:
    """Print 100,000 and 1,000,000 vectors by k-means and by the default; what of it goes into the JSON line."""
    line: dict[str, float] = {}
    print(f"\n{'in DuckDB, 500 clusters':<28}{'rows':>10}{'fit s':>8}{'assign s':>10}{'quality s':>11}{'ARI':>7}{'peak GiB':>10}")
    for algorithm in dict.fromkeys(("kmeans", default)):
        totals = []
        for rows in (100_000, 1_000_000):
            took = alone(million, algorithm, vectors, labels, rows)
            totals.append(took["fit_s"] + took["assign_s"] + took["quality_s"])
            times = f"{took['fit_s']:>8.1f}{took['assign_s']:>10.1f}{took['quality_s']:>11.1f}"
            print(f"{algorithm:<28}{rows:>10,}{times}{took['ari']:>7.3f}{took['peak_gib']:>10.1f}", flush=True)
        line |= {f"million_{algorithm}_s": round(totals[1], 1), f"million_{algorithm}_growth": round(totals[1] / totals[0], 2)}
        line |= {f"million_{algorithm}_fit_assign_s": round(took["fit_s"] + took["assign_s"], 1)}
    return line


def main() -> None:
    """Read the options, measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 behaviors x 50 statements, 2 seeds, no umap, no optics")
    parser.add_argument("--data", type=Path, help="a folder laid out as github.com/anthropics/evals")
    parser.add_argument("--cache", type=Path, help="where vectors are kept between runs")
    parser.add_argument("--million", action="store_true", help="also group 100,000 and 1,000,000 vectors by the project's SQL")
    arguments = parser.parse_args()

    sys.path.insert(0, str(ROOT))
    from bclust.project.registry import load_functions
    from benchmarks._vectors import CACHE, labelled_statements, minilm

    load_functions(ROOT)
    behaviors, each, seeds = (20, 50, 2) if arguments.quick else (40, 100, 5)
    texts, labels = labelled_statements(arguments.data, behaviors, each)
    vectors, truth = minilm(texts, arguments.cache or CACHE), np.unique(labels, return_inverse=True)[1]
    print(f"{len(texts)} statements of {len(set(labels))} behaviors, MiniLM, {seeds} seeds, {os.cpu_count()} cores\n")
    print(f"{'clusterer':<24}{'reduction':<14}{'ARI':>7}{'NMI':>7}{'clusters':>10}{'noise':>8}{'seconds':>9}{'peak MiB':>10}")

    default = default_run()
    runs = [*RUNS, *([] if default in RUNS else [default])]
    if arguments.quick:
        runs = [(a, p) for a, p in runs if p.get("reduce", {}).get("method") != "umap" and a != "optics"]
    results: dict[str, dict[str, float]] = {}
    for algorithm, params in runs:
        found = alone(measure, algorithm, params, vectors, truth, seeds)
        reduce = params.get("reduce")
        name = f"{algorithm} average" if params.get("linkage") == "average" else algorithm
        row = f"{name:<24}{reduce['method'] + ' ' + str(reduce['dims']) if reduce else '':<14}"
        if isinstance(found, str):
            print(f"{row}  {found}")
            continue
        results[json.dumps([algorithm, params])] = found
        numbers = f"{found['ari']:>7.3f}{found['nmi']:>7.3f}{found['clusters']:>10.0f}{found['noise']:>8.2f}"
        print(f"{row}{numbers}{found['seconds']:>9.2f}{found['peak_mib']:>10.0f}", flush=True)

    ours, baseline = results[json.dumps([*default])], results[json.dumps([*RUNS[0]])]
    loss = sampling_loss(*default, vectors, truth, seeds)
    print(f"\ndefault: {default[0]}; ARI lost by fitting on half of the rows: {loss:.3f}")
    line = {
        "default": default[0],
        "default_ari": round(ours["ari"], 4),
        "baseline_ari": round(baseline["ari"], 4),
        "ari_ratio": round(ours["ari"] / baseline["ari"], 3),
        "time_ratio": round(ours["seconds"] / baseline["seconds"], 3),
    }
    if arguments.million:
        line |= _millions(vectors, labels, default[0])
    print(json.dumps(line))


if __name__ == "__main__":
    main()
