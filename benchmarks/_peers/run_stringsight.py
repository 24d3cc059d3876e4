"""StringSight, in its own environment: run by benchmarks/peers.py with one argument, JSON {folder, url, mode}.

mode "equal": the answers stand for the behaviors that it would extract; they are grouped (HDBSCAN, its default), named, and
compared between language models (100 bootstrap draws, its default). mode "shipped": its language model extracts the behaviors
of each answer first, one here, which is the answer itself. Prompts are not generated anew, plots are not drawn, and its cache
of completions is empty.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

began = time.perf_counter()
settings = json.loads(sys.argv[1])
os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_API_BASE": settings["url"], "OPENAI_BASE_URL": settings["url"]}
os.environ |= {"STRINGSIGHT_CACHE_DIR": tempfile.mkdtemp(), "WANDB_DISABLED": "true", "TQDM_DISABLE": "1"}
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # or it is fetched from the network

import asyncio  # noqa: E402 - the imports are timed

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import stringsight  # noqa: E402, F401
from stringsight._public.sync_api import extract_properties_only  # noqa: E402
from stringsight.clusterers import get_clusterer  # noqa: E402
from stringsight.core.data_objects import Property, PropertyDataset  # noqa: E402
from stringsight.metrics import get_metrics  # noqa: E402
from stringsight.pipeline import PipelineBuilder  # noqa: E402

imported = time.perf_counter()
LLM = "openai/m"
WORKERS = 64


def extracted(frame: pd.DataFrame) -> PropertyDataset:
    """Behaviors as its language model finds them in each answer."""
    return extract_properties_only(frame, model_name=LLM, max_workers=WORKERS, use_wandb=False)


def given(frame: pd.DataFrame) -> PropertyDataset:
    """The answers as behaviors."""
    data = PropertyDataset.from_dataframe(frame, method="single_model")
    rows = zip(frame["question_id"], frame["model"], frame["model_response"], strict=True)
    data.properties = [
        Property(
            id=str(uuid.uuid4()),
            question_id=str(question),
            model=model,
            property_description=text,
            category="stance",
            reason="it was said",
            evidence=text,
            behavior_type="Style",
        )
        for question, model, text in rows
    ]
    return data


def work(answers: list[dict[str, Any]], vectors: np.ndarray, out: str) -> dict[str, Any]:
    steps = {}
    frame = pd.DataFrame(
        {
            "question_id": [answer["statement_id"] for answer in answers],
            "prompt": [answer["prompt"] for answer in answers],
            "model": [answer["llm"] for answer in answers],
            "model_response": [answer["response"] for answer in answers],
        }
    )
    started = time.perf_counter()
    data = extracted(frame) if settings["mode"] == "shipped" else given(frame)
    steps["behaviors"] = time.perf_counter() - started
    texts = {answer["response"]: vector for answer, vector in zip(answers, vectors, strict=True)}
    quiet = {"verbose": False, "use_wandb": False}
    clusterer = get_clusterer(
        "hdbscan",
        min_cluster_size=5,
        precomputed_embeddings=texts,
        summary_model=LLM,
        cluster_assignment_model=LLM,
        llm_max_workers=WORKERS,
        output_dir=out,
        **quiet,
    )
    metrics = get_metrics("single_model", output_dir=out, log_to_wandb=False, generate_plots=False, **quiet)
    pipeline = PipelineBuilder("bench").cluster_properties(clusterer).compute_metrics(metrics).configure(**quiet).build()
    between = time.perf_counter()
    found = asyncio.run(pipeline.run(data))
    steps["clusters, names, comparison"] = time.perf_counter() - between
    seconds = time.perf_counter() - started
    clusters = [cluster for cluster in found.clusters if int(cluster.id) >= 0]
    named = sum(bool(cluster.label) for cluster in clusters)
    rows = len(found.model_stats["model_cluster_scores"])
    return {"seconds": seconds, "steps": steps, "clusters": len(clusters), "named": named, "comparisons": rows}


folder = Path(settings["folder"])
with tempfile.TemporaryDirectory() as out:
    result = work(json.loads((folder / "answers.json").read_text()), np.load(folder / "vectors.npy"), out)
print(json.dumps(result | {"imports": imported - began}))
