"""A server that others wrote: `transformers serve` with a tiny language model, asked through `provider: openai`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bclust.calls.desk import CallDesk, Summary
from bclust.calls.store import CallStore
from bclust.functions import Context
from bclust.project.registry import load_functions
from tests.conftest import ROOT

pytest.importorskip("torch")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("accelerate")

WORDS = ["[UNK]", "<s>", "</s>", "Yes", "No", "I", "like", "the", "number", "one", "two", "You", "are", "a", "poet", ":", "."]
WORDS += ["user", "assistant", "system"]
TEMPLATE = "{% for m in messages %}{{ m.role }} : {{ m.content }} {% endfor %}assistant :"


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Llama of some 50,000 parameters, with its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", bos_token="<s>", eos_token="</s>")
    fast.chat_template = TEMPLATE
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("served") / "tiny"
    fast.save_pretrained(folder)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def base_url(tiny_llama: Path) -> Iterator[str]:
    """The server in a process of its own, ready, without a network."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tiny_llama.parent / "server.log").open("w+")
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(tiny_llama), "--device", "cpu"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port)],
        env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=log,
    )
    try:
        until = time.monotonic() + 120
        while not ready(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None and time.monotonic() < until, Path(log.name).read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def ask(folder: Path, base_url: str, model: str, prompts: list[str], system: str | None = None) -> tuple[Summary, list[Any]]:
    """Collect, call, replay: the summary and one answer per prompt."""
    row = {"llm_id": "served", "provider": "openai", "model": model, "base_url": base_url, "temperature": 0, "max_tokens": 6}
    context = Context(folder, seeds={"llms": [row], "embedders": []}, env={})
    function = load_functions(ROOT)["llm"]
    assert function.signature is not None
    n = len(prompts)
    columns = {"prompt": prompts, "llm_id": ["served"] * n, "system": [system] * n, "logprobs": [True] * n}
    arrays = [pa.array(columns[p.name]) if p.name in columns else pa.nulls(n) for p in function.signature.parameters]
    with CallStore(folder / "calls.sqlite") as store:
        desk = CallDesk(store, context)
        look_up = desk.arrow_function(function)
        look_up(*arrays)
        summary = desk.answer(on_event=lambda _: None, stop=threading.Event())
        return summary, look_up(*arrays).to_pylist()


def test_a_third_party_server_answers_and_its_tokens_are_counted(tmp_path: Path, base_url: str, tiny_llama: Path) -> None:
    prompts = ["I like the number one", "I like the number two", "You are a poet ."]
    summary, answers = ask(tmp_path, base_url, str(tiny_llama), prompts)
    assert (summary.answered, summary.failed, summary.remaining) == (3, 0, 0)
    for prompt, answer in zip(prompts, answers, strict=True):
        assert answer["error"] is None
        assert set(answer["text"].split()) <= set(WORDS)
        assert answer["finish_reason"] in ("stop", "length")
        assert answer["input_tokens"] == len(f"user : {prompt} assistant :".split())
        assert 1 <= answer["output_tokens"] <= 6
    summary, again = ask(tmp_path, base_url, str(tiny_llama), prompts)
    assert summary.answered == 0
    assert again == answers


def test_a_third_party_server_gets_the_system_message(tmp_path: Path, base_url: str, tiny_llama: Path) -> None:
    _, [plain] = ask(tmp_path, base_url, str(tiny_llama), ["I like the number one"])
    _, [poet] = ask(tmp_path, base_url, str(tiny_llama), ["I like the number one"], system="You are a poet .")
    assert poet["input_tokens"] == plain["input_tokens"] + 7  # system : You are a poet .


def test_greedy_answers_of_a_third_party_server_are_those_of_the_model_itself(
    tmp_path: Path, base_url: str, tiny_llama: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, [answer] = ask(tmp_path, base_url, str(tiny_llama), ["I like the number two"])
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32)
    asked = tokenizer("user : I like the number two assistant :", return_tensors="pt", add_special_tokens=False)
    made = model.generate(**asked, max_new_tokens=6, do_sample=False, pad_token_id=2)[0, asked["input_ids"].shape[1] :]
    assert answer["text"] == tokenizer.decode(made, skip_special_tokens=True)


def test_a_question_that_a_third_party_server_refuses_is_a_failed_call(tmp_path: Path, base_url: str) -> None:
    summary, [answer] = ask(tmp_path, base_url, "another", ["I like the number one"])
    assert (summary.answered, summary.failed, summary.retries) == (0, 1, 0)
    assert answer["text"] is None
    assert "HTTP 400" in answer["error"]
