"""Answers that exist already: nothing is asked, they are read from files.

    {llm_id: theirs, provider: recorded, files: [runs/*.jsonl]}
    {llm_id: theirs, provider: recorded, files: [logs/*.eval], llm: openai/gpt-x}       # its name in the files

The files are JSONL, CSV or Parquet, or logs of Inspect (.eval, or .json of that format). A record has these columns, of which
the first name found counts:

    what was said    response, answer, completion, output
    to what          prompt (the whole prompt), or statement, question, input (matched with the statement alone)
    by whom          llm_id, llm, model; a file without such a column holds one language model's answers
    and also, where there is such a column: system_message or system; sample or epoch; wording or task (react, or the name of a
    wording: approve, object, ...; a statement's record without one answers a request for a reaction); what was thought before
    (reasoning, reasoning_content or thinking); finish_reason, input_tokens, output_tokens; detail, as JSON

A request that matches no record is an error in its row. Equal prompts are told apart by ``sample`` (from 0), or by their order.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from typing import TYPE_CHECKING, Any

from bclust.errors import FunctionError
from bclust.functions import Answer, CallError, Context, Limits
from udfs._reasoning import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from udfs.providers import Chat

_SAID = ("response", "answer", "completion", "output")
_STATEMENT = ("statement", "question", "input")
_LLM = ("llm_id", "llm", "model")
_SYSTEM = ("system_message", "system")
_ZSTD = 93  # in APPNOTE 4.4.5
_ATTACHED = "attachment://"

Key = tuple[str, str, str | None]  # "prompt" or a wording's name, the text, the system message (None: any)


class Provider:
    """``files`` are patterns relative to the project; ``llm`` is the name in the files, by default the row's own."""

    free = True
    sees_truth = True

    def __init__(self, context: Context, *, llm_id: str, files: Sequence[str], llm: str | None = None) -> None:
        patterns = [files] if isinstance(files, str) else list(files)
        self._paths = sorted({path for pattern in patterns for path in context.root.glob(pattern) if path.is_file()})
        if not self._paths:
            raise FunctionError(f"llm {llm_id}: no file matches {', '.join(map(str, patterns))} in {context.root}")
        self._llm = llm or llm_id
        digest = hashlib.sha256()
        for path in self._paths:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        self.files = digest.hexdigest()[:16]
        self._records: dict[Key, list[Answer]] | None = None
        self.limits = Limits(max_concurrency=1, batch_size=512, timeout_s=None, max_retries=0)

    def identity(self) -> dict[str, Any]:
        """The files by their content."""
        return {"provider": "recorded", "llm": self._llm, "files": self.files}

    def complete_batch(self, chats: Sequence[Chat]) -> list[Answer | CallError]:
        """Look the answers up. Raises CallError (fatal): a file cannot be read."""
        if self._records is None:
            self._records = _read(self._paths, self._llm)
            if not self._records:
                raise CallError(f"no record of {self._llm} is in {', '.join(path.name for path in self._paths)}", fatal=True)
        return [self._find(self._records, chat) for chat in chats]

    def _find(self, records: Mapping[Key, list[Answer]], chat: Chat) -> Answer | CallError:
        truth = chat.truth or {}
        wording = str(truth.get("wording") or truth.get("task") or "react")
        statement, system = str(truth.get("statement", chat.prompt)).strip(), chat.system or ""
        keys: list[Key] = [("prompt", chat.prompt.strip(), system), ("prompt", chat.prompt.strip(), None)]
        keys += [(wording, statement, system), (wording, statement, None)]
        found = next((records[key] for key in keys if key in records), None)
        if found is None or chat.sample >= len(found):
            return CallError(f"no answer of {self._llm} to this is recorded{f' (sample {chat.sample})' if found else ''}")
        return found[chat.sample]

    async def close(self) -> None:
        """Nothing is open."""


def _read(paths: Sequence[Path], llm: str) -> dict[Key, list[Answer]]:
    """All records of one language model, by what they answer; several to one key in the order of their sample."""
    found: dict[Key, list[tuple[int, Answer]]] = {}
    for path in paths:
        for number, record in enumerate(_records(path), start=1):
            name = _first(record, _LLM)
            said = _first(record, _SAID)
            if said is None or (name is not None and str(name) != llm):
                continue
            key = _key(record)
            if key is None:
                raise CallError(f"{path.name}: record {number} does not say what it answers (prompt or statement)", fatal=True)
            sample = _first(record, ("sample", "epoch"))
            answer = Answer(
                str(said), record.get("finish_reason"), _whole(record, "input_tokens"), _whole(record, "output_tokens"), 0.0, 0.0,
                _detail(record),
            )  # fmt: skip
            same = found.setdefault(key, [])
            same.append((len(same) if sample is None else int(sample), answer))
    return {key: [answer for _, answer in sorted(same, key=lambda item: item[0])] for key, same in found.items()}


