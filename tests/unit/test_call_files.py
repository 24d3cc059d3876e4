"""Exports and imports of a call store: each record is checked, and a file is written whole or not at all."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bclust.calls.columns import answer_kind
from bclust.calls.store import CallStore
from bclust.errors import StoreError
from bclust.functions import Answer
from tests.unit.test_call_store import question

GOOD = {
    "kind": "answer", "function": "ask", "version": 1, "lane": "a", "payload": "{}", "value": "yes", "finish_reason": None,
    "input_tokens": 3, "output_tokens": None, "cost_usd": 0, "latency_ms": 1.5, "answered_at": 1, "detail": None,
}  # fmt: skip
BAD = {
    "kind": "error",
    "function": "ask",
    "version": 1,
    "lane": "a",
    "payload": "{}",
    "attempts": 1,
    "failed_at": 1,
    "error": "no",
}


@pytest.fixture
def store(tmp_path: Path) -> CallStore:
    return CallStore(tmp_path / "calls.sqlite")


WRONG: list[tuple[Any, str]] = [
    (GOOD | {"value": 5}, "value is 5, not text or base64"),
    (GOOD | {"value": ["yes"]}, "value is ['yes'], not text or base64"),
    (GOOD | {"value_base64": "AA=="}, "it has both value and value_base64"),
    (GOOD | {"value": None, "value_base64": "!"}, "base64"),
    (GOOD | {"version": "x"}, "version is 'x', not a whole number from 0 on"),
    (GOOD | {"version": 1.5}, "version is 1.5"),
    (GOOD | {"version": True}, "version is True"),
    (GOOD | {"version": None}, "version is None"),
    (GOOD | {"function": 7}, "function is 7, not text"),
    (GOOD | {"payload": None}, "payload is None, not text"),
    (GOOD | {"finish_reason": {"a": 1}}, "finish_reason is {'a': 1}, not text"),
    (GOOD | {"cost_usd": float("nan")}, "cost_usd is nan, not a finite number from 0 on"),
    (GOOD | {"cost_usd": -1e9}, "cost_usd is -1000000000.0"),
    (GOOD | {"latency_ms": float("inf")}, "latency_ms is inf"),
    (GOOD | {"input_tokens": 10**30}, "input_tokens is 1000000000000000000000000000000"),
    (GOOD | {"input_tokens": -1}, "input_tokens is -1"),
    (GOOD | {"answered_at": 10**17}, "answered_at is 100000000000000000, not a time that has been"),
    (GOOD | {"detail": "{'a': 1}"}, "detail is \"{'a': 1}\", not JSON"),
    (GOOD | {"value": "half \ud83d"}, "value holds half a character"),
    (GOOD | {"function": "vectors", "value": "text"}, "value is text, and this function's answers are vector"),
    (GOOD | {"function": "vectors", "value": None, "value_base64": "AAA="}, "value has 2 bytes"),
    (GOOD | {"value": None, "value_base64": "AAAA"}, "value is bytes, and this function's answers are text"),
    ({k: v for k, v in GOOD.items() if k != "lane"}, "it has no lane"),
    (GOOD | {"kind": "answers"}, "unknown kind 'answers'"),
    (BAD | {"error": 5}, "error is 5, not text"),
    (BAD | {"attempts": None}, "attempts is None"),
    ([1], "it is no object"),
    (b"[" * 200_000, "nested too deeply"),
    (b'{"kind": "\xff"}', "it is not UTF-8"),
    (b'{"kind": ', "Expecting value"),
    (b"", "Expecting value"),
    (b'{"kind": "answer", "version": ' + b"9" * 5000 + b"}", "integer string"),
]


@pytest.mark.parametrize(("record", "why"), WRONG, ids=[why for _, why in WRONG])
def test_a_record_that_is_none_is_refused_with_line_and_reason_and_nothing_is_added(
    tmp_path: Path, store: CallStore, record: Any, why: str
) -> None:
    lines = [
        json.dumps(GOOD | {"payload": "1"}).encode(),
        record if isinstance(record, bytes) else json.dumps(record).encode(),
        b"",
    ]
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n".join(lines))
    kinds = {"ask": "text", "vectors": "vector"}
    with pytest.raises(StoreError) as caught:
        store.import_(path, kinds.get)
    assert caught.value.message.startswith(f"{path}:2: not a record of a call store: ")
    assert why in caught.value.message
    assert "\n" not in caught.value.message
    assert store.stats() == []
    store.close()


def test_rows_of_parquet_are_checked_alike(tmp_path: Path, store: CallStore) -> None:
    path = tmp_path / "in.parquet"
    for wrong, why in (({"version": "x"}, "row 1: .*version is 'x'"), ({"cost_usd": -1.0}, "row 1: .*cost_usd is -1.0")):
        pq.write_table(pa.Table.from_pylist([GOOD | wrong]), path)
        with pytest.raises(StoreError, match=why):
            store.import_(path)
    for junk in (b"", b"PAR1 junk PAR1", os.urandom(500)):
        path.write_bytes(junk)
        with pytest.raises(StoreError, match="not an export of a call store, or damaged"):
            store.import_(path)
    assert store.stats() == []
    store.close()


def test_a_flipped_or_cut_parquet_file_is_refused_or_read_as_it_was(tmp_path: Path) -> None:
    path, draw = tmp_path / "out.parquet", random.Random(3)
    with CallStore(tmp_path / "from.sqlite") as store:
        for i in range(300):
            store.put(question(f"question {i}"), Answer(f"answer {draw.random()}", "stop", i, 2, 0.5, 1.5, '{"a": 1}'))
        store.export(path)
        keys = [question(f"question {i}").key for i in range(300)]
        before = {key: row.value for key, row in store.lookup(keys).items()}
    whole, refused = path.read_bytes(), 0
    for number in range(80):
        data = bytearray(whole)
        if number % 8:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        else:
            del data[draw.randrange(len(data)) :]
        path.write_bytes(bytes(data))
        with CallStore(tmp_path / f"to{number}.sqlite") as other:
            try:
                other.import_(path)
            except StoreError as error:
                refused += 1
                assert "\n" not in error.message
                assert other.stats() == []
            else:
                # the footer of a Parquet file has no checksum: it may say that there are no rows, and the import says so, too
                assert {key: row.value for key, row in other.lookup(keys).items()} in (before, {})
    assert refused > 40


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_export_is_a_new_file_of_its_owner_and_replaces_one_only_when_told_to(
    tmp_path: Path, store: CallStore, suffix: str
) -> None:
    store.put(question("a"), Answer("A"))
    path, other = tmp_path / f"out.{suffix}", tmp_path / "precious.txt"
    other.write_text("precious")
    store.export(path)
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    first = path.read_bytes()
    store.put(question("b"), Answer("B"))
    link, broken = tmp_path / f"link.{suffix}", tmp_path / f"broken.{suffix}"
    link.symlink_to(other)
    broken.symlink_to(tmp_path / "nowhere")
    for place in (path, link, broken):
        with pytest.raises(StoreError, match="exists already") as caught:
            store.export(place)
        assert "--force" in str(caught.value.hint)
    assert path.read_bytes() == first
    assert store.export(path, force=True)["answers"] == 2
    assert store.export(link, force=True)["answers"] == 2
    assert other.read_text() == "precious"
    assert not link.is_symlink()
    assert not (tmp_path / "nowhere").exists()
    store.close()


def test_an_export_that_fails_says_so_in_a_sentence_and_leaves_nothing(tmp_path: Path, store: CallStore) -> None:
    store.put(question("a"), Answer("A"))
    store.flush()
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").write_text("")
    cases: list[tuple[str, str]] = [
        ("missing/out.jsonl", "there is no folder"),
        ("file/out.jsonl", "there is no folder"),
        ("folder.jsonl", "is a folder"),
        ("x" * 250 + ".jsonl", "File name too long"),
    ]
    for name, why in cases:
        with pytest.raises(StoreError, match=why):
            store.export(tmp_path / name, force=True)
    with store.transaction() as con:  # as an import of an earlier version could
        con.execute("update answers set version = 'x'")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StoreError, match="does not fit into Parquet"):
        store.export(tmp_path / "out.parquet")
    assert sorted(tmp_path.rglob("*")) == before
    store.close()


def test_a_full_disk_fails_an_export_in_a_sentence(tmp_path: Path, store: CallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(question("a"), Answer("A"))
    store.flush()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bclust.calls.files.os.fsync", full)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StoreError, match=r"out\.jsonl cannot be written: No space left on device"):
        store.export(tmp_path / "out.jsonl")
    assert sorted(tmp_path.iterdir()) == before
    store.close()


def test_the_store_is_no_place_to_export_to(tmp_path: Path) -> None:
    with CallStore(tmp_path / "calls.jsonl") as store:
        store.put(question("a"), Answer("A"))
        with pytest.raises(StoreError, match="is the call store itself"):
            store.export(tmp_path / "calls.jsonl", force=True)


def test_the_kind_of_an_answer_follows_from_what_its_function_returns() -> None:
    kinds: Callable[[str], str | None] = answer_kind
    assert kinds("STRUCT(text VARCHAR, error VARCHAR, input_tokens INTEGER)") == "text"
    assert kinds("STRUCT(vector FLOAT[], error VARCHAR)") == "vector"
    assert [kinds(t) for t in ("BLOB", "JSON", "INTEGER")] == ["bytes", "text", None]
