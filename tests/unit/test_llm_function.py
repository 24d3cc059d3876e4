"""llm() and embed(): what a question is, who answers it, what it costs, and what is wrong with a row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bclust.errors import FunctionError
from bclust.functions import Context
from bclust.project.registry import Function, load_functions

ROOT = Path(__file__).parent.parent.parent
FUNCTIONS: dict[str, Function] = {}
GPT = {"llm_id": "gpt", "provider": "openai", "model": "gpt-4o", "temperature": 0, "max_tokens": 100}


@pytest.fixture(autouse=True, scope="module")
def this_project() -> None:
    """Other tests load the functions of other projects; here they are this one's."""
    FUNCTIONS.update(load_functions(ROOT))


def llm(*rows: dict[str, Any], env: dict[str, str] | None = None) -> Any:
    return FUNCTIONS["llm"].target(Context(ROOT, seeds={"llms": rows}, env=env or {}))


def embed(*rows: dict[str, Any]) -> Any:
    return FUNCTIONS["embed"].target(Context(ROOT, seeds={"embedders": rows}))


def payload(row: dict[str, Any] = GPT, /, prompt: str = "hello", **given: Any) -> str:
    names = ("system", "sample", "temperature", "max_tokens", "logprobs", "truth")
    request = llm(row).request(prompt, row["llm_id"], *(given.get(name) for name in names))
    assert request.lane == row["llm_id"]
    return str(request.payload)


# --- what a question is --------------------------------------------------------------------------------------------


