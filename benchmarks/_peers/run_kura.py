"""kura, in its own environment: run by benchmarks/peers.py with one argument, JSON {folder, url, mode, n_clusters}.

mode "equal": the answers stand for their summaries; base clusters are found and named, as many as ours. mode "shipped": every
answer is summarised first, and clusters of clusters are made and named until ten are left.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

began = time.perf_counter()
settings = json.loads(sys.argv[1])
os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": settings["url"], "TQDM_DISABLE": "1"}

import asyncio  # noqa: E402 - the imports are timed
from datetime import UTC, datetime  # noqa: E402

import instructor  # noqa: E402, F401
import kura  # noqa: E402, F401
import numpy as np  # noqa: E402
import sklearn.cluster  # noqa: E402, F401
from kura.base_classes import BaseEmbeddingModel  # noqa: E402
from kura.cluster import (  # noqa: E402
    ClusterDescriptionModel,
    KmeansClusteringModel,
    generate_base_clusters_from_conversation_summaries,
)
from kura.embedding import OpenAIEmbeddingModel  # noqa: E402
from kura.meta_cluster import MetaClusterModel, reduce_clusters_from_base_clusters  # noqa: E402
from kura.summarisation import SummaryModel, summarise_conversations  # noqa: E402
from kura.types import Conversation, ConversationSummary, Message  # noqa: E402

imported = time.perf_counter()
LLM = "openai/m"


class GivenVectors(BaseEmbeddingModel):  # type: ignore[misc] # kura is not installed where types are checked
    """The vectors that were computed beforehand; a summary's text says which row it is of."""

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors.tolist()

    def slug(self) -> str:
        """A name for checkpoints, of which there are none."""
        return "given"

    async def embed(self, texts: list[str]) -> list[list[float]]:
        """The row's vector for each text."""
        return [self._vectors[int(re.findall(r"(?:<row>|'row': )(\d+)", text)[-1])] for text in texts]


async def work(answers: list[dict[str, Any]], vectors: np.ndarray) -> dict[str, Any]:
    steps = {}
    shipped = settings["mode"] == "shipped"
    started = time.perf_counter()
    if shipped:
        now = datetime.now(UTC)
        conversations = [
            Conversation(
                chat_id=str(i),
                created_at=now,
                metadata={"row": i},
                messages=[
                    Message(created_at=now, role="user", content=answer["prompt"]),
                    Message(created_at=now, role="assistant", content=answer["response"]),
                ],
            )
            for i, answer in enumerate(answers)
        ]
        summaries = await summarise_conversations(conversations, model=SummaryModel(model=LLM))
        steps["summaries"] = time.perf_counter() - started
    else:
        summaries = [
            ConversationSummary(chat_id=str(i), summary=answer["response"], metadata={"row": i})
            for i, answer in enumerate(answers)
        ]
    between = time.perf_counter()
    clusters = await generate_base_clusters_from_conversation_summaries(
        summaries,
        embedding_model=GivenVectors(vectors),
        clustering_method=KmeansClusteringModel(len(answers) / settings["n_clusters"]),
        clustering_model=ClusterDescriptionModel(model=LLM),
    )
    steps["clusters and names"] = time.perf_counter() - between
    if shipped:
        between = time.perf_counter()
        tree = MetaClusterModel(model=LLM, embedding_model=OpenAIEmbeddingModel())
        await reduce_clusters_from_base_clusters(clusters, model=tree)
        steps["clusters of clusters"] = time.perf_counter() - between
    seconds = time.perf_counter() - started
    named = sum(bool(cluster.name) for cluster in clusters)
    return {"seconds": seconds, "steps": steps, "clusters": len(clusters), "named": named}


folder = Path(settings["folder"])
result = asyncio.run(work(json.loads((folder / "answers.json").read_text()), np.load(folder / "vectors.npy")))
print(json.dumps(result | {"imports": imported - began}))
