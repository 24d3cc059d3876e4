"""The call store: durable, lossless, shared, and never silently emptied."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bclust.calls.store import Call, CallStore, call_key, microseconds
from bclust.errors import StoreError
from bclust.functions import Answer


def question(text: str, function: str = "ask", lane: str = "a") -> Call:
    payload = json.dumps({"prompt": text})
    return Call(call_key(function, 1, payload), function, 1, lane, payload)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "calls.sqlite"


def filled(path: Path, n: int = 3000) -> CallStore:
    store = CallStore(path)
    for i in range(n):
        store.put(question(f"question {i}"), Answer(f"answer {i}" * 5, "stop", i, 2, 0.001, 12.5, '{"a": 1}'))
    store.flush()
    return store


def test_an_answer_counts_only_once_it_is_durable(path: Path) -> None:
    with CallStore(path) as store:
        seen: list[int] = []

        def counted() -> None:
            con = sqlite3.connect(path)
            seen.append(con.execute("select count(*) from answers").fetchone()[0])
            con.close()

        store.put(question("a"), Answer("A"), counted)
        store.flush()
        assert seen == [1]


def test_stored_answers_are_found_again_by_another_process_and_others_are_not(path: Path) -> None:
    filled(path).close()
    with CallStore(path) as store:
        asked = [question(f"question {i}").key for i in range(5000)]
        found = store.lookup(asked)
    assert set(found) == set(asked[:3000])
    first = found[asked[7]]
    assert (first.value, first.finish_reason, first.input_tokens, first.output_tokens) == ("answer 7" * 5, "stop", 7, 2)
    assert (first.cost_usd, first.latency_ms, first.detail) == (0.001, 12.5, '{"a": 1}')
    assert abs(first.answered_at / 1e6 - time.time()) < 60


def test_threads_look_up_at_once(path: Path) -> None:
    with filled(path) as store:
        asked = [question(f"question {i}").key for i in range(3000)]
        counts: list[int] = []
        threads = [threading.Thread(target=lambda: counts.append(len(store.lookup(asked)))) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert counts == [3000] * 6


def test_the_first_answer_to_a_question_stays(path: Path) -> None:
    with CallStore(path) as store:
        store.put(question("a"), Answer("first"))
        store.put(question("a"), Answer("second"))
        store.flush()
        assert store.lookup([question("a").key])[question("a").key].value == "first"


def test_errors_are_kept_beside_and_are_no_answers(path: Path) -> None:
    with CallStore(path) as store:
        store.record_error(question("a"), "no luck", 3)
        store.record_error(question("a"), "still no luck", 3)
        store.flush()
        assert store.lookup([question("a").key]) == {}
        assert store.errors([question("a").key, question("b").key]) == {question("a").key: "still no luck"}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_an_export_is_lossless_and_its_import_adds_what_is_missing_once(tmp_path: Path, path: Path, suffix: str) -> None:
    vector = np.linspace(-1, 1, 7, dtype=np.float32).tobytes()
    answers = [
        Answer('text — \n\u2028 \x00 "quoted" 🙂', "stop", 3, 4, 1e-9 / 3, 0.1, '{"x": [1, null]}'),
        Answer(vector, input_tokens=2),
        Answer(None),
        Answer(""),
    ]
    export = tmp_path / f"calls{suffix}"
    with CallStore(path) as store, CallStore(tmp_path / "other.sqlite") as other:
        for i, answer in enumerate(answers):
            store.put(question(f"ünïcode {i}"), answer)
        store.record_error(question("bad"), "it failed", 2)
        assert store.export(export) == {"answers": 4, "errors": 1}
        assert other.import_(export) == {"answers": 4, "known": 0, "errors": 1}
        assert other.import_(export) == {"answers": 0, "known": 4, "errors": 0}
        keys = [question(f"ünïcode {i}").key for i in range(4)]
        assert other.lookup(keys) == store.lookup(keys)
        assert other.errors([question("bad").key]) == {question("bad").key: "it failed"}
        assert other.stats() == store.stats()
        again = tmp_path / f"again{suffix}"
        other.export(again)
        assert again.read_bytes() == export.read_bytes()


def test_a_broken_line_is_named_and_nothing_of_its_file_is_added(tmp_path: Path, path: Path) -> None:
    export = tmp_path / "calls.jsonl"
    with filled(path, 3) as store:
        store.export(export)
    lines = export.read_text(encoding="utf-8").splitlines()
    export.write_text("\n".join([*lines[:2], lines[2][:40]]), encoding="utf-8")
    with CallStore(tmp_path / "other.sqlite") as other:
        with pytest.raises(StoreError, match=r"calls\.jsonl:3"):
            other.import_(export)
        assert other.stats() == []


def test_unknown_formats_and_missing_files_are_refused(tmp_path: Path, path: Path) -> None:
    with CallStore(path) as store:
        with pytest.raises(StoreError, match="cannot tell the format"):
            store.export(tmp_path / "calls.xlsx")
        with pytest.raises(StoreError, match="there is no file"):
            store.import_(tmp_path / "nothing.jsonl")


def test_statistics_count_answers_errors_tokens_and_money_per_lane(path: Path) -> None:
    with CallStore(path) as store:
        store.put(question("a"), Answer("A", None, 10, 2, 0.5))
        store.put(question("b"), Answer("B", None, 20, 4, 0.25))
        store.put(question("c", lane="b"), Answer("C"))
        store.record_error(question("d"), "no")
        store.flush()
        first, second = store.stats()
        assert store.mean_output_tokens() == {("ask", "a"): 3.0}
    assert (first["function"], first["lane"], first["answers"], first["errors"]) == ("ask", "a", 2, 1)
    assert (first["input_tokens"], first["output_tokens"], first["cost_usd"]) == (30, 6, 0.75)
    assert first["first"].endswith("Z")
    assert (second["lane"], second["answers"], second["errors"], second["cost_usd"]) == ("b", 1, 0, None)


def test_an_answer_is_superseded_in_the_transaction_that_stores_its_successor_and_only_by_a_newer_question(path: Path) -> None:
    with filled(path, 10) as store:
        between = microseconds()
        key = question("question 1").key
        store.put(question("question 1"), Answer("not asked again"), since=store.opened_at - 1)
        store.flush()
        assert store.lookup([key])[key].value == "answer 1" * 5
        store.put(question("question 1"), Answer("new"), since=between)
        store.flush()
        assert store.lookup([key])[key].value == "new"
    con = sqlite3.connect(path)
    assert con.execute("select value from superseded").fetchall() == [("answer 1" * 5,)]
    assert con.execute("select count(*) from answers").fetchone() == (10,)
    con.close()


# --- who may open it, and what is no store -----------------------------------------------------------------------


def test_a_missing_store_reads_as_an_empty_one_and_is_not_made(path: Path) -> None:
    with CallStore(path, read_only=True) as store:
        assert store.lookup([b"x" * 32]) == {}
        assert store.stats() == []
        with pytest.raises(StoreError, match="for reading only"):
            store.put(question("a"), Answer("A"))
    assert not path.exists()


def test_a_reader_sees_what_a_writer_has_committed(path: Path) -> None:
    with filled(path, 5) as store, CallStore(path, read_only=True) as reader:
        store.put(question("new"), Answer("N"))
        store.flush()
        assert question("new").key in reader.lookup([question("new").key])


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "emptied":
        data.clear()
    elif how == "truncated":
        del data[len(data) // 2 :]
    elif how == "no header":
        data[:100] = b"x" * 100
    elif how == "overwritten":
        data[len(data) // 3 : len(data) // 3 + 20_000] = os.urandom(20_000)
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("how", ["emptied", "truncated", "no header", "overwritten"])
def test_a_damaged_store_is_said_to_be_damaged_and_left_as_it_is(path: Path, how: str, read_only: bool) -> None:
    filled(path).close()
    damage(path, how)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="damaged") as caught:
        CallStore(path, read_only=read_only)
    assert "nothing was changed" in str(caught.value)
    assert path.read_bytes() == before


def test_other_sqlite_files_and_newer_formats_are_refused(tmp_path: Path, path: Path) -> None:
    other = tmp_path / "other.sqlite"
    con = sqlite3.connect(other)
    con.execute("create table t (a)")
    con.close()
    with pytest.raises(StoreError, match="no call store"):
        CallStore(other)
    CallStore(path).close()
    con = sqlite3.connect(path)
    con.execute("pragma user_version = 99")
    con.close()
    with pytest.raises(StoreError, match="format 99"):
        CallStore(path)


# --- several processes, and none ---------------------------------------------------------------------------------

WRITER = """
import json, sys
from pathlib import Path
from bclust.calls.store import Call, CallStore, call_key, microseconds
from bclust.functions import Answer
store = CallStore(Path(sys.argv[1]))
for i in range(int(sys.argv[3])):
    payload = json.dumps([sys.argv[2], i])
    done = lambda i=i: print(i, flush=True)
    store.put(Call(call_key("ask", 1, payload), "ask", 1, "a", payload), Answer("x" * 500), done)
