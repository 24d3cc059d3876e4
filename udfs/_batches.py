"""What half-price batches of the openai and anthropic interfaces have in common.

Neither interface has an idempotency key for making a batch, so the request that makes one is sent once, and whatever is not
certainly a refusal of it is Unsure: the runner then asks the server, and never sends it twice on a guess.
"""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Protocol

from bclust.errors import FunctionError, did_you_mean
from bclust.functions import Answer, Batch, BatchLimits, BatchState, CallError, Unsure
from udfs._prices import Prices, set_prices
from udfs._sdk import SaidError, post, read, refusal, refused_parameter
from udfs._settings import checked_number

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from udfs.providers import Chat

SETTINGS = ("mode", "batch_poll_s", "batch_grace_s", "batch_requests")
_MODES = ("direct", "batch")
# of the list price: developers.openai.com/api/docs/guides/batch, platform.claude.com/docs/en/build-with-claude/batch-processing
_PRICE = 0.5
CLOCKS_DIFFER_S = 86_400.0  # so much earlier than the sending a batch may have been made, by the server's clock
_TAKES_NOTHING = (400, 401, 402, 403, 404, 405, 413, 422, 429, 529)  # with any other status, the batch may have been made


class ProviderBatches(Protocol):
    """The attribute ``batches`` of a provider: as ``bclust.functions.BatchLane``, with chats in the place of payloads."""

    max_requests: int
    max_bytes: int

    def memo(self) -> str: ...

    async def ready(self, batch: Batch, chats: Mapping[str, Chat]) -> str: ...

    async def send(self, batch: Batch, chats: Mapping[str, Chat]) -> str: ...

    async def find(self, batch: Batch, others: Collection[str]) -> str | None: ...

    async def look(self, batch: Batch) -> BatchState: ...

    async def results(self, batch: Batch, chats: Mapping[str, Chat]) -> Mapping[str, Answer | CallError]: ...


class ModelBatches:
    """The batches of one language model: payloads to its provider and back, at half the list price."""

    def __init__(
        self,
        batches: ProviderBatches,
        limits: BatchLimits,
        chat: Callable[[str], Chat],
        rates: Callable[[], Prices | None],
        most_input: Callable[[str], int],
    ) -> None:
        self._batches, self.limits, self._chat, self._rates, self._most_input = batches, limits, chat, rates, most_input

    def memo(self) -> str:
        """What the provider wishes to know again."""
        return self._batches.memo()

    async def ready(self, batch: Batch, payloads: Mapping[str, str]) -> str:
        """What can be done twice. Raises CallError."""
        return await self._batches.ready(batch, self._chats(payloads))

    async def send(self, batch: Batch, payloads: Mapping[str, str]) -> str:
        """Have the batch made, once. Raises CallError if certainly it was not, else anything."""
        return await self._batches.send(batch, self._chats(payloads))

    async def find(self, batch: Batch, others: Collection[str]) -> str | None:
        """Whether the server has it. Raises Unsure or CallError."""
        return await self._batches.find(batch, others)

    async def look(self, batch: Batch) -> BatchState:
        """How far it is. Raises CallError."""
        return await self._batches.look(batch)

    async def results(self, batch: Batch, payloads: Mapping[str, str]) -> Mapping[str, Answer | CallError]:
        """What became of each question, priced. Raises CallError."""
        results = await self._batches.results(batch, self._chats(payloads))
        for name, result in results.items():
            if isinstance(result, Answer):
                set_prices(result, half(self._rates()), functools.partial(self._most_input, payloads[name]))
        return results

    def _chats(self, payloads: Mapping[str, str]) -> dict[str, Chat]:
        return {name: self._chat(payload) for name, payload in payloads.items()}


def half(rates: Prices | None) -> Prices | None:
    """The prices of a batch where ``rates`` are the list prices."""
    return None if rates is None else (rates[0] * _PRICE, rates[1] * _PRICE)


