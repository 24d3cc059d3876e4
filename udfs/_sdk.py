"""What the SDKs of openai and anthropic have in common: how one posts with them, and what their errors mean for a call.

Both come from one generator, raise errors of the same names, and speak through httpx2. They would retry by themselves; here
they never do, since the runner decides when to try again.

Half of the time of a call, when it was measured (64 connections, loopback server, profile of the plain SDK), went into typed
requests and responses that nobody here looks at. So a request is posted as a dict and its response read as JSON.
"""

from __future__ import annotations

import contextlib
import email.utils
import json
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from bclust.functions import Answer, CallError

if TYPE_CHECKING:
    from collections.abc import Mapping

_MAY_PASS = (408, 409, 425, 429)  # and all of 5xx
_TOO_MANY = (429, 503, 529)
_NOBODY_THERE = (502, 521, 522, 523)  # a gateway that finds no server behind it; 521 to 523 are Cloudflare's
_TOOK_TOO_LONG = (408, 504, 524)  # the question was handed on, and its answer may have been made
_FIRST_WORDS = 80  # characters of a body that cannot be read
# what kinds of errors mean: docs of OpenAI ("error codes") and of Anthropic ("errors")
_STATUS_OF = {
    "invalid_request_error": 400, "authentication_error": 401, "invalid_api_key": 401, "billing_error": 402,
    "insufficient_quota": 402, "permission_error": 403, "not_found_error": 404, "model_not_found": 404, "request_too_large": 413,
    "rate_limit_error": 429, "rate_limit_exceeded": 429, "api_error": 500, "server_error": 500, "internal_server_error": 500,
    "timeout_error": 504, "overloaded_error": 529,
}  # fmt: skip
_OUT_OF_MONEY = re.compile(r"insufficient_quota|credit balance|billing", re.IGNORECASE)
_NO_SUCH_MODEL = re.compile(
    r"model_not_found|model.{0,80}(not a valid|not exist|not found|unknown)|not a valid model", re.IGNORECASE
)
_REFUSES = re.compile(
    r"unsupported|not support|not allowed|deprecated|unknown|unrecognized|invalid parameter|extra", re.IGNORECASE
)
_ABOUT_CONTENT = re.compile(r"moderation|flagged|content|safety", re.IGNORECASE)
# How servers say that a filter took offence at a prompt, or at the answer to it: by a code ...
_FILTERS = {
    "content_filter",  # Azure OpenAI: learn.microsoft.com/azure/foundry/openai/concepts/content-filter; Moonshot
    "responsibleaipolicyviolation",  # its inner code
    "content_policy_violation",  # OpenAI, OpenRouter
    "data_inspection_failed", "datainspectionfailed",  # Alibaba: github.com/camel-ai/owl/issues/432
    "1301",  # Zhipu: docs.bigmodel.cn, "error codes"
    "moderation_blocked", "guardrail_intervened", "prompt_blocked", "sensitive_words_detected",
}  # fmt: skip
# ... or in words alone. Azure; OpenAI's reasoning models (github.com/openai/codex/issues/7250); OpenRouter; Anthropic
# (github.com/anthropics/claude-code/issues/6195); DeepSeek (github.com/deepseek-ai/DeepSeek-V2/issues/30); Alibaba
# (github.com/QwenLM/qwen-code/issues/2905); xAI; Moonshot; Gemini; Zhipu
_FILTERED = re.compile(
    r"content management policy|prompt was flagged|input was flagged|content filtering policy|content exists risk|"
    r"inappropriate content|datainspectionfailed|content violates usage guidelines|considered high risk|prohibited_content|"
    r"敏感内容|"
    r"\b(?:prompt|request|input|output|response|content)\b.{0,40}\b(?:blocked|rejected|refused|filtered|flagged)\b.{0,60}"
    r"\b(?:safety|moderation|guardrails?|(?:content|usage|acceptable use|responsible ai) (?:filter\w*|polic\w+|management))\b|"
    r"\b(?:blocked|flagged|rejected) by (?:the |our |a )?(?:content |safety )?(?:filter|safety|moderation|guardrails?)",
    re.IGNORECASE,
)
_ABOUT_ACCOUNT = re.compile(
    r"\b(?:accounts?|organi[sz]ation|api key|access) (?:\w+ ){0,3}(?:terminated|suspended|disabled|banned|flagged|revoked)\b",
    re.IGNORECASE,
)
# How servers and chat templates say that their model knows no system message: Gemma (github.com/vllm-project/vllm/pull/2964),
# o1-mini ("'messages[0].role' does not support 'system'"), Gemma behind Google's interface, Mistral, servers that check roles.
_NO, _TAKES = r"(?:not|n't|never|no longer|un)", r"(?:support|allow|enabl|permit|accept)\w*"
_NO_SYSTEM = re.compile(
    rf"\bsystem (?:role|message|prompt|instruction)s?\b.{{0,60}}{_NO}\s?(?:be )?{_TAKES}|"
    rf"{_NO} {_TAKES}\b.{{0,60}}\bsystem\b|developer instruction is not enabled|roles must alternate|"
    r"only user(?:,| and) (?:assistant|model)\b.{0,30}\broles?\b|"
    r"\b(?:invalid|unsupported|unknown|unexpected)\b.{0,30}\brole\b.{0,20}\bsystem\b|"
    r"\brole\b.{0,40}\bsystem\b.{0,40}\b(?:invalid|unsupported|unknown)\b|input should be 'user'(?:,| or) 'assistant'",
    re.IGNORECASE,
)