def _detail(record: Mapping[str, Any]) -> str | None:
    """The record's own detail, with what was thought where that stands apart."""
    detail, thoughts = record.get("detail"), shown({**record, "content": None})
    if not thoughts:
        return detail
    try:
        known = json.loads(detail) if isinstance(detail, str) else {}
    except ValueError:
        known = {}
    return json.dumps({**(known if isinstance(known, dict) else {}), "reasoning": thoughts}, ensure_ascii=False)


def _key(record: Mapping[str, Any]) -> Key | None:
    system = next((str(record[name] or "") for name in _SYSTEM if name in record), None)
    if record.get("prompt"):
        return "prompt", str(record["prompt"]).strip(), system
    statement = _first(record, _STATEMENT)
    if statement is None:
        return None
    return str(record.get("wording") or record.get("task") or "react"), str(statement).strip(), system


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _whole(record: Mapping[str, Any], name: str) -> int | None:
    value = record.get(name)
    return int(value) if value not in (None, "") else None


# --- files -----------------------------------------------------------------------------------------------------


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    """The records of one file. Raises CallError (fatal) where it cannot be read."""
    import polars as pl

    try:
        if path.suffix == ".eval" or (path.suffix == ".json" and not path.read_text(encoding="utf-8").lstrip().startswith("[")):
            yield from _inspect_samples(path)
        elif path.suffix in (".jsonl", ".ndjson"):
            with path.open(encoding="utf-8") as file:
                yield from (json.loads(line) for line in file if line.strip())
        elif path.suffix == ".json":
            yield from json.loads(path.read_text(encoding="utf-8"))
        elif path.suffix == ".csv":
            yield from pl.read_csv(path, infer_schema=False).iter_rows(named=True)
        elif path.suffix == ".parquet":
            yield from pl.read_parquet(path).iter_rows(named=True)
        else:
            raise CallError(f"{path.name}: answers are read from .jsonl, .json, .csv, .parquet and .eval", fatal=True)
    except (OSError, ValueError, LookupError, TypeError, zipfile.BadZipFile, pl.exceptions.PolarsError) as error:
        raise CallError(f"{path.name} cannot be read: {type(error).__name__}: {error}", fatal=True) from error


def _inspect_samples(path: Path) -> Iterator[dict[str, Any]]:
    """The samples of an Inspect log: its documented JSON, in a zip file (.eval) or as such."""
    for model, sample in _inspect_json(path):
        output = sample.get("output") or {}
        choices = output.get("choices") or []
        if not choices:
            continue
        attachments = sample.get("attachments") or {}
        asked = sample["input"]
        messages = [{"role": "user", "content": asked}] if isinstance(asked, str) else asked
        texts = {m["role"]: _text(m["content"], attachments) for m in messages}
        # a solver may have put the system message first: it is in the conversation, not in the input
        spoken = {m["role"]: _text(m["content"], attachments) for m in sample.get("messages") or []}
        usage = output.get("usage") or {}
        message = choices[0]["message"]
        said = {"response": _text(message["content"], attachments), "reasoning": _attached(shown(message), attachments)}
        yield {
            "llm": model,
            "prompt": spoken.get("user", texts.get("user", "")),
            "system": spoken.get("system", texts.get("system", "")),
            **said,
            "finish_reason": choices[0].get("stop_reason"),
            "epoch": sample.get("epoch", 1) - 1,
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
        }
        if texts.get("user") != spoken.get("user"):
            yield {
                "llm": model,
                "statement": texts.get("user", ""),
                **said,
                "epoch": sample.get("epoch", 1) - 1,
            }


def _inspect_json(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Model and sample, from the log's JSON."""
    if path.suffix == ".json":
        log = json.loads(path.read_text(encoding="utf-8"))
        yield from ((log["eval"]["model"], sample) for sample in log["samples"])
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        start = "header.json" if "header.json" in names else "_journal/start.json"
        model = json.loads(_unzipped(path, archive, start))["eval"]["model"]
        for name in sorted(n for n in names if n.startswith("samples/") and n.endswith(".json")):
            yield model, json.loads(_unzipped(path, archive, name))


def _unzipped(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """A member of a zip file; newer logs are compressed with zstd, which zipfile cannot read before Python 3.14."""
    info = archive.getinfo(name)
    if info.compress_type != _ZSTD:
        return archive.read(name)
    import pyarrow as pa

    with path.open("rb") as file:
        file.seek(info.header_offset + 26)  # the local header's lengths of name and extra field (APPNOTE 4.3.7)
        skip = sum(struct.unpack("<HH", file.read(4)))
        file.seek(skip, 1)
        compressed = file.read(info.compress_size)
    return bytes(pa.CompressedInputStream(pa.BufferReader(compressed), "zstd").read())


def _text(content: Any, attachments: Mapping[str, str]) -> str:
    """Content is text, or a list of parts of which the text counts; long texts lie among the attachments."""
    if isinstance(content, list):
        return "".join(_text(part.get("text", ""), attachments) for part in content if part.get("type") == "text")
    return str(_attached(str(content), attachments))


def _attached(text: str | None, attachments: Mapping[str, Any]) -> str | None:
    """A text that may lie among the attachments."""
    return attachments.get(text.removeprefix(_ATTACHED), text) if text and text.startswith(_ATTACHED) else text
