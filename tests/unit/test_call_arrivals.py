"""What was read from the network by a process that is no more."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bclust.calls.arrivals import Arrivals
from bclust.calls.store import Call, CallStore, call_key
from bclust.functions import Answer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CallStore]:
    store = CallStore(tmp_path / "calls.sqlite")
    yield store
    store.close()


def key(name: str) -> bytes:
    return call_key("ask", 1, json.dumps(name))


def dies(arrivals: Arrivals) -> None:
    """As a killed process does: the files stay, without a lock."""
    for _, file in arrivals._files:
        os.close(file)
    arrivals._files.clear()


def files(store: CallStore) -> list[str]:
    return sorted(p.name for p in store.path.parent.glob("*.received-*"))


def left_by_a_dead_process(store: CallStore, *pieces: bytes, keys: tuple[bytes, ...] = (key("a"),)) -> None:
    dead = Arrivals(store)
    write = dead.of(keys).reader("post")
    for piece in pieces:
        write(piece)
    dies(dead)


def test_what_a_dead_process_had_read_is_found_once_by_who_asks_the_same(store: CallStore) -> None:
    left_by_a_dead_process(store, b"one ", b"answer\n\n{}")
    with Arrivals(store) as arrivals:
        assert arrivals.together([key("a")]) == []  # it was asked alone
        assert arrivals.of((key("b"),)).found("post") == []
        assert arrivals.of((key("a"),)).found("another") == []
        exchange = arrivals.of((key("a"),))
        assert exchange.found("post") == [b"one answer\n\n{}"]
        exchange.use(b"one answer\n\n{}")
        assert exchange.ms is not None and 0 < exchange.ms < 60_000
        assert arrivals.of((key("a"),)).found("post") == []


def test_what_a_living_process_reads_is_its_own(store: CallStore) -> None:
    with Arrivals(store) as living:
        living.of((key("a"),)).reader("post")(b"answer")
        with Arrivals(store) as other:
            other.together([key("a")])
            assert other.of((key("a"),)).found("post") == []
        assert len(files(store)) == 1
    assert files(store) == []


def test_a_process_that_dies_meanwhile_is_noticed_when_more_calls_come(store: CallStore) -> None:
    with Arrivals(store) as waiting:
        assert waiting.together([key("a")]) == []
        left_by_a_dead_process(store, b"answer")
        waiting.together([key("a")])
        assert waiting.of((key("a"),)).found("post") == [b"answer"]


def test_calls_that_were_asked_together_are_asked_together_again(store: CallStore) -> None:
    left_by_a_dead_process(store, b"vectors", keys=(key("a"), key("b")))
    with Arrivals(store) as arrivals:
        assert arrivals.together([key("a"), key("c")]) == []
        assert arrivals.together([key("c"), key("b"), key("a")]) == [(key("a"), key("b"))]
        assert arrivals.of((key("a"), key("b"))).found("post") == [b"vectors"]


def test_a_refresh_takes_nothing_from_before_it(store: CallStore) -> None:
    left_by_a_dead_process(store, b"answer")
    with Arrivals(store) as arrivals:
        arrivals.together([key("a")])
        assert arrivals.of((key("a"),), since=2**62).found("post") == []


def test_a_file_goes_when_its_questions_are_answered(store: CallStore) -> None:
    left_by_a_dead_process(store, b"answer")
    with Arrivals(store) as arrivals:
        arrivals.together([key("a")])
    assert len(files(store)) == 1  # nobody asked: it is kept for who will
    store.put(Call(key("a"), "ask", 1, "lane", json.dumps("a")), Answer("answer"))
    store.flush()
    with Arrivals(store) as arrivals:
        arrivals.together([key("a")])
    assert files(store) == []


def test_a_file_that_nobody_wants_goes_after_a_week(store: CallStore) -> None:
    left_by_a_dead_process(store, b"answer")
    (file,) = store.path.parent.glob("*.received-*")
    os.utime(file, (1, 1))
    with Arrivals(store) as arrivals:
        arrivals.together([])
    assert files(store) == []


def test_a_file_that_another_process_reads_stays(store: CallStore) -> None:
    left_by_a_dead_process(store, b"answer")
    (file,) = store.path.parent.glob("*.received-*")
    os.utime(file, (1, 1))
    with file.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        with Arrivals(store) as arrivals:
            arrivals.together([])
    assert len(files(store)) == 1


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_record_that_was_cut_is_none(store: CallStore, cut: int) -> None:
    left_by_a_dead_process(store, b"whole")
    left_by_a_dead_process(store, b"x" * 20)
    second = max(store.path.parent.glob("*.received-*"))
    second.write_bytes(second.read_bytes()[:-cut])
    with Arrivals(store) as arrivals:
        arrivals.together([])
        assert arrivals.of((key("a"),)).found("post") == [b"whole"]


def test_an_error_of_the_build_leaves_what_was_read(store: CallStore) -> None:
    with pytest.raises(RuntimeError), Arrivals(store) as arrivals:
        arrivals.of((key("a"),)).reader("post")(b"answer")
        raise RuntimeError
    assert len(files(store)) == 1


def test_the_files_of_a_long_build_take_turns(store: CallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bclust.calls.arrivals._HALF", 1000)
    with Arrivals(store) as arrivals:
        for number in range(30):
            arrivals.of((key(str(number)),)).reader("post")(b"x" * 400)
            store.flush()
            assert len(files(store)) <= 3
    assert files(store) == []


def test_the_file_is_its_owners_alone_and_holds_no_key(store: CallStore) -> None:
    with Arrivals(store, ["sk-secret"]) as arrivals:
        arrivals.of((key("a"),)).reader("post")(b'{"you sent": "sk-secret"}')
        (file,) = store.path.parent.glob("*.received-*")
        assert file.stat().st_mode & 0o777 == 0o600
        assert b"sk-secret" not in file.read_bytes() and b'"you sent": "*********"' in file.read_bytes()


def test_where_no_file_can_be_written_calls_are_made_as_ever(store: CallStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with Arrivals(store) as arrivals:
        write = arrivals.of((key("a"),)).reader("post")
        write(b"answer")
        write(b"answer")
