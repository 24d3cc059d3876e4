"""Batches of OpenAI's interface: a file of questions is uploaded, then a batch is made of it. Half the price, within a day.

The upload costs nothing and may happen twice; making the batch may not. A batch whose making was cut off is recognised among
those that the server lists by the file that it was made of, and by its metadata.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bclust.functions import Answer, Batch, BatchState, CallError, Unsure
from udfs._batches import CLOCKS_DIFFER_S, get, get_lines, gone, item_error, make, unknown_batch
from udfs._sdk import SaidError, checked

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from udfs.providers import Chat

_ENDPOINT = "/v1/chat/completions"
_ENDED = ("completed", "failed", "expired", "cancelled")
_PAGE = 100


class Batches:
    """The batches of one ``udfs.providers.openai.Provider``."""

    max_requests = 50_000
    max_bytes = 190_000_000  # a file may have 200 MB

    def __init__(self, provider: Any) -> None:
        self._provider = provider

    def memo(self) -> str:
        """The parameters that are left out, since the model refuses them."""
        return ",".join(sorted(self._provider.dropped))

    async def ready(self, batch: Batch, chats: Mapping[str, Chat]) -> str:
        """Upload the questions; returns the id of the file. Raises CallError."""
        import openai

        dropped = _dropped(batch)
        lines = (
            {"custom_id": name, "method": "POST", "url": _ENDPOINT, "body": self._provider.body(chat, dropped)}
            for name, chat in chats.items()
        )
        content = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines).encode()
        try:
            file = await self._provider.connected().files.create(file=(f"{batch.token}.jsonl", content), purpose="batch")
        except openai.APIError as error:
            raise self._explained(error) from error
        return str(file.id)

    async def send(self, batch: Batch, chats: Mapping[str, Chat]) -> str:  # noqa: ARG002 - the file has them
        """Make the batch of the uploaded file. Raises CallError when it certainly was not made, else anything."""
        body = {"input_file_id": batch.ready, "endpoint": _ENDPOINT, "completion_window": "24h"}
        return await make(self._provider.connected(), "/batches", body | {"metadata": {"bclust": batch.token}}, self._explained)

    async def find(self, batch: Batch, others: Collection[str]) -> str | None:  # noqa: ARG002 - a file tells enough
        """Look for it among all batches that the server lists; the newest first, as a rule. Raises CallError or Unsure."""
        import openai

        since = (batch.sent_at or 0.0) - CLOCKS_DIFFER_S
        after: dict[str, Any] = {}
        while True:
            try:
                page = await get(self._provider.connected(), "/batches", limit=_PAGE, **after)
            except openai.NotFoundError as error:
                raise Unsure(
                    "a batch may have been made, and the server lists none (HTTP 404); if you know that it was not made: "
                    f"bclust calls forget-batch {batch.token}"
                ) from error
            except openai.APIError as error:
                raise self._explained(error) from error
            listed = page.get("data") or []
            for one in listed:
                if one.get("input_file_id") == batch.ready or (one.get("metadata") or {}).get("bclust") == batch.token:
                    return str(one["id"])
            first, last = (listed[0], listed[-1]) if listed else ({}, {})
            only_older = last.get("created_at", 0) < since and first.get("created_at", 0) >= last.get("created_at", 0)
            if not page.get("has_more", bool(listed)) or only_older or after.get("after") == last.get("id"):
                return None
            after = {"after": last["id"]}

    async def look(self, batch: Batch) -> BatchState:
        """How far it is. Raises CallError."""
        found = await self._found(batch)
        status, counts = found.get("status"), found.get("request_counts") or {}
        asked = bool(found.get("output_file_id") or counts.get("completed"))
        refused = self._refused(found) if status == "failed" and not asked else None
        return BatchState(counts.get("completed") or 0, status in _ENDED, refused)

    async def results(self, batch: Batch, chats: Mapping[str, Chat]) -> Mapping[str, Answer | CallError]:
        """Read the file of answers and the file of errors. Raises CallError."""
        import openai

        found, dropped = await self._found(batch), _dropped(batch)
        results: dict[str, Answer | CallError] = {}
        if found.get("status") in ("expired", "cancelled", "failed"):
            said = "was cancelled" if found["status"] == "cancelled" else found["status"]
            results = {name: CallError(f"the batch {said} before this question was asked") for name in chats}
        for file in (found.get("output_file_id"), found.get("error_file_id")):
            if not file:
                continue
            try:
                lines = await get_lines(self._provider.connected(), f"/files/{file}/content")
            except openai.NotFoundError as error:
                if file == found.get("output_file_id"):
                    raise gone(batch) from error
                continue  # without the errors, the answers are still answers
            except openai.APIError as error:
                raise self._explained(error) from error
            for line in lines:
                name = str(line.get("custom_id"))
                if name in chats and not isinstance(results.get(name), Answer):  # the first good one stays: it was paid
                    results[name] = self._result(line, chats[name], dropped)
        return results

    def _result(self, line: Mapping[str, Any], chat: Chat, dropped: frozenset[str]) -> Answer | CallError:
        """What became of one question: a response with a status, or an error of the batch itself."""
        try:
            error, response = line.get("error") or {}, line.get("response") or {}
            status, body = response.get("status_code"), response.get("body")
            if status == 200:
                return self._provider.answer(checked(body), chat, dropped)
            if status is not None:
                return item_error(self._provider, int(status), body, self._provider.sent(chat, dropped))
            return CallError(f"{error['code']}: {error['message']}")
        except SaidError as said:
            return item_error(self._provider, said.status_code, said.body, self._provider.sent(chat, dropped))
        except CallError as malformed:
            return CallError(malformed.message, charged=malformed.charged)
        except (LookupError, TypeError, ValueError, AttributeError) as malformed:
            return CallError(f"malformed answer in the batch: {type(malformed).__name__}: {malformed}")

    def _refused(self, found: Mapping[str, Any]) -> CallError:
        """Why the server asked none of it: too many tokens are queued already (wait, and send less), or the file is wrong."""
        errors = [e for e in (found.get("errors") or {}).get("data") or [] if isinstance(e, dict)] or [{}]
        first = errors[0]
        place = f" (line {first['line']})" if first.get("line") else ""
        message = f"batch {found.get('id')} was refused: {first.get('message') or first.get('code') or 'no reason given'}{place}"
        if first.get("code") == "token_limit_exceeded":
            return CallError(message, retry=True, throttled=True)
        return CallError(message, fatal=first.get("code") == "model_not_found")

    async def _found(self, batch: Batch) -> dict[str, Any]:
        import openai

        try:
            return await get(self._provider.connected(), f"/batches/{batch.remote_id}")
        except openai.NotFoundError as error:
            raise unknown_batch(batch) from error
        except openai.APIError as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> CallError:
        if getattr(error, "status_code", None) in (404, 405):
            return CallError("this server takes no batches (HTTP 404 for /files or /batches): leave out mode: batch", fatal=True)
        explained: CallError = self._provider.explained(error, {})
        return explained


def _dropped(batch: Batch) -> frozenset[str]:
    return frozenset(filter(None, batch.memo.split(",")))
