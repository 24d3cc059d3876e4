"""The commands that look after stored answers and working files: calls verify, import, export, and clean."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from bclust.errors import WarehouseError
from bclust.warehouse.database import build_lock, delete_working_files
from tests.conftest import Project


@pytest.fixture
def built(project: Project) -> Project:
    before = os.umask(0o022)
    try:
        assert project.run("build").code == 0
    finally:
        os.umask(before)
    return project


def test_verify_says_in_one_sentence_what_it_found(built: Project) -> None:
    said = built.run("calls", "verify")
    assert (said.code, said.out.count("\n")) == (0, 1)
    assert "is whole: 6 answers and 0 errors were read" in said.out
    store = built.root / ".bclust" / "calls.sqlite"
    con = sqlite3.connect(store)
    con.execute("update answers set value = 'HELLO ONF' where value = 'HELLO ONE'")
    con.commit()
    con.close()
    said = built.run("calls", "verify")
    assert said.code == 1
    assert "is damaged: the answer" in said.err
    assert "(ask by a) is not what was stored" in said.err


def test_verify_of_no_store_says_so(project: Project) -> None:
    said = project.run("calls", "verify")
    assert (said.code, said.out.startswith("there is no call store yet at")) == (0, True)


def test_what_was_said_is_readable_by_its_owner_alone(built: Project) -> None:
    assert built.run("calls", "export", "out.jsonl").code == 0
    root = built.root
    published = (root / "warehouse.duckdb").resolve()
    for path in (root / ".bclust" / "calls.sqlite", published, root / "target" / "default" / "build.duckdb", root / "out.jsonl"):
        assert oct(path.stat().st_mode & 0o777) == "0o600", path
    assert oct((root / ".bclust").stat().st_mode & 0o777) == "0o700"


def test_an_export_replaces_no_file_and_an_import_names_the_line(built: Project) -> None:
    assert built.run("calls", "export", "out.jsonl").code == 0
    again = built.run("calls", "export", "out.jsonl")
    assert (again.code, "out.jsonl exists already" in again.err, "--force" in again.err) == (1, True, True)
    assert built.run("calls", "export", "out.jsonl", "--force").code == 0
    records = [json.loads(line) for line in (built.root / "out.jsonl").read_text().splitlines()]
    records[3]["value"] = 5
    (built.root / "in.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records))
    refused = built.run("calls", "import", "in.jsonl")
    assert refused.code == 1
    assert "in.jsonl:4: not a record of a call store: value is 5, not text or base64" in refused.err
    (built.root / "folder.jsonl").mkdir()
    for place in ("missing/out.jsonl", "folder.jsonl"):
        said = built.run("calls", "export", place)
        assert (said.code, said.err.startswith("error: ")) == (1, True)


def test_clean_deletes_nothing_while_a_build_runs(built: Project) -> None:
    lock = built.root / "target" / "default" / "build.lock"
    before = sorted(built.root.rglob("*"))
    with build_lock(lock):
        said = built.run("clean")
        assert said.code == 1
        assert f"default: another build is running (PID {os.getpid()}); nothing was deleted" in said.err
        assert sorted(built.root.rglob("*")) == before
    assert built.run("clean").code == 0
    assert not (built.root / "target").exists()
    assert not (built.root / "warehouse.duckdb").is_symlink()
    assert "calls 0 new, 6 cached" in built.run("build").err


def test_a_lock_that_was_deleted_locks_nothing(tmp_path: Path) -> None:
    """A build that had opened the lock file before clean deleted it would have held a lock that no other sees."""
    lock = tmp_path / "target" / "default" / "build.lock"
    stop = time.monotonic() + 1.5
    held = threading.Semaphore(1)
    seen: list[str] = []

    def build() -> None:
        while time.monotonic() < stop:
            try:
                with build_lock(lock):
                    assert held.acquire(blocking=False), "two builds at once"
                    seen.append("built")
                    assert lock.exists(), "deleted while a build was running"
                    held.release()
            except WarehouseError:
                pass
            except BaseException as error:
                seen.append(repr(error))
                raise

    builds = [threading.Thread(target=build) for _ in range(2)]
    for thread in builds:
        thread.start()
    cleaned = 0
    while time.monotonic() < stop:
        try:
            delete_working_files(tmp_path / "target")
            cleaned += 1
        except WarehouseError:
            pass
    for thread in builds:
        thread.join()
    assert set(seen) == {"built"}
    assert cleaned > 3


def test_a_full_disk_or_a_folder_in_the_way_is_one_sentence(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.root / "target").write_text("")
    said = project.run("build")
    assert said.code == 1
    assert said.err.startswith("error: ")
    assert "target" in said.err
    (project.root / "target").unlink()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("bclust.warehouse.database.shutil.copyfileobj", full)
    said = project.run("build")
    assert said.code == 1
    assert "error: No space left on device" in said.err
    assert "Traceback" not in said.err