async def post(client: Any, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Post JSON through an SDK's client: its address, its headers, its errors.

    Raises:
        the SDK's errors for a status of 300 and above and for lost connections;
        SaidError: the body says an error, whatever the status;
        CallError (asked once more): the body of the response is no JSON object.
    """
    import httpx2

    response = await client.post(path, cast_to=httpx2.Response, body=dict(body))
    answer: dict[str, Any] = checked(read(response))
    return answer


def read(response: Any) -> dict[str, Any]:
    """The JSON object in a response. Raises CallError (asked once more, maybe charged) where there is none."""
    try:
        answer = response.json()
    except (ValueError, RecursionError) as error:
        kind = response.headers.get("content-type", "unknown type").split(";")[0]
        begins = " ".join(response.text[:_FIRST_WORDS].split())
        begins = f"{kind} that begins {begins!r}" if begins else "nothing"
        raise unreadable(f"{begins} instead of JSON") from error
    if not isinstance(answer, dict):
        raise unreadable(f"{type(answer).__name__} instead of an object")
    return answer


def checked(answer: Any) -> Any:
    """An answer that is none but an error is raised as SaidError, as if it had come with its status."""
    said = answer.get("error") if isinstance(answer, dict) else None
    if said and not (answer.get("choices") or answer.get("content") or answer.get("data")):
        raise SaidError(answer)
    return answer


def said_beside(**parts: Any) -> dict[str, Any]:
    """The optional parts of an answer that are there, and are texts, whole numbers or lists: others cost no answer."""
    return {name: part for name, part in parts.items() if part not in (None, "", []) and isinstance(part, str | int | list)}


def unreadable(why: str) -> CallError:
    """For an answer that was made, and paid, and cannot be used."""
    return CallError(f"malformed answer: {why}", retry=True, garbled=True, charged=True)


class SaidError(Exception):
    """An error that a server says in a body of its own, in the shape of an SDK's error; ``status_code`` as its words mean it."""

    def __init__(self, body: Any, status: int | None = None) -> None:
        inner = body.get("error", body) if isinstance(body, dict) else {}
        inner = inner if isinstance(inner, dict) else {"message": inner}
        super().__init__(str(inner.get("message") or body))
        self.param, self.code = inner.get("param"), inner.get("code")
        self.body = body
        self.status_code = status or next(filter(None, map(_status, (self.code, inner.get("status"), inner.get("type")))), 200)


def _status(word: Any) -> int | None:
    """
    >>> _status(429), _status("402"), _status("overloaded_error"), _status("tool_calls"), _status(7)
    (429, 402, 529, None, None)
    """
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        return int(word) if 400 <= int(word) < 600 else None
    return _STATUS_OF.get(word) if isinstance(word, str) else None


def call_error(error: Exception, *, model: str, variable: str | None) -> CallError:
    """What an exception of an SDK means: try again, wait, give up on this question, or on this model."""
    status = getattr(error, "status_code", None)
    if status is None:
        if _came_broken(error):
            return unreadable(_cause(error))
        away = _never_left(error)
        return CallError(f"{type(error).__name__}: {_cause(error)}", retry=True, away=away, charged=not away)
    said = _said(error)
    if status == 200:  # an error that does not say what kind it is
        return CallError(f"an error in the place of an answer: {said}", retry=True, garbled=True, charged=True)
    if 300 <= status < 400:
        return CallError(_elsewhere(error, status), fatal=True)
    message = f"HTTP {status}: {said}"
    if status in (401, 403) and not (status == 403 and _ABOUT_CONTENT.search(said)):
        return CallError(f"{message} (the key is read from {variable or 'nowhere: set api_key_env'})", fatal=True)
    if status == 402 or _OUT_OF_MONEY.search(f"{getattr(error, 'code', '')} {said}"):
        return CallError(message, fatal=True)
    if status == 404 or (status == 400 and _NO_SUCH_MODEL.search(f"{getattr(error, 'code', '')} {said}")):
        return CallError(f"{message} (model: {model})", fatal=True)
    if status in _MAY_PASS or status >= 500:
        response = getattr(error, "response", None)
        after = _retry_after(response.headers) if response is not None else None
        away, charged = status in _NOBODY_THERE, status in _TOOK_TOO_LONG
        return CallError(message, retry=True, after=after, throttled=status in _TOO_MANY, away=away, charged=charged)
    return CallError(message)


def refusal(error: Exception) -> Answer | None:
    """The answer that an error is where a filter refused the prompt, or what was said to it; None for any other error."""
    status, body = getattr(error, "status_code", None), getattr(error, "body", None)
    if status is None or not 200 <= status < 500 or status in (401, 402, 404, 429):
        return None
    inner = body.get("error", body) if isinstance(body, dict) else None
    inner = inner if isinstance(inner, dict) else {}
    codes = {str(code).lower() for code in (inner.get("code"), inner.get("type"), *_inner_codes(inner))}
    said = _said(error)
    metadata = inner.get("metadata")
    flagged = isinstance(metadata, dict) and "flagged_input" in metadata  # OpenRouter
    if not (flagged or codes & _FILTERS or _FILTERED.search(said)) or _ABOUT_ACCOUNT.search(said):
        return None
    return Answer("", "content_filter", detail=json.dumps({"refusal": said, "http_status": status}, ensure_ascii=False))


def _inner_codes(inner: Mapping[str, Any]) -> list[Any]:
    """Codes that stand deeper: Azure's innererror."""
    deeper = inner.get("innererror") or inner.get("inner_error")
    return [deeper.get("code")] if isinstance(deeper, dict) else []


def refused_parameter(error: Exception, candidates: Mapping[str, Any]) -> str | None:
    """Which of the parameters sent the server refuses to take (HTTP 400 or 422); None if it complains of something else.

    "system" among them stands for the system message: that its model knows none, a chat template says in the server's words for
    any fault.
    """
    status, said = getattr(error, "status_code", None), _said(error)
    if "system" in candidates and status in (400, 422, 424, 500, 501) and _NO_SYSTEM.search(said):
        return "system"
    if status not in (400, 422):
        return None
    named = getattr(error, "param", None)
    if named in candidates:
        return str(named)
    if not _REFUSES.search(said):
        return None
    return next((name for name in candidates if re.search(rf"\b{name}\b", said)), None)


def _said(error: Exception) -> str:
    """The server's own words, in one line of at most 300 characters."""
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else body
    said = inner.get("message") or inner.get("detail") if isinstance(inner, dict) else inner
    return " ".join(str(said or getattr(error, "message", error)).split())[:300]


def _cause(error: Exception) -> str:
    """An SDK wraps what went wrong on the way: the innermost cause is the one that says it."""
    while error.__cause__ is not None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return " ".join(str(error).split())[:300] or type(error).__name__


def _never_left(error: Exception) -> bool:
    """Whether nobody was there to be asked."""
    import httpx2

    nobody = httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.ProxyError | httpx2.UnsupportedProtocol
    return isinstance(error.__cause__, nobody)


def _came_broken(error: Exception) -> bool:
    """Whether an answer came, and broke off or cannot be unpacked."""
    import httpx2

    cause = error.__cause__
    broke_off = isinstance(cause, httpx2.RemoteProtocolError) and "complete message body" in str(cause)
    return broke_off or isinstance(cause, httpx2.DecodingError)


def _elsewhere(error: Exception, status: int) -> str:
    response = getattr(error, "response", None)
    to = urlsplit(str(response.headers.get("location", ""))) if response is not None else urlsplit("")
    place = urlunsplit((to.scheme, to.netloc.rpartition("@")[2], to.path, "", "")) or "nowhere"
    return f"HTTP {status}: the server sends on to {place}; nothing is sent there: if that is its address, write it as base_url"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asked to wait (RFC 9110, 10.2.3: seconds or a date; retry-after-ms is in use, too)."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        if seconds >= 0:
            return seconds
    with contextlib.suppress(ValueError, OverflowError, TypeError):
        parsed = email.utils.parsedate_tz(headers.get("retry-after"))
        return max(0.0, email.utils.mktime_tz(parsed) - time.time()) if parsed else None
    return None
