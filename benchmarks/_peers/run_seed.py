"""The earlier system's steps as plain scikit-learn and the openai SDK, with its settings: run by benchmarks/peers.py.

One argument, JSON {folder, url, n_clusters}. Four clusterings; names of the KMeans clusters by statements, responses and both,
one call after the other; Ward's linkage of the centroids; t-SNE.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

began = time.perf_counter()

import numpy as np  # noqa: E402 - the imports are timed
import openai  # noqa: E402
from scipy.cluster.hierarchy import linkage  # noqa: E402
from sklearn.cluster import OPTICS, AgglomerativeClustering, KMeans, SpectralClustering  # noqa: E402
from sklearn.manifold import TSNE  # noqa: E402

imported = time.perf_counter()
INSTRUCTION = "Briefly list the common themes of the following texts, each with a number and on a new line."


def theme(client: openai.OpenAI, texts: list[str]) -> str | None:
    """The name of a group, by ten of its texts."""
    listed = "\n".join(f"{i}. {text}" for i, text in enumerate(texts[:10], start=1))
    message: Any = {"role": "user", "content": f"{INSTRUCTION}\n{listed}"}
    answer = client.chat.completions.create(model="m", messages=[message], temperature=0.5, max_tokens=150)
    return answer.choices[0].message.content


def work(answers: list[dict[str, Any]], vectors: np.ndarray, url: str, k: int) -> dict[str, Any]:
    steps = {}
    started = between = time.perf_counter()
    labels = KMeans(k, random_state=42).fit_predict(vectors)
    SpectralClustering(k, random_state=42).fit_predict(vectors)
    AgglomerativeClustering(k).fit_predict(vectors)
    OPTICS().fit_predict(vectors)
    steps["four clusterings"] = time.perf_counter() - between
    between = time.perf_counter()
    client, names = openai.OpenAI(api_key="none", base_url=url), []
    for cluster in range(k):
        rows = [answers[i] for i in np.flatnonzero(labels == cluster)]
        names.append(theme(client, [row["statement"] for row in rows]))
        names.append(theme(client, [row["response"] for row in rows]))
        names.append(theme(client, [f"Statement: {row['statement']} Response: {row['response']}" for row in rows]))
    steps["names"] = time.perf_counter() - between
    between = time.perf_counter()
    linkage(np.array([vectors[labels == cluster].mean(axis=0) for cluster in range(k)]), method="ward")
    steps["tree"] = time.perf_counter() - between
    between = time.perf_counter()
    TSNE(perplexity=30, learning_rate=200.0, max_iter=1000, init="pca", random_state=42).fit_transform(vectors)
    steps["map"] = time.perf_counter() - between
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "steps": steps, "clusters": k, "named": sum(bool(name) for name in names) // 3}


settings = json.loads(sys.argv[1])
folder = Path(settings["folder"])
given = json.loads((folder / "answers.json").read_text())
result = work(given, np.load(folder / "vectors.npy"), settings["url"], settings["n_clusters"])
print(json.dumps(result | {"imports": imported - began}))