def in_batches(
    what: str,
    row: Mapping[str, Any],
    provider: Any,
    chat: Callable[[str], Chat],
    rates: Callable[[], Prices | None],
    most_input: Callable[[str], int],
) -> ModelBatches | None:
    """The batches of the language model of a row; None for one whose provider has none.

    ``rates`` are its list prices, ``most_input`` says how many tokens a payload has at most.

    Without ``mode: batch`` open batches are still collected, so that what was paid in them is not paid again.

    Raises:
        FunctionError: an unknown mode, a setting that is no positive number, or batches of a provider that has none.
    """
    mode = row.get("mode") or "direct"
    if mode not in _MODES:
        raise FunctionError(f"{what}: unknown mode {mode!r}", hint=did_you_mean(str(mode), _MODES))
    batches: ProviderBatches | None = getattr(provider, "batches", None)
    if batches is None:
        if mode == "batch":
            raise FunctionError(
                f"{what}: the provider {row.get('provider')} takes no batches",
                hint="leave out mode: batch",
            )
        return None
    most = checked_number(what, "batch_requests", row.get("batch_requests"), low=1)
    poll_s = checked_number(what, "batch_poll_s", row.get("batch_poll_s"), low=0.01)
    grace_s = checked_number(what, "batch_grace_s", row.get("batch_grace_s"), low=0.1)
    standard = BatchLimits(batches.max_requests, batches.max_bytes)
    limits = BatchLimits(
        min(int(most or batches.max_requests), batches.max_requests),
        batches.max_bytes,
        poll_s or standard.poll_s,
        grace_s or standard.grace_s,
        collect_only=mode != "batch",
    )
    return ModelBatches(batches, limits, chat, rates, most_input)


# --- speaking to a server --------------------------------------------------------------------------------------


async def make(client: Any, path: str, body: Mapping[str, Any], explained: Callable[[Exception], CallError]) -> str:
    """Have a batch made; returns its id.

    Raises:
        CallError: the server refused it.
        Unsure: it may have been made all the same.
    """
    import httpx2

    try:
        made = await post(client, path, body)
        return str(made["id"])
    except SaidError as error:
        if error.status_code in _TAKES_NOTHING:
            raise explained(error) from error
        raise Unsure(f"the server's answer to a new batch is an error: {error}") from error
    except (CallError, LookupError) as error:  # the answer to it cannot be read
        raise Unsure(f"the server's answer to a new batch cannot be read: {error}") from error
    except Exception as error:
        never_left = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
        if never_left or getattr(error, "status_code", None) in _TAKES_NOTHING:
            raise explained(error) from error
        raise


async def get(client: Any, path: str, **parameters: Any) -> Any:
    """The JSON object at ``path``. Raises the SDK's errors; CallError (may pass) where it is none."""
    return read(await _response(client, path, parameters))


async def get_lines(client: Any, path: str) -> Iterator[dict[str, Any]]:
    """The JSON objects, one a line, at ``path``; what is none is left out. Raises the SDK's errors."""
    return _objects((await _response(client, path, {})).text)


async def _response(client: Any, path: str, parameters: Mapping[str, Any]) -> Any:
    import httpx2

    return await client.get(path, cast_to=httpx2.Response, options={"params": dict(parameters)})


def _objects(text: str) -> Iterator[dict[str, Any]]:
    for line in text.split("\n"):
        try:
            found = json.loads(line) if line.strip() else None
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


# --- what became of one question -------------------------------------------------------------------------------


def item_error(provider: Any, status: int, body: Any, sent: Mapping[str, Any]) -> Answer | CallError:
    """The error of one question: asked again at once only without what its model does not take. A filter's refusal answers it."""
    error = SaidError(body, status)
    refused = refusal(error)
    if refused is not None:
        return refused
    again = refused_parameter(error, sent) is not None
    explained: CallError = provider.explained(error, sent)
    return CallError(explained.message, retry=again, fatal=explained.fatal)


def gone(batch: Batch) -> CallError:
    """For a batch whose results the server does not show: they were paid, so it stays open until it is given up."""
    return CallError(
        f"the server does not show the results of batch {batch.remote_id} (HTTP 404); "
        f"if they are gone for good, give it up: bclust calls forget-batch {batch.remote_id}"
    )


def unknown_batch(batch: Batch) -> CallError:
    """For a batch that was made, and that the server does not show."""
    return CallError(
        f"the server shows no batch {batch.remote_id} to this key (HTTP 404): use the key that it was made with, "
        f"or, if it is gone for good, give it up: bclust calls forget-batch {batch.remote_id}"
    )