store.close()
"""


def test_four_processes_write_one_store_without_an_error(path: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), name, "500"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        for name in "abcd"
    ]
    assert [(w.communicate(timeout=60)[1], w.returncode) for w in writers] == [(b"", 0)] * 4
    with CallStore(path) as store:
        assert store.stats()[0]["answers"] == 2000


def test_a_killed_process_loses_no_answer_that_it_had_counted(path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), "a", "100000"], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    counted = [writer.stdout.readline() for _ in range(500)]
    writer.kill()
    counted += writer.stdout.readlines()
    writer.wait()
    whole = {int(line) for line in counted if line.endswith("\n")}
    with CallStore(path) as store:
        keys = {i: call_key("ask", 1, json.dumps(["a", i])) for i in whole}
        assert len(store.lookup(list(keys.values()))) == len(whole) >= 500


@pytest.mark.parametrize("value", ["cut \ud83d", [{"type": "text"}]])
def test_an_answer_that_cannot_be_stored_fails_its_own_call_and_no_other(path: Path, value: Any) -> None:
    said: list[str] = []
    with CallStore(path) as store:
        with store.transaction():  # the writer waits, so that all are handed over before it writes the first
            for i in range(5):
                store.put(question(f"{i}"), Answer(value if i == 2 else "fine"), None, said.append)
        store.flush()
        store.put(question("after"), Answer("fine"))
        store.flush()
        assert len(store.lookup([question(f"{i}").key for i in (0, 1, 2, 3, 4, "after")])) == 5
        assert said == [store.errors([question("2").key])[question("2").key]]
    assert said[0].startswith("the answer cannot be stored: ")


def test_what_could_not_be_written_is_counted_kept_and_tried_once_more(path: Path) -> None:
    store = CallStore(path)
    store.put(question("first"), Answer("fine"))
    store.flush()
    con = sqlite3.connect(path)
    con.execute("create trigger full before insert on answers begin select raise(abort, 'disk is full'); end")
    con.commit()
    for i in range(7):  # those of the first transaction, those in the queue, and those that arrive later
        with contextlib.suppress(StoreError):
            store.put(question(f"{i}"), Answer("paid"))
        time.sleep(0.02 * (i == 3))
    with pytest.raises(StoreError, match=r"7 answers could not be written .*disk is full"):
        store.flush()
    with pytest.raises(StoreError, match="disk is full"):
        store.do(lambda con: None).result()
    con.execute("drop trigger full")
    con.commit()
    with pytest.raises(StoreError, match="no answer is lost"):
        store.flush()
    store.close()
    assert con.execute("select count(*) from answers").fetchone() == (8,)
    con.close()


# --- is it whole? ------------------------------------------------------------------------------------------------


def test_no_flipped_bit_of_a_small_store_changes_or_hides_an_answer_unnoticed(path: Path) -> None:
    """Of 150 flips, five hid answers (which would have been paid again), and one changed one."""
    asked = [question(f"question {i}") for i in range(400)]
    filled(path, 400).close()
    whole, draw = path.read_bytes(), random.Random(7)
    with CallStore(path, read_only=True) as store:
        before = store.lookup([call.key for call in asked])
    refused = 0
    for _ in range(150):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(bytes(data))
        try:
            with CallStore(path, read_only=True) as store:
                assert store.lookup([call.key for call in asked]) == before
        except StoreError as error:
            refused += 1
            assert "\n" not in error.message
    assert refused > 50


def test_an_answer_is_compared_with_its_checksum_whenever_it_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bclust.calls.store._READ_BELOW", 0)  # as if it were large
    filled(path, 10).close()
    con = sqlite3.connect(path)
    con.execute("update answers set value = 'answer 8' where id = 3")
    con.execute("update answers set input_tokens = 9 where id = 5")
    con.commit()
    con.close()
    keys = [question(f"question {i}").key for i in range(10)]
    with CallStore(path, read_only=True) as store:
        assert len(store.lookup(keys[4:])) == 6
        with pytest.raises(StoreError, match=r"is damaged: the answer with the key .* is not what was stored"):
            store.lookup(keys)
        with pytest.raises(StoreError, match=r"is damaged: the answer 3 \(ask by a\) is not what was stored"):
            store.check()


def test_a_store_that_was_not_closed_cleanly_is_read_as_a_whole_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bclust.calls.store._CHECK_BELOW", 0)
    monkeypatch.setattr("bclust.calls.store._READ_BELOW", 0)
    read: list[bool] = []
    check = CallStore.check
    monkeypatch.setattr(CallStore, "check", lambda self, *, rows=True: read.append(rows) or check(self, rows=rows))
    filled(path, 10).close()
    CallStore(path).close()
    assert read == []
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path), "a", "100000"], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.readline()
    with CallStore(path):
        assert read == [], "it is in use"
    writer.kill()
    writer.communicate()
    CallStore(path).close()
    assert read == [True]
    CallStore(path).close()
    assert read == [True]


def test_a_store_of_an_earlier_version_is_used_as_it_is_and_its_new_answers_have_checksums(path: Path) -> None:
    filled(path, 10).close()
    con = sqlite3.connect(path)
    for statement in ("alter table answers drop column checksum", "drop table owners", "drop table claims"):
        con.execute(statement)
    con.commit()
    keys = [question(f"question {i}").key for i in range(11)]
    with CallStore(path, read_only=True) as store:
        assert len(store.lookup(keys)) == 10
        assert store.check() == {"answers": 10, "errors": 0, "unchecked": 10}
    with CallStore(path) as store:
        assert len(store.lookup(keys)) == 10
        store.put(question("question 10"), Answer("new"))
        store.flush()
        assert [row.checksum is None for row in store.lookup(keys).values()].count(True) == 10
        assert store.check()["answers"] == 11


def test_a_missing_table_is_noticed(path: Path) -> None:
    filled(path, 3).close()
    con = sqlite3.connect(path)
    con.execute("drop table errors")
    con.close()
    with pytest.raises(StoreError, match="is damaged: the table errors is missing"):
        CallStore(path, read_only=True)


def test_what_is_in_the_way_of_opening_or_making_a_store_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for place, why in (
        ("link", "is a link to .*nowhere, which is not there"),
        ("file/calls.sqlite", "cannot be (made|opened): "),
        ("loop", "is a link to"),
        (".", "cannot be opened"),
        ("x" * 300, "cannot be (made|opened): File name too long"),
    ):
        for read_only in (False, True):
            if place == "file/calls.sqlite" and read_only:
                continue  # there is none: it reads as an empty one
            with pytest.raises(StoreError, match=why) as caught:
                CallStore(tmp_path / place, read_only=read_only)
            assert "\n" not in caught.value.message


def test_only_its_owner_may_read_a_store_and_what_lies_beside_it(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = tmp_path / ".bclust" / "calls.sqlite"
        with filled(path, 3):
            modes = {p.name: oct(p.stat().st_mode & 0o777) for p in path.parent.iterdir()}
            assert modes == dict.fromkeys(["calls.sqlite", "calls.sqlite-wal", "calls.sqlite-shm"], "0o600")
        assert oct(path.parent.stat().st_mode & 0o777) == "0o700"
        path.chmod(0o644)
        path.parent.chmod(0o775)
        CallStore(path).close()
        assert [oct(p.stat().st_mode & 0o777) for p in (path, path.parent)] == ["0o640", "0o770"]
    finally:
        os.umask(before)
