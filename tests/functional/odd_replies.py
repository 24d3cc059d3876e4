"""Replies that no documentation knows and some server sends: what they are, and what is to become of each."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from tests.functional.loopback import Behavior, Loopback, asked_in

Body = dict[str, Any]
HTTP_DATE_2099 = "Thu, 01 Jan 2099 00:00:00 GMT"


@dataclass(frozen=True)
class Wire:
    """What is written to the socket. ``cut`` closes the connection after so many bytes of the body."""

    body: bytes
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    cut: int | None = None
    kind: str | None = "application/json"


@dataclass(frozen=True)
class Odd:
    """One kind: ``reply`` makes it from a good answer. ``text`` is what must then stand in the table (None: the question fails,
    with ``says`` in its error), after at most ``most`` requests a question and build."""

    reply: Callable[[Body], Wire]
    text: str | None = None
    says: str = ""
    most: int = 1
    only: str = ""  # the one interface that has it
    detail: str = ""  # words in the detail of its answer, as it is stored


def _changed(*path: Any, to: Any, raw: Callable[[str], str] = lambda text: text) -> Callable[[Body], Wire]:
    """A good answer with one part replaced; ``...`` takes the part away."""

    def reply(good: Body) -> Wire:
        body: Any = deepcopy(good)
        inner = body
        for step in path[:-1]:
            inner = inner[step]
        if to is ...:
            inner.pop(path[-1], None)
        else:
            inner[path[-1]] = to
        return Wire(raw(json.dumps(body)).encode())

    return reply


def _bytes(make: Callable[[bytes], bytes], **how: Any) -> Callable[[Body], Wire]:
    return lambda good: Wire(make(json.dumps(good).encode()), **how)


def _fixed(body: Any, **how: Any) -> Callable[[Body], Wire]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: Wire(data, **how)


def _said(status: int, error: Any, *headers: tuple[str, str]) -> Callable[[Body], Wire]:
    return _fixed({"type": "error", "error": error}, status=status, headers=headers)


def _usage(name: str, value: Any) -> Callable[[Body], Wire]:
    def reply(good: Body) -> Wire:
        key = "completion_tokens" if "choices" in good else "output_tokens"
        return _changed("usage", key if name == "out" else name, to=value)(good)

    return reply


def _finish(value: Any) -> Callable[[Body], Wire]:
    def reply(good: Body) -> Wire:
        path = ("choices", 0, "finish_reason") if "choices" in good else ("stop_reason",)
        return _changed(*path, to=value)(good)

    return reply


def _text(value: Any, raw: Callable[[str], str] = lambda text: text) -> Callable[[Body], Wire]:
    def reply(good: Body) -> Wire:
        path = ("choices", 0, "message", "content") if "choices" in good else ("content", 0, "text")
        return _changed(*path, to=value, raw=raw)(good)

    return reply


def _whole(value: Any) -> Callable[[Body], Wire]:
    """The place where the answer should be: ``choices`` or ``content``."""
    return lambda good: _changed("choices" if "choices" in good else "content", to=value)(good)


def _logprobs(value: Any) -> Callable[[Body], Wire]:
    return _changed("choices", 0, "logprobs", to=value)


YES = "Yes."  # what the server says if nothing is odd
DAY = str(86_400)

KINDS: dict[str, Odd] = {
    # an answer is there, and something beside it is odd
    "usage_missing": Odd(_changed("usage", to=...), YES),
    "usage_null": Odd(_changed("usage", to=None), YES),
    "usage_list": Odd(_changed("usage", to=[1, 2]), YES),
    "usage_text": Odd(_changed("usage", to="many"), YES),
    "usage_empty": Odd(_changed("usage", to={}), YES),
    "tokens_nan": Odd(_usage("out", float("nan")), YES, detail="nan"),
    "tokens_infinite": Odd(_usage("out", float("inf")), YES, detail="inf"),
    "tokens_negative": Odd(_usage("out", -5), YES, detail="-5"),
    "tokens_huge": Odd(_usage("out", 10**23), YES, detail="output_tokens"),
    "tokens_text": Odd(_usage("out", "12"), YES, detail="'12'"),
    "tokens_true": Odd(_usage("out", True), YES, detail="True"),
    "tokens_half": Odd(_usage("out", 1.5), YES, detail="1.5"),
    "tokens_object": Odd(_usage("out", {"n": 1}), YES, detail="output_tokens"),
    "cost_nan": Odd(_usage("cost", float("nan")), YES, only="openai", detail="cost_usd"),
    "cost_text": Odd(_usage("cost", "free"), YES, only="openai", detail="free"),
    "cost_negative": Odd(_usage("cost", -1e9), YES, only="openai", detail="cost_usd"),
    "finish_object": Odd(_finish({"x": 1}), YES, detail="finish_reason"),
    "finish_list": Odd(_finish(["stop"]), YES, detail="finish_reason"),
    "finish_number": Odd(_finish(3), YES, detail="finish_reason"),
    "finish_null": Odd(_finish(None), YES),
    "finish_missing": Odd(_finish(...), YES),
    "logprobs_without_top": Odd(_logprobs({"content": [{"token": "Yes", "logprob": -0.1}]}), YES, only="openai"),
    "logprobs_top_null": Odd(_logprobs({"content": [{"token": "Yes", "logprob": 0, "top_logprobs": None}]}), YES, only="openai"),
    "logprobs_list": Odd(_logprobs([[]]), YES, only="openai"),
    "logprobs_text": Odd(_logprobs("none"), YES, only="openai"),
    "logprobs_nan": Odd(
        _logprobs({"content": [{"top_logprobs": [{"token": "Yes", "logprob": float("nan")}]}]}), YES, only="openai"
    ),
    "logprobs_huge": Odd(
        _logprobs({"content": [{"top_logprobs": [{"token": "Yes", "logprob": 10**400}]}]}), YES, only="openai"
    ),
    "tokens_in_huge_and_half": Odd(
        _changed("usage", to={"input_tokens": 10**400, "cache_read_input_tokens": 1.5, "output_tokens": 1}),
        YES, only="anthropic",
    ),
    "refusal_object": Odd(_changed("choices", 0, "message", "refusal", to={"why": "no"}), YES, only="openai"),
    "fingerprint_object": Odd(_changed("system_fingerprint", to={"a": []}), YES),
    "model_null": Odd(_changed("model", to=None), YES),
    "unknown_fields": Odd(_changed("x_groq", to={"id": "1", "deep": [[[[]]]]}), YES),
    "error_null": Odd(_changed("error", to=None), YES),
    "text_null_byte": Odd(_text("Yes\0."), "Yes\0."),
    "text_half_emoji": Odd(_text("Yes\ud83d."), "Yes\ufffd."),
    "text_escapes": Odd(_text("\x1b[2JYes."), "\x1b[2JYes."),
    "text_empty": Odd(_text(""), ""),
    "text_long": Odd(_text("Yes. " * 50_000), "Yes. " * 50_000),
    "text_parts": Odd(
        _changed("choices", 0, "message", "content", to=[{"type": "thinking", "thinking": "No?"}, {"type": "text", "text": YES}]),
        YES, only="openai",
    ),
    "content_null": Odd(_changed("choices", 0, "message", "content", to=None), "", only="openai"),
    "content_none_at_all": Odd(_whole([]), "", only="anthropic"),
    "byte_order_mark": Odd(_bytes(lambda data: b"\xef\xbb\xbf" + data), YES),
    "blank_lines_first": Odd(_bytes(lambda data: b"\n\n  \n" + data), YES),
    "gzipped": Odd(_bytes(gzip.compress, headers=(("content-encoding", "gzip"),)), YES),
    "no_content_type": Odd(_bytes(bytes, kind=None), YES),
    "called_html": Odd(_bytes(bytes, kind="text/html"), YES),
    "status_201": Odd(_bytes(bytes, status=201), YES),
    # a 200 that cannot be used: made, maybe paid, asked once more
    "empty_body": Odd(_fixed(b""), says="nothing instead of JSON", most=2),
    "html": Odd(_fixed(b"<html><h1>Log in", kind="text/html"), says="text/html that begins '<html>", most=2),
    "truncated": Odd(_bytes(lambda data: data[: len(data) // 2]), says="instead of JSON", most=2),
    "event_stream": Odd(_fixed(b'data: {"id": 1}\n\n', kind="text/event-stream"), says="text/event-stream that begins", most=2),
    "array": Odd(_fixed([1]), says="list instead of an object", most=2),
    "text_only": Odd(_fixed("Yes."), says="str instead of an object", most=2),
    "null": Odd(_fixed(None), says="NoneType instead of an object", most=2),
    "not_utf8": Odd(_fixed(b'{"choices": "\xff\xfe"}'), says="instead of JSON", most=2),
    "nested_deeply": Odd(_fixed(b"[" * 100_000), says="instead of JSON", most=2),
    "number_of_5000_digits": Odd(_fixed(b'{"a": ' + b"9" * 5000 + b"}"), says="instead of JSON", most=2),
    "no_choice": Odd(_whole(...), says="malformed answer", most=2),
    "choices_null": Odd(_changed("choices", to=None), says="malformed answer", most=2, only="openai"),
    "choices_empty": Odd(_changed("choices", to=[]), says="malformed answer", most=2, only="openai"),
    "choices_number": Odd(_whole(7), says="malformed answer", most=2),
    "message_null": Odd(_changed("choices", 0, "message", to=None), says="malformed answer", most=2, only="openai"),
    "content_number": Odd(_text(5), says="malformed answer", most=2),
    "content_object": Odd(_text({"a": 1}), says="malformed answer", most=2),
    "status_204": Odd(_fixed(b"", status=204), says="nothing instead of JSON", most=2),
    "gzip_garbage": Odd(_fixed(b"not gzip", headers=(("content-encoding", "gzip"),)), says="malformed answer", most=2),
    "cut_in_the_body": Odd(_bytes(bytes, cut=20), says="peer closed connection", most=2),
    "error_of_no_kind": Odd(_fixed({"error": "something odd"}), says="something odd", most=2),
    # errors, wherever they stand
    "no_credit_in_200": Odd(_fixed({"error": {"message": "no credit left", "code": 402}}), says="no credit left"),
    "wrong_key_in_200": Odd(_fixed({"error": {"message": "bad key", "type": "authentication_error"}}), says="bad key"),
    "bad_request_in_200": Odd(_fixed({"error": {"message": "too odd", "type": "invalid_request_error"}}), says="too odd"),
    "overloaded_in_200": Odd(_fixed({"error": {"message": "busy", "type": "overloaded_error"}}), says="busy", most=99),
    "error_list": Odd(_fixed(["a", "b"], status=400), says="HTTP 400"),
    "error_message_object": Odd(_said(400, {"message": {"deep": "words"}}), says="deep"),
    "error_html": Odd(_fixed(b"<h1>I am a teapot", status=418, kind="text/html"), says="teapot"),
    "error_empty": Odd(_fixed(b"", status=400), says="HTTP 400"),
    "error_detail_list": Odd(_fixed({"detail": [{"loc": ["body"], "msg": "field required"}]}, status=422), says="field required"),
    "redirected": Odd(
        _fixed(b"", status=307, headers=(("location", "http://evil.example/v1"),)), says="sends on to http://evil.example/v1"
    ),
    "redirected_for_good": Odd(_fixed(b"", status=308, headers=(("location", "http://evil.example/"),)), says="evil.example"),
    "redirected_to_get": Odd(_fixed(b"", status=302, headers=(("location", "/login"),)), says="sends on to /login"),
    "redirected_nowhere": Odd(_fixed(b"", status=301), says="sends on to nowhere"),
    "wait_a_day": Odd(_said(429, {"message": "slow"}, ("retry-after", DAY)), says="asks to wait 24 h"),
    "wait_until_2099": Odd(_said(429, {"message": "slow"}, ("retry-after", HTTP_DATE_2099)), says="years, and max_wait_s"),
    "wait_for_ever": Odd(_said(503, {"message": "slow"}, ("retry-after", "inf")), says="asks to wait for ever"),
    "wait_1e308_ms": Odd(_said(429, {"message": "slow"}, ("retry-after-ms", "1e308")), says="years, and max_wait_s"),
    "wait_nan": Odd(_said(500, {"message": "broken"}, ("retry-after", "nan")), says="broken", most=4),
    "wait_words": Odd(_said(500, {"message": "broken"}, ("retry-after", "soon")), says="broken", most=4),
    "wait_negative": Odd(_said(500, {"message": "broken"}, ("retry-after", "-7")), says="broken", most=4),
    "account_403": Odd(_said(403, {"message": "Your account was flagged by moderation"}), says="flagged by moderation"),
}  # fmt: skip


class OddServer(Loopback):
    """Answers a language model by the name of a kind with a reply of that kind, and any other as it should.

    A reply is made of what would be a good answer, and of the request.
    """

    def __init__(self, replies: Mapping[str, Callable[[Body, Body], Wire]]) -> None:
        super().__init__(Behavior(says=YES))
        self.replies = replies
        self.asked: dict[str, dict[str, int]] = {}  # by model: how often each question came

    async def _request(self, path: str, headers: dict[str, str], body: Body, writer: asyncio.StreamWriter) -> bool:
        asked = self.asked.setdefault(body["model"], {})
        asked[asked_in(body)] = asked.get(asked_in(body), 0) + 1
        if body["model"] not in self.replies:
            return await super()._request(path, headers, body, writer)
        wire = self.replies[body["model"]](self._answer(path, body, None), body)
        lines = [f"HTTP/1.1 {wire.status} X", f"content-length: {len(wire.body)}"]
        lines += [f"content-type: {wire.kind}"] if wire.kind else []
        lines += [f"{name}: {value}" for name, value in wire.headers]
        if wire.status == 204:
            del lines[1]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + wire.body[: wire.cut])
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        return wire.cut is None
