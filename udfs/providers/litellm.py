"""All other vendors, through LiteLLM (the extra ``vendors``): Gemini, Bedrock, Azure, Mistral, Groq, DeepSeek, ...

    {llm_id: gemini, provider: litellm, model: gemini/gemini-..., temperature: 0, max_tokens: 150}      # GEMINI_API_KEY
    {llm_id: nova, provider: litellm, model: bedrock/amazon.nova-..., options: {aws_region_name: eu-central-1}}  # AWS's variables
    {llm_id: azure, provider: litellm, model: azure/DEPLOYMENT, base_url: https://....azure.com, options: {api_version: ...}}

``model`` is VENDOR/MODEL, as LiteLLM writes it; ``options`` are further arguments of its ``completion``. Keys are read from the
variables that LiteLLM reads, in the environment or in the file .env; ``api_key_env`` names another one. What a model refuses to
take is left out from then on, and what a filter refuses is an answer: ``udfs/_served.py``. There are no batches.
"""

from __future__ import annotations

import logging
import os
import warnings
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import Answer, CallError, Context, Limits
from udfs._completion import RENAMED, asked, messages, read_completion
from udfs._connection import checked_url
from udfs._served import Served

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from udfs.providers import Chat

_PATIENCE_S = 86_400  # the runner has the time limit
_NO_VENDOR = "LLM Provider NOT provided"
_NOBODY_THERE = ("ConnectError", "ConnectTimeout", "ClientConnectorError", "EndpointConnectionError")
# vendors that the published price lists call otherwise
_SELLERS = {
    "gemini": "google", "vertex_ai": "google", "bedrock": "aws", "xai": "x-ai", "together_ai": "together",
    "fireworks_ai": "fireworks",
}  # fmt: skip


class Provider(Served):
    """``identity`` is that of ``udfs/providers/openai.py``, and so are the sampling parameters."""

    renamed = RENAMED

    def __init__(
        self,
        context: Context,
        *,
        model: str,
        base_url: str | None = None,
        identity: str | None = None,
        api_key_env: str | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        frequency_penalty: float | None = None,
        presence_penalty: float | None = None,
        reasoning_effort: str | None = None,
        options: Mapping[str, Any] | None = None,
        top_logprobs: int = 20,
    ) -> None:
        if "/" not in model:
            raise FunctionError(f"model {model!r} names no vendor", hint=f"write VENDOR/MODEL, such as gemini/{model}")
        door = _Door(context, model, base_url, identity, api_key_env)
        settings = {
            "top_p": top_p, "seed": seed, "frequency_penalty": frequency_penalty, "presence_penalty": presence_penalty,
            "reasoning_effort": reasoning_effort, **(options or {}),
        }  # fmt: skip
        super().__init__("litellm", model, door, settings)
        self._top_logprobs = top_logprobs
        self.limits = Limits(max_concurrency=32)

    @property
    def sold_as(self) -> tuple[str, str]:
        """Vendor and model in the published price lists."""
        vendor, model = self._model.split("/", 1)
        return _SELLERS.get(vendor, vendor), model

    def body(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """The arguments of a completion."""
        return {"model": self._model, "messages": messages(chat, dropped), **self.optional(chat, dropped)}

    def wished(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """Sampling, the most tokens, log-probabilities."""
        return asked(chat, self._settings, "max_tokens", self._top_logprobs, dropped)

    async def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """One completion as a dict; its price, where LiteLLM knows it, is its ``cost``."""
        litellm, reached = self.connected()
        try:
            response = await litellm.acompletion(**body, **reached, num_retries=0, max_retries=0, timeout=_PATIENCE_S)
        except litellm.ContentPolicyViolationError as error:
            error.code = "content_policy_violation"
            raise
        except self.errors as error:
            if _NO_VENDOR in str(error):
                raise CallError(f"LiteLLM knows no vendor of {self._model}: write VENDOR/MODEL", fatal=True) from error
            if _nobody_there(error):
                raise CallError(str(error), retry=True, away=True) from error
            raise
        answer: dict[str, Any] = response.model_dump()
        cost = response._hidden_params.get("response_cost")
        if cost and isinstance(answer.get("usage"), dict):
            answer["usage"]["cost"] = cost
        return answer

    def read(self, response: Mapping[str, Any], detail: dict[str, Any]) -> Answer:
        """A chat completion's first choice."""
        return read_completion(response, detail)


class _Door:
    """LiteLLM, and what it needs to reach one vendor."""

    def __init__(self, context: Context, model: str, base_url: str | None, identity: str | None, variable: str | None) -> None:
        self._context, self._model, self._base_url = context, model, checked_url(base_url)
        self.name = identity or self._base_url
        self.variable = variable
        self._opened: tuple[Any, dict[str, Any]] | None = None

    @property
    def errors(self) -> type[Exception]:
        """LiteLLM's errors are those of OpenAI's SDK, for all vendors."""
        import openai

        return openai.APIError

    def client(self) -> tuple[Any, dict[str, Any]]:
        """LiteLLM and the arguments that reach the vendor. Raises CallError (fatal): it is not installed, or there is no key."""
        if self._opened is None:
            litellm = _litellm()
            reached = {"base_url": self._base_url} if self._base_url else {}
            self._opened = litellm, reached | self._key(litellm)
        return self._opened

    def _key(self, litellm: Any) -> dict[str, str]:
        """The key that is named, or the vendor's variables, which LiteLLM reads itself and which may stand in the file .env."""
        env = self._context.env
        if self.variable is not None:
            key = env.get(self.variable, "").strip()
            if not key:
                raise CallError(f"{self.variable} is not set: export it, or put it into the file .env", fatal=True)
            return {"api_key": key}
        wanted = litellm.validate_environment(self._model)["missing_keys"]
        os.environ.update({name: env[name] for name in wanted if env.get(name)})
        missing = litellm.validate_environment(self._model)["missing_keys"]
        if missing and not self._base_url:
            names = ", ".join(missing)
            raise CallError(f"no key of {self._model} ({names}): export it, or put it into the file .env", fatal=True)
        return {"api_key": "none"} if missing else {}  # a server of one's own needs none

    async def close(self) -> None:
        """LiteLLM keeps its own connections."""
        self._opened = None


def _litellm() -> Any:
    """The library, told to look nowhere else and to print nothing. Raises CallError (fatal): it is not installed."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # its price list as it was installed
    warnings.filterwarnings("ignore", module=r"(litellm|pydantic|httpx|aiohttp)\b")  # of others, about each other
    try:
        import litellm
    except ModuleNotFoundError as error:
        raise CallError(f"{error.name} is not installed: pip install 'bclust[vendors]'", fatal=True) from error
    litellm.suppress_debug_info, litellm.telemetry, litellm.drop_params = True, False, False
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return litellm


def _nobody_there(error: BaseException | None) -> bool:
    """Whether a connection was never made: LiteLLM says HTTP 500 for that."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if type(error).__name__ in _NOBODY_THERE:
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False
