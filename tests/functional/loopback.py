"""A server on this machine that speaks OpenAI's chat completions and embeddings and Anthropic's messages.

It answers deterministically, as slowly and as badly as it is told, and counts what it was asked. It runs in a thread
(``with Loopback(Behavior(...)) as server``), or alone, where its work must not disturb the measurement of another:

    python tests/functional/loopback.py '{"latency_ms": [100, 200]}'      # prints its port; GET /stats tells the counts
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import math
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).parents[2]))  # when it runs alone

from tests.functional.loopback_batches import Batches

FAULTS = ("500", "429", "reset", "truncated", "empty_body")


@dataclass
class Behavior:
    """How the server behaves. Which request is slow or fails is drawn from its text and how often it was tried."""

    latency_ms: tuple[float, float] = (0.0, 0.0)
    slow_share: float = 0.0
    slow_ms: float = 4000.0
    fault_share: float = 0.0  # of tries; FAULTS take turns
    faults: tuple[str, ...] = FAULTS
    retry_after: float | None = None  # seconds, sent with every 429
    max_in_flight: int | None = None  # 429 above
    key: str | None = None  # the only one that is let in
    models: tuple[str, ...] | None = None  # the only ones known
    refuses: tuple[str, ...] = ()  # parameters that a reasoning model would not take
    says: str | None = None  # the same answer to all; "" is an empty one
    echo_headers: bool = False  # answers and errors repeat the request's headers, keys included
    poison: str | None = None  # a text that makes any batch fail (HTTP 400)
    dimensions: int = 8
    batches: bool = True  # whether there are endpoints for batches
    batch_s: float = 0.0  # a batch has ended so long after it was made
    batch_late_s: float = 0.0  # a batch is made so long after it was sent in full, also if the client is gone by then
    batch_hold_s: float = 0.0  # and the client is told so long after that
    batch_lost_reply: bool = False  # and is told HTTP 500
    batch_refusal: int | None = None  # the status by which every new batch is refused
    batch_queue: int | None = None  # so many questions may wait at once
    batch_expired_share: float = 0.0  # of questions, drawn anew each time that one is accepted
    batch_errored_share: float = 0.0
    batch_garbled: int = 0  # so many lines of results are cut in half


@dataclass
class Counts:
    """What the server was asked."""

    requests: int = 0
    answered: Counter[str] = field(default_factory=Counter)  # by prompt (with system message), answers sent in full
    tries: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    arrivals: list[float] = field(default_factory=list)  # seconds
    bodies: list[dict[str, Any]] = field(default_factory=list)  # the latest 10,000
    accepted: Counter[str] = field(default_factory=Counter)  # by prompt: how often it was taken in a batch
    uploads: int = 0
    batches_read: int = 0  # requests for a new batch that arrived in full
    looks: int = 0  # requests about batches


class Loopback:
    """The server in a thread of its own."""

    def __init__(self, behavior: Behavior | None = None) -> None:
        self.behavior = behavior or Behavior()
        self.counts = Counts()
        self.batches = Batches(self.behavior, self.counts, asked_in, _draw, lambda path, body: self._answer(path, body, None))
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)

    @property
    def url(self) -> str:
        """For ``provider: openai``."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def anthropic_url(self) -> str:
        """For ``provider: anthropic``."""
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    async def serve(self, announce: bool = False) -> None:
        """Serve until stopped."""
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        if announce:
            sys.stdout.write(f"{self.port}\n")
            sys.stdout.flush()
        self._ready.set()
        async with server:
            await self._stopped.wait()

    # --- one connection ----------------------------------------------------------------------------------------

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = head.split("\r\n")
                headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, path, _ = lines[0].split(" ")
                if path == "/stats":
                    _send(writer, 200, vars(self.counts))
                elif self.batches.serves(path):
                    self.counts.looks += 1
                    status, said = await self.batches.reply(method, path, headers, body)
                    _send(writer, status, said)
                elif not await self._request(path, headers, json.loads(body or b"{}"), writer):
                    break
                await writer.drain()
        writer.close()

    async def _request(self, path: str, headers: dict[str, str], body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        """Answer one request; False to cut the connection."""
        counts, behavior = self.counts, self.behavior
        counts.requests += 1
        counts.arrivals.append(self._loop.time())
        counts.bodies.append(body)
        del counts.bodies[:-10_000]
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        try:
            asked = asked_in(body)
            counts.tries[asked] += 1
            problem = self._problem(headers, body)
            if problem is None and behavior.max_in_flight is not None and counts.in_flight > behavior.max_in_flight:
                problem = "429"
            if problem is None:
                await asyncio.sleep(self._latency(asked))
                problem = self._fault(asked)
            if problem is not None:
                counts.statuses[problem] += 1
                return self._fail(problem, headers, body, writer)
            answer = self._answer(path, body, json.dumps(headers) if behavior.echo_headers else None)
            counts.statuses["200"] += 1
            _send(writer, 200, answer)
            await writer.drain()
            counts.answered[asked] += 1
            return True
        finally:
            counts.in_flight -= 1

    def _latency(self, asked: str) -> float:
        low, high = self.behavior.latency_ms
        if _draw(asked, "slow") < self.behavior.slow_share:
            return self.behavior.slow_ms / 1000
        return (low + (high - low) * _draw(asked, "latency")) / 1000

    def _problem(self, headers: dict[str, str], body: dict[str, Any]) -> str | None:
        key = headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")
        if self.behavior.key is not None and key != self.behavior.key:
            return "401"
        if self.behavior.models is not None and body.get("model") not in self.behavior.models:
            return "404"
        if any(name in body for name in self.behavior.refuses):
            return "400"
        if self.behavior.poison and self.behavior.poison in json.dumps(body, ensure_ascii=False):
            return "400 poison"
        return None

    def _fault(self, asked: str) -> str | None:
        tried = self.counts.tries[asked]
        if _draw(asked, "fault", tried) >= self.behavior.fault_share:
            return None
        return self.behavior.faults[int(_draw(asked, "kind", tried) * len(self.behavior.faults))]

    def _fail(self, problem: str, headers: dict[str, str], body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        extra: dict[str, str] = {}
        if problem == "reset":
            writer.transport.abort()
            return False
        if problem == "truncated":
            text = json.dumps(self._answer("/v1/chat/completions", body, None))
            _send(writer, 200, text[: len(text) // 2].encode())
            return True
        if problem == "empty_body":
            _send(writer, 200, b"")
            return True
        if problem == "429" and self.behavior.retry_after is not None:
            extra = {"retry-after": f"{self.behavior.retry_after:g}"}
        refused = next((name for name in self.behavior.refuses if name in body), "")
        message = {
            "400": f"Unsupported parameter: '{refused}' is not supported with this model.",
            "400 poison": "the input holds what cannot be processed",
            "401": "Incorrect API key provided",
            "404": f"The model `{body.get('model')}` does not exist",
            "429": "Rate limit reached",
            "500": "The server had an error",
        }[problem]
        if self.behavior.echo_headers:
            message += f" {json.dumps(headers)}"
        error = {"message": message, "type": "error", "param": refused or None, "code": None}
        _send(writer, int(problem[:3]), {"type": "error", "error": error}, extra)
        return True

    # --- answers -----------------------------------------------------------------------------------------------

    def _answer(self, path: str, body: dict[str, Any], echo: str | None) -> dict[str, Any]:
        if path.endswith("/embeddings"):
            return self._embeddings(body)
        asked = asked_in(body)
        text = self.behavior.says if self.behavior.says is not None else ("Yes." if _draw(asked, "yes") < 0.5 else "No.")
        text = f"{text} {echo}" if echo else text
        tokens_in, tokens_out = math.ceil(len(asked) / 4), math.ceil(len(text) / 4)
        if path.endswith("/messages"):
            return {
                "id": "msg", "type": "message", "role": "assistant", "model": body["model"], "stop_reason": "end_turn",
                "stop_sequence": None, "content": [{"type": "text", "text": text}] if text else [],
                "usage": {"input_tokens": tokens_in, "output_tokens": tokens_out},
            }  # fmt: skip
        choice: dict[str, Any] = {"index": 0, "finish_reason": "stop", "logprobs": None}
        choice["message"] = {"role": "assistant", "content": text, "refusal": None}
        if body.get("logprobs"):
            p = 0.02 + 0.96 * _draw(asked, "p")
            top = [{"token": t, "logprob": math.log(m), "bytes": None} for t, m in (("Yes", p), ("No", 1 - p))]
            choice["logprobs"] = {"content": [{**top[0], "top_logprobs": top[: body.get("top_logprobs", 0)]}], "refusal": None}
        usage = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
        return {"id": "c", "object": "chat.completion", "created": 0, "model": body["model"], "choices": [choice], "usage": usage}

    def _embeddings(self, body: dict[str, Any]) -> dict[str, Any]:
        texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
        dims = body.get("dimensions") or self.behavior.dimensions
        data = [
            {"object": "embedding", "index": i, "embedding": [_draw(text, d) - 0.5 for d in range(dims)]}
            for i, text in enumerate(texts)
        ]
        tokens = sum(math.ceil(len(text) / 4) for text in texts)
        return {
            "object": "list", "model": body["model"], "data": data[::-1], "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }  # fmt: skip


def asked_in(body: dict[str, Any]) -> str:
    """The texts of a request, as one."""
    if "input" in body:
        return "\n".join(body["input"]) if isinstance(body["input"], list) else str(body["input"])
    contents = [message["content"] for message in body.get("messages", [])]
    return "\n".join([*([body["system"]] if body.get("system") else []), *contents])


def _draw(*of: Any) -> float:
    digest = hashlib.sha256("\x1f".join(map(str, of)).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56


def _send(writer: asyncio.StreamWriter, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)


if __name__ == "__main__":
    asyncio.run(Loopback(Behavior(**json.loads(sys.argv[1] if len(sys.argv) > 1 else "{}"))).serve(announce=True))
