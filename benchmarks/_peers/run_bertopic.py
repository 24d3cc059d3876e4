"""BERTopic, in its own environment: run by benchmarks/peers.py with one argument, JSON {folder, url, mode, n_clusters}.

Vectors are reduced by UMAP, as it does by default. mode "equal": then grouped by KMeans into as many topics as ours has
clusters; mode "shipped": by HDBSCAN. Topics are named by its OpenAI representation.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

began = time.perf_counter()

import numpy as np  # noqa: E402 - the imports are timed
import openai  # noqa: E402
from bertopic import BERTopic  # noqa: E402
from bertopic.representation import OpenAI  # noqa: E402
from sklearn.cluster import KMeans  # noqa: E402
from umap import UMAP  # noqa: E402, F401

imported = time.perf_counter()
settings = json.loads(sys.argv[1])
folder = Path(settings["folder"])
texts = [answer["response"] for answer in json.loads((folder / "answers.json").read_text())]
vectors = np.load(folder / "vectors.npy")

started = time.perf_counter()
namer = OpenAI(openai.OpenAI(api_key="none", base_url=settings["url"]), model="m")
grouped = {"hdbscan_model": KMeans(settings["n_clusters"], random_state=0)} if settings["mode"] == "equal" else {}
model = BERTopic(representation_model=namer, **grouped)
topics, _ = model.fit_transform(texts, embeddings=vectors)
info = model.get_topic_info()
seconds = time.perf_counter() - started
named = sum(bool(words[0]) for words in info["Representation"])
print(json.dumps({"seconds": seconds, "imports": imported - began, "clusters": len(info), "named": named}))
