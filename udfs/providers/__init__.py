"""Providers: who answers a prompt. One file, one provider; the name of the file is its ``provider`` in bclust.yml.

A row of the seed ``llms`` such as ``{llm_id: gpt, provider: openai, model: gpt-x, temperature: 0}`` is one language model.
``udfs/llm.py`` takes the keys that mean the same everywhere (temperature, max_tokens, the limits, the prices); all others
are keyword arguments of the provider's class. A provider in full, ``udfs/providers/echo.py``:

    class Provider:
        limits, free = Limits(), True
        def __init__(self, context, *, model): self.model = model
        def identity(self): return {"provider": "echo", "model": self.model}
        async def complete(self, chat): return Answer(chat.prompt, finish_reason="stop")
        async def close(self): pass
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bclust.functions import Answer, CallError, Context, Limits


@dataclass(frozen=True)
class Chat:
    """One request: at most one system message and one prompt.

    ``sample`` numbers repeated requests, ``replicate`` the rows that ask one language model apart. ``truth`` is what only
    ``simulated`` may know of the question; the other providers never see it.
    """

    prompt: str
    system: str | None = None
    sample: int = 0
    temperature: float | None = None
    max_tokens: int | None = None
    logprobs: bool = False
    truth: Mapping[str, Any] | None = None
    replicate: int = 0

    @property
    def draw(self) -> int:
        """What tells this request's draw from others of equal words: where a seed is asked for, it is that of no other."""
        return self.sample + 1_000_003 * self.replicate

    @property
    def messages(self) -> list[dict[str, str]]:
        """The messages in the form that most interfaces take."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": self.prompt}]

    @property
    def folded(self) -> str:
        """One message for a model that knows no system message: what it says stands in front of the prompt."""
        return f"{self.system}\n\n{self.prompt}" if self.system else self.prompt


class ChatProvider(Protocol):
    """The class ``Provider`` of a provider's file.

    The constructor takes the row's settings by name (a parameter ``llm_id`` gets the row's name). It is cheap, opens
    nothing and needs no key: a plan must be possible without one. A file has ``complete``, ``complete_batch`` or both; with
    both, ``complete_batch`` is used where ``limits.batch_size`` is above 1. An attribute ``batches`` (``udfs._batches``) is for
    ``mode: batch``: questions that are sent now and answered hours later, maybe to another process.

    A refusal or an empty text is an answer. Answers carry the tokens that the server counted; ``udfs/llm.py`` prices them.
    A provider with ``heavy = True`` computes here, in ``complete_batch``: with ``executor: ray`` a cluster does it.
    The detail of an answer is JSON text; ``{"top_logprobs": [{"token": "Yes", "logprob": -0.1}, ...]}`` for the first token
    where ``chat.logprobs`` asks for it and the provider can. Also, where it is known: ``reasoning``, what the model thought, if
    it comes apart from the text (thoughts marked in the text are found by ``udfs/llm.py``), ``reasoning_tokens``, ``model`` and
    ``fingerprint``, who answered by its own word, and ``system: folded`` where the system message went in front of the prompt.
    """

    limits: Limits
    free: bool
    """No money is asked for an answer (it runs here, or exists already)."""

    def __init__(self, context: Context, **settings: Any) -> None: ...

    def identity(self) -> dict[str, Any]:
        """What of the settings decides an answer: provider, model, base_url, sampling parameters. It is part of the key,
        so nothing operational (limits, prices, device, the name of the key's variable) and no secret may be in it."""
        ...

    async def complete(self, chat: Chat) -> Answer:
        """Answer one request. Raises CallError."""
        ...

    def complete_batch(self, chats: Sequence[Chat]) -> Sequence[Answer | CallError]:
        """Answer several requests, in order; called in a thread."""
        ...

    async def close(self) -> None:
        """Give back connections; the provider may be used again afterwards."""
        ...
