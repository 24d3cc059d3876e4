"""The door to other vendors: LiteLLM itself, in front of a server that answers in the form of each vendor's own documentation."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bclust.errors import FunctionError
from bclust.functions import Answer, CallError, Context
from udfs._prices import prices
from udfs.providers import Chat
from udfs.providers.litellm import Provider

pytest.importorskip("litellm")

USAGE = {"prompt_tokens": 30, "completion_tokens": 10, "total_tokens": 40}
COMPLETION = {
    "id": "1", "object": "chat.completion", "created": 1, "model": "served", "service_tier": "default", "usage": USAGE,
    "choices": [
        {
            "index": 0,
            "finish_reason": "stop",
            "message": {"role": "assistant", "content": "No", "reasoning_content": "Lying is wrong."},
            "logprobs": {"content": [{"token": "No", "logprob": -0.1, "top_logprobs": [{"token": "No", "logprob": -0.1}]}]},
        }
    ],
}  # fmt: skip
GEMINI = {
    "candidates": [
        {
            "index": 0,
            "finishReason": "STOP",
            "content": {"role": "model", "parts": [{"text": "Lying is wrong.", "thought": True}, {"text": "No"}]},
        }
    ],
    "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 3, "thoughtsTokenCount": 7, "totalTokenCount": 40},
    "modelVersion": "served",
}
BLOCKED = {
    "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
    "usageMetadata": {"promptTokenCount": 30, "totalTokenCount": 30},
    "modelVersion": "served",
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "No"}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 30, "outputTokens": 10, "totalTokens": 40},
}


class Vendor:
    """One server for all; ``replies`` are (status, body), the last one again and again."""

    def __init__(self) -> None:
        self.replies: list[tuple[int, Any]] = []
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                vendor.asked.append((self.path, body, {k.lower(): v for k, v in self.headers.items()}))
                status, said = vendor.replies.pop(0) if len(vendor.replies) > 1 else vendor.replies[0]
                content = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def vendor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    for name in ("GEMINI_API_KEY", "GOOGLE_API_KEY", "GROQ_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(name, "")  # so that what the provider sets is undone
        monkeypatch.delenv(name)
    running = Vendor()
    yield running
    running.stop()


def made(model: str, env: dict[str, str] | None = None, **settings: Any) -> Provider:
    return Provider(Context(Path(), seeds={}, env={"KEY": "secret"} if env is None else env), model=model, **settings)


def ask(provider: Provider, **more: Any) -> Answer:
    """As the runner asks: a parameter that was refused is left out of the next try."""
    chat = Chat("Do you lie?", "Be brief.", temperature=0.0, max_tokens=20, **more)
    for _ in range(3):
        try:
            return asyncio.run(provider.complete(chat))
        except CallError as error:
            if error.after != 0.001:
                raise
    raise AssertionError("no try without what was refused")


@pytest.mark.parametrize(
    ("model", "reply", "path", "settings"),
    [
        ("gemini/gemini-2.5-flash", GEMINI, "/models/gemini-2.5-flash:generateContent", {}),
        ("groq/llama-3.1-8b-instant", COMPLETION, "/chat/completions", {}),
        ("mistral/mistral-small-latest", COMPLETION, "/v1/chat/completions", {}),
        ("deepseek/deepseek-chat", COMPLETION, "/chat/completions", {}),
        (
            "azure/mine", COMPLETION, "/openai/deployments/mine/chat/completions?api-version=2024-10-21",
            {"options": {"api_version": "2024-10-21"}},
        ),
        ("bedrock/amazon.nova-lite-v1:0", CONVERSE, "/model/amazon.nova-lite-v1%3A0/converse", {"options": {
            "aws_region_name": "eu-central-1"}}),
    ],
)  # fmt: skip
def test_each_vendor_is_asked_in_its_own_form_and_read(
    vendor: Vendor, model: str, reply: Any, path: str, settings: dict[str, Any]
) -> None:
    vendor.replies = [(200, reply)]
    key = {} if model.startswith("bedrock") else {"api_key_env": "KEY"}
    env = {"KEY": "secret", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    answer = ask(made(model, env, base_url=vendor.url, **key, **settings))
    assert (answer.value, answer.finish_reason, answer.input_tokens, answer.output_tokens) == ("No", "stop", 30, 10)
    [(asked, body, headers)] = vendor.asked
    assert asked == path
    assert "Do you lie?" in json.dumps(body) and "Be brief." in json.dumps(body)
    assert key == {} or "secret" in json.dumps(headers)
    detail = json.loads(answer.detail or "{}")
    if reply is not CONVERSE:
        assert detail["reasoning"] == "Lying is wrong."
        assert detail["model"] == "served"
    if reply is GEMINI:
        assert detail["reasoning_tokens"] == 7


def test_first_tokens_come_where_the_vendor_gives_them_and_are_left_out_where_it_refuses_them(vendor: Vendor) -> None:
    vendor.replies = [(200, COMPLETION)]
    given = ask(made("groq/llama-3.1-8b-instant", base_url=vendor.url, api_key_env="KEY"), logprobs=True)
    assert json.loads(given.detail or "")["top_logprobs"] == [{"token": "No", "logprob": -0.1}]
    refused = ask(made("mistral/mistral-small-latest", base_url=vendor.url, api_key_env="KEY"), logprobs=True)
    assert json.loads(refused.detail or "")["dropped"] == {"logprobs": True, "top_logprobs": 20}
    assert len(vendor.asked) == 2, "what LiteLLM knows to be refused is not sent"


def test_what_a_filter_blocks_is_an_answer(vendor: Vendor) -> None:
    vendor.replies = [(200, BLOCKED)]
    answer = ask(made("gemini/gemini-2.5-flash", base_url=vendor.url, api_key_env="KEY"))
    assert (answer.value, answer.finish_reason) == ("", "content_filter")
    filtered = {"error": {"code": "content_filter", "message": "The response was filtered", "status": 400}}
    vendor.replies = [(400, filtered)]
    options = {"api_version": "2024-10-21"}
    answer = ask(made("azure/mine", base_url=vendor.url, api_key_env="KEY", options=options))
    assert (answer.value, answer.finish_reason) == ("", "content_filter")


@pytest.mark.parametrize(
    ("status", "said", "means"),
    [
        (429, {"error": {"code": 429, "message": "Resource exhausted"}}, {"retry": True, "throttled": True, "fatal": False}),
        (500, {"error": {"code": 500, "message": "Oh"}}, {"retry": True, "fatal": False}),
        (401, {"error": {"code": 401, "message": "API key not valid"}}, {"retry": False, "fatal": True}),
        (404, {"error": {"code": 404, "message": "no such model"}}, {"retry": False, "fatal": True}),
        (400, {"error": {"code": 400, "message": "contents must not be empty"}}, {"retry": False, "fatal": False}),
    ],
)
def test_errors_mean_what_they_mean_of_other_providers(
    vendor: Vendor, status: int, said: Any, means: dict[str, bool], capfd: pytest.CaptureFixture[str]
) -> None:
    vendor.replies = [(status, said)]
    with pytest.raises(CallError, match=said["error"]["message"]) as raised:
        ask(made("gemini/gemini-2.5-flash", base_url=vendor.url, api_key_env="KEY"))
    assert {name: getattr(raised.value, name) for name in means} == means
    assert len(vendor.asked) == 1, "LiteLLM tries nothing again by itself"
    assert "".join(capfd.readouterr()) == "", "and prints nothing"


@pytest.mark.parametrize("model", ["gemini/gemini-2.5-flash", "groq/llama-3.1-8b-instant"])
def test_nobody_there_is_a_server_that_is_away(model: str) -> None:
    with pytest.raises(CallError) as raised:
        ask(made(model, base_url="http://127.0.0.1:9", api_key_env="KEY"))
    assert raised.value.away and raised.value.retry and not raised.value.charged


def test_keys_are_the_vendors_own_variables_also_in_the_file_env(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    vendor.replies = [(200, GEMINI)]
    with pytest.raises(CallError, match=r"no key of gemini/gemini-2.5-flash \(.*GEMINI_API_KEY.*\): export it") as raised:
        ask(made("gemini/gemini-2.5-flash", {}))
    assert raised.value.fatal
    assert ask(made("gemini/gemini-2.5-flash", {"GEMINI_API_KEY": "of-the-file"}, base_url=vendor.url)).value == "No"
    assert "of-the-file" in json.dumps(vendor.asked[-1][2])
    with pytest.raises(CallError, match="OTHER is not set"):
        ask(made("gemini/gemini-2.5-flash", {}, api_key_env="OTHER"))


def test_a_model_without_a_vendor_and_an_unknown_one_are_said() -> None:
    with pytest.raises(FunctionError, match=r"write VENDOR/MODEL, such as gemini/gemini-flash|names no vendor"):
        made("gemini-flash")
    with pytest.raises(CallError, match="LiteLLM knows no vendor of nobody/model") as raised:
        ask(made("nobody/model", api_key_env="KEY"))
    assert raised.value.fatal


@pytest.mark.parametrize(
    "name",
    [
        "aws_secret_access_key",
        "aws_access_key_id",
        "aws_session_token",
        "api_key",
        "azure_ad_token",
        "vertex_credentials",
        "extra_headers",
    ],
)
def test_keys_among_the_options_are_refused_since_options_are_stored(name: str) -> None:
    with pytest.raises(FunctionError, match=f"the settings of bedrock/m hold {name}") as raised:
        made("bedrock/m", options={name: "AKIA", "aws_region_name": "eu-central-1"})
    assert "environment" in (raised.value.hint or "")
    assert made("bedrock/m", options={"max_completion_tokens": 3, "top_k": 4, "aws_region_name": "x", "vertex_project": "p"})


def test_answers_are_stored_by_model_server_and_sampling() -> None:
    plain = made("groq/a", base_url="http://one:1/v1").identity()
    assert plain == {"provider": "litellm", "model": "groq/a", "base_url": "http://one:1/v1"}
    named = made("groq/a", base_url="http://one:1/v1", identity="mine", seed=1, options={"top_k": 4}).identity()
    assert named == {"provider": "litellm", "model": "groq/a", "base_url": "mine", "seed": 1, "top_k": 4}


@pytest.mark.parametrize(
    ("model", "as_if"),
    [
        ("gemini/gemini-2.5-flash", ("google", "gemini-2.5-flash")),
        ("groq/llama-3.1-8b-instant", ("groq", "llama-3.1-8b-instant")),
        ("xai/grok-3", ("x-ai", "grok-3")),
    ],
)
def test_a_plan_knows_the_published_price(model: str, as_if: tuple[str, str], price_of: Callable[..., Any]) -> None:
    sold_as = made(model).sold_as
    assert sold_as == as_if
    row = {"llm_id": "m", "provider": "litellm", "model": model}
    known = prices("llm m", row, free=False, sold_as=sold_as)
    assert known is not None and known == pytest.approx(price_of(*as_if))


@pytest.fixture
def price_of() -> Callable[[str, str], tuple[float, float]]:
    """US dollars per million tokens, asked of the price list itself."""
    from genai_prices import Usage, calc_price

    def price(provider: str, model: str) -> tuple[float, float]:
        return tuple(
            float(calc_price(Usage(input_tokens=i, output_tokens=o), model, provider_id=provider).total_price) * 1000
            for i, o in ((1000, 0), (0, 1000))
        )  # type: ignore[return-value]

    return price
