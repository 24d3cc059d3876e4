"""Anthropic's message batches: half the price, within a day.

A message batch carries no name of ours that its list shows. What does is the custom id of each question, and that can be read
only when the batch has ended. So a batch whose making was cut off is looked for among those of its size that were made since;
while one of them is under way it may be ours, and nothing is sent until it has ended and shows whose it is.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from bclust.functions import Answer, Batch, BatchState, CallError, Unsure
from udfs._batches import CLOCKS_DIFFER_S, get, get_lines, gone, item_error, make, unknown_batch

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from udfs.providers import Chat

_PATH = "/v1/messages/batches"
_PAGE = 100
# platform.claude.com/docs/en/api/errors
_STATUS = {
    "invalid_request_error": 400, "authentication_error": 401, "billing_error": 402, "permission_error": 403,
    "not_found_error": 404, "request_too_large": 413, "rate_limit_error": 429, "api_error": 500, "timeout_error": 504,
    "overloaded_error": 529,
}  # fmt: skip


class Batches:
    """The batches of one ``udfs.providers.anthropic.Provider``."""

    max_requests = 100_000
    max_bytes = 240_000_000  # a batch may have 256 MB

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tokens: dict[str, frozenset[str]] = {}  # of batches that have ended and were looked into: whose questions they hold

    def memo(self) -> str:
        """The parameters that are left out, since the model refuses them."""
        return ",".join(sorted(self._provider.dropped))

    async def ready(self, batch: Batch, chats: Mapping[str, Chat]) -> str:  # noqa: ARG002 - nothing comes before the sending
        """Check that there is a key. Raises CallError."""
        self._provider.connected()
        return ""

    async def send(self, batch: Batch, chats: Mapping[str, Chat]) -> str:
        """Make the batch. Raises CallError when it certainly was not made, else anything."""
        dropped = _dropped(batch)
        requests = [{"custom_id": name, "params": self._provider.body(chat, dropped)} for name, chat in chats.items()]
        return await make(self._provider.connected(), _PATH, {"requests": requests}, self._explained)

    async def find(self, batch: Batch, others: Collection[str]) -> str | None:
        """Look into the batches of its size that were made since it was sent. Raises Unsure while one is under way; CallError."""
        maybe = None
        for one in await self._listed((batch.sent_at or 0.0) - CLOCKS_DIFFER_S):
            name = str(one["id"])
            if name in others or _size(one) != batch.questions:
                continue
            if one.get("processing_status") != "ended":
                maybe = maybe or f"batch {name} is under way and may be one that was sent from here; its end will tell"
            elif not (tokens := await self._tokens_in(name)):
                maybe = maybe or (
                    f"batch {name} may be one that was sent from here, and its results cannot be read; if it is another's: "
                    f"bclust calls forget-batch {batch.token}"
                )
            elif batch.token in tokens:
                return name
        if maybe:
            raise Unsure(maybe)
        return None

    async def _listed(self, since: float) -> list[Mapping[str, Any]]:
        """All batches that were made since, the newest first."""
        import anthropic

        found: list[Mapping[str, Any]] = []
        after: dict[str, Any] = {}
        while True:
            try:
                page = await get(self._provider.connected(), _PATH, limit=_PAGE, **after)
            except anthropic.APIError as error:
                raise self._explained(error) from error
            listed = page.get("data") or []
            found += [one for one in listed if _made_at(one) >= since]
            if not listed or not page.get("has_more") or _made_at(listed[-1]) < since:
                return found
            after = {"after_id": listed[-1]["id"]}

    async def _tokens_in(self, name: str) -> frozenset[str]:
        """The tokens of the batches whose questions an ended batch holds: one, or none where its results cannot be read."""
        if name not in self._tokens:
            tokens = frozenset(str(line.get("custom_id")).rpartition("-")[0] for line in await self._lines(name) or ())
            if not tokens:
                return tokens
            self._tokens[name] = tokens
        return self._tokens[name]

    async def look(self, batch: Batch) -> BatchState:
        """How far it is; until its end, the server does not say how many are answered. Raises CallError."""
        import anthropic

        try:
            found = await get(self._provider.connected(), f"{_PATH}/{batch.remote_id}")
        except anthropic.NotFoundError as error:
            raise unknown_batch(batch) from error
        except anthropic.APIError as error:
            raise self._explained(error) from error
        counts = found.get("request_counts") or {}
        return BatchState(counts.get("succeeded") or 0, found.get("processing_status") == "ended")

    async def results(self, batch: Batch, chats: Mapping[str, Chat]) -> Mapping[str, Answer | CallError]:
        """Read what became of each question. Raises CallError."""
        lines, dropped = await self._lines(str(batch.remote_id)), _dropped(batch)
        if lines is None:
            raise gone(batch)
        results: dict[str, Answer | CallError] = {}
        for line in lines:
            name = str(line.get("custom_id"))
            if name in chats and not isinstance(results.get(name), Answer):  # the first good one stays: it was paid
                results[name] = self._result(line.get("result"), chats[name], dropped)
        return results

    def _result(self, result: Any, chat: Chat, dropped: frozenset[str]) -> Answer | CallError:
        try:
            kind = result["type"]
            if kind == "succeeded":
                return self._provider.answer(result["message"], chat, dropped)
            if kind == "errored":
                error = result["error"].get("error") or result["error"]
                status = _STATUS.get(error["type"], 500)
                return item_error(self._provider, status, {"error": error}, self._provider.sent(chat, dropped))
            return CallError(f"the batch was {kind} before this question was asked")
        except CallError as malformed:
            return CallError(malformed.message, charged=malformed.charged)
        except (LookupError, TypeError, AttributeError) as malformed:
            return CallError(f"malformed answer in the batch: {type(malformed).__name__}: {malformed}")

    async def _lines(self, name: str) -> Iterator[dict[str, Any]] | None:
        """The results of an ended batch; None where they are no longer kept."""
        import anthropic

        try:
            return await get_lines(self._provider.connected(), f"{_PATH}/{name}/results")
        except anthropic.NotFoundError:
            return None
        except anthropic.APIError as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> CallError:
        if getattr(error, "status_code", None) in (404, 405):
            return CallError(f"this server takes no batches (HTTP 404 for {_PATH}): leave out mode: batch", fatal=True)
        explained: CallError = self._provider.explained(error, {})
        return explained


def _made_at(one: Mapping[str, Any]) -> float:
    return dt.datetime.fromisoformat(str(one["created_at"])).timestamp()


def _size(one: Mapping[str, Any]) -> int:
    return sum((one.get("request_counts") or {}).values())


def _dropped(batch: Batch) -> frozenset[str]:
    return frozenset(filter(None, batch.memo.split(",")))
