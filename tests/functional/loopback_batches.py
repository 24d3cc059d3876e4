"""The batch endpoints of the loopback server: OpenAI's files and batches, Anthropic's message batches.

They keep to what the two interfaces say of themselves: ids, states, counts, pages, the lines of results. How often each
question was accepted is counted, whatever became of the client that sent it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email import message_from_bytes
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from tests.functional.loopback import Behavior, Counts

Reply = tuple[int, Any]  # status, and an object or bytes


@dataclass
class Batch:
    """One accepted batch: questions by custom id."""

    id: str
    questions: dict[str, dict[str, Any]]
    made_at: float
    ends_at: float
    file: str | None = None
    metadata: dict[str, str] | None = None
    failed: tuple[str, str] | None = None  # code, message: nothing was asked
    answered: bool = False
    results: list[dict[str, Any]] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.failed is not None or time.time() >= self.ends_at


class Batches:
    """All files and batches of one server."""

    def __init__(
        self, behavior: Behavior, counts: Counts, asked: Callable[[dict[str, Any]], str], draw: Callable[..., float],
        answer: Callable[[str, dict[str, Any]], dict[str, Any]],
    ) -> None:  # fmt: skip
        self._behavior, self._counts, self._asked, self._draw, self._answer = behavior, counts, asked, draw, answer
        self._files: dict[str, bytes] = {}
        self.made: list[Batch] = []
        self._number = 0

    def serves(self, path: str) -> bool:
        """Whether a request is for these endpoints."""
        return any(part in urlsplit(path).path for part in ("/files", "/batches"))

    async def reply(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        """Answer one request."""
        if not self._behavior.batches:
            return _error(404, "not_found_error", "Not Found")
        parts = urlsplit(target)
        path, query = parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()}
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self._behavior.key is not None and key != self._behavior.key:
            return _error(401, "authentication_error", "Incorrect API key provided")
        if path.endswith("/files"):
            return self._upload(headers, body)
        if path.endswith("/content"):
            name = path.split("/")[-2]
            return (
                (200, self._files[name])
                if name in self._files
                else _error(404, "not_found_error", f"No such File object: {name}")
            )
        anthropic = "/messages/" in path
        if method == "POST":
            return await self._make(anthropic, json.loads(body))
        if path.endswith("/batches"):
            return self._page(anthropic, query)
        name = path.split("/batches/")[1].split("/")[0]
        batch = next((b for b in self.made if b.id == name), None)
        if batch is None:
            return _error(404, "not_found_error", f"No batch found with id '{name}'.")
        self._process(batch, anthropic)
        if path.endswith("/results"):
            return 200, _lines(batch.results, self._behavior.batch_garbled)
        return 200, self._anthropic(batch) if anthropic else self._openai(batch)

    def finish(self) -> None:
        """All batches have ended, and so will the next ones when they are made."""
        self._behavior.batch_s = 0.0
        for batch in self.made:
            batch.ends_at = 0.0

    # --- making one --------------------------------------------------------------------------------------------

    def _upload(self, headers: dict[str, str], body: bytes) -> Reply:
        form = message_from_bytes(f"content-type: {headers['content-type']}\r\n\r\n".encode() + body)
        parts = {p.get_param("name", header="content-disposition"): p.get_payload(decode=True) for p in form.get_payload()}  # type: ignore[union-attr]
        if parts.get("purpose") != b"batch":
            return _error(400, "invalid_request_error", "Invalid value for purpose")
        name = f"file-{len(self._files) + 1:06}"
        self._files[name] = parts["file"]  # type: ignore[assignment]
        self._counts.uploads += 1
        return 200, {
            "id": name, "object": "file", "bytes": len(self._files[name]), "created_at": int(time.time()),
            "filename": "questions.jsonl", "purpose": "batch", "status": "processed",
        }  # fmt: skip

    async def _make(self, anthropic: bool, body: dict[str, Any]) -> Reply:
        behavior = self._behavior
        if behavior.batch_refusal is not None:
            return _error(behavior.batch_refusal, "invalid_request_error", "this batch is refused")
        if anthropic:
            questions = {r["custom_id"]: r["params"] for r in body["requests"]}
            assert len(questions) == len(body["requests"]), "a custom id occurs twice"
        else:
            assert body["endpoint"] == "/v1/chat/completions"
            assert body["completion_window"] == "24h"
            lines = [json.loads(line) for line in self._files[body["input_file_id"]].decode().splitlines()]
            assert all(line["method"] == "POST" and line["url"] == body["endpoint"] for line in lines)
            questions = {line["custom_id"]: line["body"] for line in lines}
            assert len(questions) == len(lines), "a custom id occurs twice"
        self._counts.batches_read += 1
        await asyncio.sleep(behavior.batch_late_s)
        batch = self._accept(anthropic, questions, body)
        await asyncio.sleep(behavior.batch_hold_s)
        if behavior.batch_lost_reply:
            return 500, {"error": {"message": "The server had an error"}}
        return 200, self._anthropic(batch) if anthropic else self._openai(batch)

    def _accept(self, anthropic: bool, questions: dict[str, dict[str, Any]], body: dict[str, Any]) -> Batch:
        now = time.time()
        self._number += 1
        batch = Batch(
            f"{'msgbatch' if anthropic else 'batch'}_{self._number:06}", questions, now, now + self._behavior.batch_s,
            body.get("input_file_id"), body.get("metadata"),
        )  # fmt: skip
        limit, models = self._behavior.batch_queue, self._behavior.models
        waiting = sum(len(b.questions) for b in self.made if not b.ended)
        if not anthropic and limit is not None and waiting + len(questions) > limit:
            batch.failed = ("token_limit_exceeded", "Enqueued token limit reached for g. Please try again later.")
        elif not anthropic and models is not None and any(q["model"] not in models for q in questions.values()):
            batch.failed = ("model_not_found", "The provided model is not supported by the Batch API.")
        else:
            self._counts.accepted.update(self._asked(q) for q in questions.values())
        self.made.append(batch)
        return batch

    # --- looking at them ---------------------------------------------------------------------------------------

    def _page(self, anthropic: bool, query: dict[str, str]) -> Reply:
        newest_first = list(reversed(self.made))
        after = query.get("after_id" if anthropic else "after")
        if after is not None:
            newest_first = newest_first[[b.id for b in newest_first].index(after) + 1 :]
        size = int(query.get("limit", 20))
        shown = [self._anthropic(b) if anthropic else self._openai(b) for b in newest_first[:size]]
        ids = {"first_id": shown[0]["id"], "last_id": shown[-1]["id"]} if shown else {"first_id": None, "last_id": None}
        return 200, {"data": shown, "has_more": len(newest_first) > size, **ids} | ({} if anthropic else {"object": "list"})

    def _process(self, batch: Batch, anthropic: bool) -> None:
        """What became of each question, decided when the batch is first seen to have ended."""
        if not batch.ended or batch.answered or batch.failed:
            return
        batch.answered = True
        outcome = self._anthropic_result if anthropic else self._openai_result
        batch.results = [outcome(name, q) for name, q in batch.questions.items()]
        batch.results.sort(key=lambda line: self._draw(line["custom_id"]))  # in no order
        if not anthropic:
            good = [line for line in batch.results if (line["response"] or {}).get("status_code") == 200]
            bad = [line for line in batch.results if line not in good]
            self._files[f"{batch.id}-output"] = _lines(good, self._behavior.batch_garbled)
            self._files[f"{batch.id}-errors"] = _lines(bad, 0)

    def _fate(self, question: dict[str, Any]) -> str:
        asked = self._asked(question)
        time_ = self._counts.accepted[asked]
        drawn = self._draw(asked, "fate", time_)
        if any(name in question for name in self._behavior.refuses):
            return "refused"
        if drawn < self._behavior.batch_expired_share:
            return "expired"
        return "errored" if drawn < self._behavior.batch_expired_share + self._behavior.batch_errored_share else "succeeded"

    def _refusal(self, question: dict[str, Any]) -> dict[str, Any]:
        name = next(name for name in self._behavior.refuses if name in question)
        return {"message": f"Unsupported parameter: '{name}' is not supported with this model.", "param": name}

    def _openai_result(self, name: str, question: dict[str, Any]) -> dict[str, Any]:
        fate = self._fate(question)
        line: dict[str, Any] = {"id": f"batch_req_{name}", "custom_id": name, "response": None, "error": None}
        if fate == "expired":
            said = "This request could not be executed before the completion window expired."
            return line | {"error": {"code": "batch_expired", "message": said}}
        status, body = {
            "succeeded": (200, lambda: self._answer("/v1/chat/completions", question)),
            "errored": (500, lambda: {"error": {"message": "The server had an error", "type": "server_error"}}),
            "refused": (400, lambda: {"error": self._refusal(question) | {"type": "invalid_request_error"}}),
        }[fate]
        return line | {"response": {"status_code": status, "request_id": name, "body": body()}}

    def _anthropic_result(self, name: str, question: dict[str, Any]) -> dict[str, Any]:
        fate = self._fate(question)
        result: dict[str, Any] = {"type": "errored" if fate == "refused" else fate}
        if fate == "succeeded":
            result["message"] = self._answer("/v1/messages", question)
        elif fate != "expired":
            kind, said = ("api_error", "Internal server error")
            if fate == "refused":
                kind, said = "invalid_request_error", self._refusal(question)["message"]
            result["error"] = {"type": "error", "error": {"type": kind, "message": said}}
        return {"custom_id": name, "result": result}

    def _openai(self, batch: Batch) -> dict[str, Any]:
        self._process(batch, False)
        good = sum((line["response"] or {}).get("status_code") == 200 for line in batch.results)
        bad = len(batch.results) - good
        expired = any((line["error"] or {}).get("code") == "batch_expired" for line in batch.results)
        status = "failed" if batch.failed else ("expired" if expired else "completed") if batch.ended else "in_progress"
        errors = None
        if batch.failed:
            code, said = batch.failed
            errors = {"object": "list", "data": [{"code": code, "message": said, "param": None, "line": None}]}
        return {
            "id": batch.id, "object": "batch", "endpoint": "/v1/chat/completions", "errors": errors, "input_file_id": batch.file,
            "completion_window": "24h", "status": status, "created_at": int(batch.made_at), "metadata": batch.metadata,
            "output_file_id": f"{batch.id}-output" if good else None, "error_file_id": f"{batch.id}-errors" if bad else None,
            "request_counts": {"total": len(batch.questions), "completed": good, "failed": bad},
        }  # fmt: skip

    def _anthropic(self, batch: Batch) -> dict[str, Any]:
        self._process(batch, True)
        kinds = [line["result"]["type"] for line in batch.results]
        counts = {kind: kinds.count(kind) for kind in ("succeeded", "errored", "canceled", "expired")}
        stamp = dt.datetime.fromtimestamp(batch.made_at, dt.UTC).isoformat().replace("+00:00", "Z")
        return {
            "id": batch.id, "type": "message_batch", "processing_status": "ended" if batch.ended else "in_progress",
            "request_counts": {"processing": 0 if batch.ended else len(batch.questions), **counts}, "created_at": stamp,
            "ended_at": stamp if batch.ended else None, "expires_at": stamp, "archived_at": None, "cancel_initiated_at": None,
            "results_url": f"http://nowhere.invalid/{batch.id}" if batch.ended else None,
        }  # fmt: skip


def _lines(objects: list[dict[str, Any]], garbled: int) -> bytes:
    lines = [json.dumps(o, ensure_ascii=False) for o in objects]
    lines = [line[: len(line) // 2] if i < garbled else line for i, line in enumerate(lines)]
    return ("\n".join(lines) + "\n").encode()


def _error(status: int, kind: str, message: str) -> Reply:
    return status, {"type": "error", "error": {"type": kind, "message": message, "param": None, "code": None}}