def test_a_payload_is_canonical_json_and_holds_all_that_decides_the_answer() -> None:
    text = payload(prompt='say "hé\n\u2028\\"', system="Be\tbrief", sample=2)
    asked = json.loads(text)
    assert asked == {
        "llm": {"provider": "openai", "model": "gpt-4o", "base_url": None},
        "logprobs": False,
        "max_tokens": 100,
        "messages": [{"content": "Be\tbrief", "role": "system"}, {"content": 'say "hé\n\u2028\\"', "role": "user"}],
        "sample": 2,
        "temperature": 0.0,
    }
    assert text == json.dumps(asked, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_two_personas_are_two_questions_and_no_persona_is_a_third() -> None:
    assert len({payload(system="You are a librarian."), payload(system="You are a poet."), payload(), payload(system="")}) == 3


@pytest.mark.parametrize(
    "change",
    [{"model": "gpt-4.1"}, {"base_url": "http://127.0.0.1:1/v1"}, {"temperature": 0.5}, {"max_tokens": 5}, {"top_p": 0.5}, {"seed": 1},
     {"reasoning_effort": "low"}, {"extra_body": {"repetition_penalty": 1.1}}],
)  # fmt: skip
def test_settings_that_decide_the_answer_make_another_question(change: dict[str, Any]) -> None:
    assert payload({**GPT, **change}) != payload()


@pytest.mark.parametrize(
    "change",
    [{"max_concurrency": 3}, {"requests_per_minute": 10}, {"tokens_per_minute": 1e6}, {"timeout_s": 5}, {"max_retries": 0},
     {"usd_per_mtok_in": 9, "usd_per_mtok_out": 9}, {"api_key_env": "OTHER_KEY"}, {"temperature": 0.0}, {"base_url": None}],
)  # fmt: skip
def test_settings_that_do_not_decide_the_answer_make_the_same_question(change: dict[str, Any]) -> None:
    assert payload({**GPT, **change}) == payload()


def test_arguments_given_in_sql_override_the_row() -> None:
    assert json.loads(payload(temperature=0.5, max_tokens=7, logprobs=True)) | {} == json.loads(payload()) | {
        "temperature": 0.5,
        "max_tokens": 7,
        "logprobs": True,
    }


def test_truth_is_told_to_simulated_language_models_and_to_no_other() -> None:
    simulated = {"llm_id": "s", "provider": "simulated", "model": "cautious"}
    truth = '{"task":"react","statement":"x"}'
    assert json.loads(payload(simulated, truth=truth))["truth"] == {"task": "react", "statement": "x"}
    assert payload(truth=truth) == payload()


def test_no_key_is_needed_or_kept_for_asking_and_pricing() -> None:
    caller = llm(GPT, env={"OPENAI_API_KEY": "sk-planted-0123456789"})
    question = caller.request("hi", "gpt", None, 0, None, None, False, None)
    assert "planted" not in question.payload
    assert llm(GPT).lane("gpt").estimate(question.payload).input_tokens > 0


# --- what it costs -------------------------------------------------------------------------------------------------


def test_the_rows_own_prices_come_first_then_published_ones_and_there_is_no_guess() -> None:
    assert llm({**GPT, "usd_per_mtok_in": 1, "usd_per_mtok_out": 2}).lane("gpt").price(1_000_000, 500_000) == 2.0
    published = llm(GPT).lane("gpt").price(1_000_000, 0)
    assert published is not None
    assert 0.1 < published < 100
    assert llm({**GPT, "model": "a-model-nobody-sells"}).lane("gpt").price(10, 10) is None
    assert llm({**GPT, "base_url": "http://127.0.0.1:1/v1"}).lane("gpt").price(10, 10) is None
    assert llm({"llm_id": "s", "provider": "simulated", "model": "cautious"}).lane("s").price(10, 10) == 0.0
    routed = {**GPT, "model": "openai/gpt-4o", "base_url": "https://openrouter.ai/api/v1"}
    assert llm(routed).lane("gpt").price(1_000_000, 0) == pytest.approx(published)


def test_the_estimated_cost_bounds_the_real_one() -> None:
    lane = llm({**GPT, "usd_per_mtok_in": 1e6, "usd_per_mtok_out": 1e6}).lane("gpt")
    estimate = lane.estimate(payload(prompt="日本語のテキスト"))
    assert estimate.output_tokens == 100
    assert estimate.cost_usd >= 24 + 100  # a token has at least one byte
    assert estimate.input_tokens < 24


# --- what is wrong with a row --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"llm_id": "x", "model": "m"}, "llm x has no provider"),
        ({"llm_id": "x", "provider": "opnai", "model": "m"}, r"no 'opnai' in udfs/providers/\n.*did you mean openai"),
        ({"llm_id": "x", "provider": "openai"}, "llm x: the setting model is missing"),
        ({**GPT, "llm_id": "x", "temprature": 0}, r"llm x: unknown setting temprature\n.*did you mean temperature"),
        ({**GPT, "llm_id": "x", "max_concurency": 5}, "did you mean max_concurrency"),
        ({**GPT, "llm_id": "x", "max_concurrency": 0}, "max_concurrency must be a positive whole number, not 0"),
        ({**GPT, "llm_id": "x", "timeout_s": "1m"}, "timeout_s must be a positive number, not '1m'"),
        ({**GPT, "llm_id": "x", "temperature": "hot"}, "temperature must be a number of at least 0, not 'hot'"),
        ({**GPT, "llm_id": "x", "max_tokens": 0}, "max_tokens must be a number of at least 1"),
        ({**GPT, "llm_id": "x", "base_url": "localhost:8000"}, "is no URL"),
        ({**GPT, "llm_id": "x", "base_url": "https://user:pw@host/v1"}, "api_key_env"),
        ({"llm_id": "x", "provider": "simulated", "model": "nobody"}, "profiles.yml has no profile 'nobody'"),
        ({"llm_id": "x", "provider": "recorded", "files": ["none/*.jsonl"]}, "no file matches none/"),
    ],
)
def test_a_wrong_row_is_named_with_the_word_that_is_wrong(row: dict[str, Any], message: str) -> None:
    with pytest.raises(FunctionError, match=message) as caught:
        llm(row).request("hi", "x", None, 0, None, None, False, None)
    assert "pw@" not in str(caught.value)


def test_an_unknown_language_model_or_embedder_gets_did_you_mean() -> None:
    with pytest.raises(FunctionError, match=r"no llm 'gtp'.*\n.*did you mean gpt"):
        llm(GPT).request("hi", "gtp", None, 0, None, None, False, None)
    with pytest.raises(FunctionError, match=r"no embedder 'defualt'.*\n.*did you mean default"):
        embed({"embedder": "default", "provider": "lexical"}).request("hi", "defualt")


# --- embeddings ----------------------------------------------------------------------------------------------------


def test_a_fitted_embedder_has_nothing_to_ask() -> None:
    assert embed({"embedder": "words", "provider": "lexical"}).request("hi", "words") is None


def test_the_question_to_an_embedder_is_its_identity_and_the_text() -> None:
    row = {"embedder": "ada", "provider": "openai", "model": "text-embedding-3-small", "dimensions": 8, "batch_size": 3}
    caller = embed(row)
    text = caller.request("hé", "ada").payload
    assert json.loads(text) == {
        "embedder": {"provider": "openai", "model": "text-embedding-3-small", "base_url": None, "dimensions": 8},
        "text": "hé",
    }
    assert caller.lane("ada").limits.batch_size == 3
    assert caller.lane("ada").price(1_000_000, 0) == pytest.approx(0.02)
