"""A language model that is asked through somebody's interface: what it refuses to take is left out from then on.

A refused parameter (temperature or max_tokens, as reasoning models do; log-probabilities) is dropped, and the detail of the
answers says so under ``dropped``; a model that knows no system message gets it in front of the prompt (``system: folded``). Such
a refusal costs nothing. What a content filter refuses is an answer, with finish_reason content_filter.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import Answer, CallError
from udfs._sdk import SaidError, call_error, post, refusal, refused_parameter, unreadable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from udfs._connection import Reached
    from udfs.providers import Chat

_SECRET = re.compile(
    r"api_?key|access_?key|secret|password|credential|authorization|(?:^|session_|ad_|auth_|access_|bearer_)token$|headers?$",
    re.IGNORECASE,
)
_TOGETHER = ("logprobs", "top_logprobs")  # who refuses one refuses both


class Served(ABC):
    """A provider whose questions and answers are JSON. A subclass says how a chat is asked and how a response is read."""

    free = False
    path: str
    renamed: Mapping[str, str] = {}
    """Parameters that are sent by another name where they are refused."""

    def __init__(self, provider: str, model: str, connection: Reached, settings: Mapping[str, Any]) -> None:
        self._provider, self._model, self._connection = provider, model, connection
        self._settings = {name: value for name, value in settings.items() if value is not None}
        secret = next(filter(_SECRET.search, _names(self._settings)), None)
        if secret:
            raise FunctionError(
                f"the settings of {model} hold {secret}, and settings are stored with each answer",
                hint="keys belong into the environment: api_key_env, or the vendor's own variables",
            )
        self.dropped: set[str] = set()

    def identity(self) -> dict[str, Any]:
        """Model, server and sampling."""
        return {"provider": self._provider, "model": self._model, "base_url": self._connection.name, **self._settings}

    # --- what a subclass says ----------------------------------------------------------------------------------

    @abstractmethod
    def body(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """The request, without the parameters that are dropped."""

    @abstractmethod
    def wished(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """All optional parameters of the request. (What is dropped matters where it goes by another name then.)"""

    @abstractmethod
    def read(self, response: Mapping[str, Any], detail: dict[str, Any]) -> Answer:
        """The answer in a response. Raises LookupError, TypeError or AttributeError where there is none."""

    async def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Send a request; its response. Raises CallError, or an error as the SDKs have."""
        return await post(self.connected(), self.path, body)

    @property
    def errors(self) -> type[Exception]:
        """What it raises where the server answers with an error, or not."""
        return self._connection.errors

    # --- what is the same for all ------------------------------------------------------------------------------

    async def complete(self, chat: Chat) -> Answer:
        """Ask once. Raises CallError."""
        dropped = frozenset(self.dropped)
        try:
            response = await self.post(self.body(chat, dropped))
        except (self.errors, SaidError) as error:
            refused = refusal(error)
            if refused is None:
                raise self.explained(error, self.sent(chat, dropped)) from error
            return refused
        return self.answer(response, chat, dropped)

    def answer(self, response: Mapping[str, Any], chat: Chat, dropped: Collection[str]) -> Answer:
        """The answer in a response to such a request. Raises CallError for one that is none."""
        missed = {
            name: value for name, value in self.wished(chat, dropped).items() if name in dropped and name not in self.renamed
        }
        detail: dict[str, Any] = {"dropped": missed} if missed else {}
        if chat.system and "system" in dropped:
            detail["system"] = "folded"
        try:
            return self.read(response, detail)
        except (LookupError, TypeError, AttributeError) as error:
            raise unreadable(f"no answer in it ({type(error).__name__}: {error})") from error

    def explained(self, error: Exception, sent: Mapping[str, Any]) -> CallError:
        """What an error means; where it refuses one of the optional parameters that were sent, none is sent from then on."""
        refused = refused_parameter(error, sent)
        if refused is None:
            return call_error(error, model=self._model, variable=self._connection.variable)
        self.dropped |= set(_TOGETHER) if refused in _TOGETHER else {refused}
        return CallError(f"{self._model} does not take {refused}", retry=True, after=0.001)

    def sent(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """What was sent that a model may refuse."""
        system = {"system": chat.system} if chat.system and "system" not in dropped else {}
        return {**self.optional(chat, dropped), **system}

    def optional(self, chat: Chat, dropped: Collection[str]) -> dict[str, Any]:
        """The optional parameters that are sent."""
        return {name: value for name, value in self.wished(chat, dropped).items() if name not in dropped}

    def connected(self) -> Any:
        """The SDK's client. Raises CallError when there is no key."""
        return self._connection.client()

    async def close(self) -> None:
        """Close the connections."""
        await self._connection.close()


def _names(settings: Mapping[str, Any]) -> Iterator[str]:
    """The names of settings, and of what is in them."""
    for name, value in settings.items():
        yield name
        if isinstance(value, dict):
            yield from _names(value)
