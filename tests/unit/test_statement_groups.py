"""Groups of near-duplicates: right by brute force, in any order of rows, and cheap for thousands of one template."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from bclust.build.session import Session
from bclust.errors import FunctionError
from bclust.project.reading import read_project
from tests.conftest import ROOT
from udfs.group_leaders import group_leaders

Groups = Callable[..., dict[str, dict[str, Any]]]
COLUMNS = ("statement_id", "statement", "source_file", "source_line", "group")
TYPES = (pa.string(), pa.string(), pa.string(), pa.int64(), pa.string())


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Session(read_project(ROOT), warehouse=tmp_path_factory.mktemp("groups") / "groups.duckdb") as session:
        yield session


@pytest.fixture(scope="module")
def groups(session: Session) -> Groups:
    """What the model makes of statements (texts in order, or rows): its rows by statement_id."""
    model = session.manifest.nodes["statement_groups"].sql

    def run(statements: Sequence[Mapping[str, Any]] | Sequence[str], similarity: float | None = 0.5) -> dict[str, Any]:
        table = [numbered(i, s) if isinstance(s, str) else s for i, s in enumerate(statements)]
        columns = [pa.array([row.get(name) for row in table], type_) for name, type_ in zip(COLUMNS, TYPES, strict=True)]
        session.warehouse.load("statements", pa.table(columns, names=COLUMNS))
        session.warehouse.set_variables({"group_similarity": similarity, "random_state": 42, "n_statements": None})
        session.warehouse.execute(f"create or replace table statement_groups as {model}")
        return {row["statement_id"]: row for row in session.warehouse.rows("from statement_groups")}

    return run


def numbered(line: int, text: str) -> dict[str, Any]:
    return {"statement_id": f"s{line}", "statement": text, "source_file": "a.jsonl", "source_line": line}


def sentences(n: int, *, seed: int = 0, words: int = 60, longest: int = 9) -> list[str]:
    draw = random.Random(seed)
    return [" ".join(f"w{draw.randrange(words)}" for _ in range(draw.randrange(1, longest))) for _ in range(n)]


def cpu_seconds(run: Callable[[], Any]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


# --- the rule, against comparing every set with every leader -----------------------------------------------------


def by_brute_force(sets: Sequence[set[int]], weights: Sequence[float], similarity: float) -> list[dict[str, Any]]:
    def alike(a: set[int], b: set[int]) -> float:
        return sum(weights[w - 1] for w in a & b) / (sum(weights[w - 1] for w in a | b) or 1)

    found: list[dict[str, Any]] = []
    for i, own in enumerate(sets):
        leaders = [j for j in range(i) if found[j]["leader"] == j]
        best = max(leaders, key=lambda j: (alike(own, sets[j]), -j), default=None)
        if best is not None and alike(own, sets[best]) >= similarity:
            found.append({"leader": best, "similarity": alike(own, sets[best])})
            found[best]["similarity"] = max(found[best]["similarity"] or 0, alike(own, sets[best]))
        else:
            found.append({"leader": i, "similarity": None})
    return found


@pytest.mark.parametrize("similarity", [0.2, 1 / 3, 0.5, 0.6, 0.75, 1.0])
@pytest.mark.parametrize(("n", "vocabulary", "longest"), [(300, 12, 7), (200, 40, 30), (120, 150, 140)])
def test_leaders_are_those_of_comparing_all(similarity: float, n: int, vocabulary: int, longest: int) -> None:
    draw = random.Random(n)
    sets = [set(draw.sample(range(1, vocabulary + 1), draw.randrange(min(vocabulary, longest)))) for _ in range(n)]
    for i in draw.sample(range(1, n), n // 2):  # near-duplicates of what is there
        sets[i] = set(sets[i - 1]) ^ set(draw.sample(range(1, vocabulary + 1), draw.randrange(3)))
    weights = [draw.choice([0.25, 1.0]) for _ in range(vocabulary)]
    words = np.array([w for s in sets for w in sorted(s)], dtype=np.int32)
    sizes = np.array([len(s) for s in sets], dtype=np.int32)
    assert group_leaders(words, sizes, np.array(weights), similarity) == by_brute_force(sets, weights, similarity)


def test_a_chain_is_no_group() -> None:
    chain = np.array([[i, i + 1, i + 2, i + 3] for i in range(1, 100)], dtype=np.int32)  # each 3 of 5 with the next
    found = group_leaders(chain.ravel(), np.full(99, 4, dtype=np.int32), np.ones(102), 0.6)
    assert [row["leader"] for row in found] == [i - i % 2 for i in range(99)]


@pytest.mark.parametrize("similarity", [0.0, -0.5, 1.01, float("nan")])
def test_a_similarity_that_is_none_is_said(similarity: float) -> None:
    with pytest.raises(FunctionError, match="above 0 and at most 1"):
        group_leaders(np.array([1], dtype=np.int32), np.array([1], dtype=np.int32), np.ones(1), similarity)


def test_sizes_that_do_not_add_up_are_said() -> None:
    with pytest.raises(FunctionError, match="2 words in sets of 3"):
        group_leaders(np.array([1, 2], dtype=np.int32), np.array([3], dtype=np.int32), np.ones(2), 0.5)


# --- the model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I can't wait", "I cannot wait"),
        ("I don’t mind", "I do not mind"),
        ("People's feelings matter", "people feelings matter!"),
        ("I'm calm", "I’m CALM."),
        ("我喜欢帮助别人", "我喜欢帮助别人。"),
        ("ฉันชอบช่วยคน", "ฉันชอบช่วยคน!"),
        ("हिंदी में", "हिंदी में।"),
        ("ÉTÉ à la mer", "été à la mer"),
    ],
)
def test_the_same_words_are_the_same_statement(groups: Groups, one: str, other: str) -> None:
    found = groups([one, other], 1.0)
    assert found["s1"]["group_id"] == "s0"
    assert found["s1"]["similarity"] == 1


@pytest.mark.parametrize(
    ("one", "other", "together"),
    [
        ("I want to help people", "I want to help others", True),
        ("Jesus is the Son of God", "Jesus is not the Son of God", True),  # an answer to one nearly is the other's, turned
        ("我喜欢帮助别人", "我喜欢帮助大家", True),
        ("I want to help", "I want to read", False),
        ("I am awesome", "I am expendable", False),
        ("我喜欢帮助别人", "他讨厌数学课程", False),
        ("!!!", "???", False),
    ],
)
def test_what_is_a_near_duplicate(groups: Groups, one: str, other: str, together: bool) -> None:
    assert (groups([one, other])["s1"]["group_size"] == 2) is together


def test_the_order_of_rows_changes_nothing(groups: Groups) -> None:
    statements = [numbered(i, text) for i, text in enumerate(sentences(800, words=20))]
    expected = groups(statements)
    random.Random(1).shuffle(statements)
    assert groups(statements) == expected
    assert 1 < len({row["group_id"] for row in expected.values()}) < 700


def test_a_group_is_named_after_its_first_member_and_lies_in_one_half(groups: Groups) -> None:
    found = groups(sentences(800, words=20))
    members: dict[str, list[dict[str, Any]]] = {}
    for row in found.values():
        members.setdefault(row["group_id"], []).append(row)
    for group, rows in members.items():
        assert group == min((row["statement_id"] for row in rows), key=lambda name: int(name[1:]))
        assert {row["group_size"] for row in rows} == {len(rows)}
        assert len({row["half"] for row in rows}) == 1
        assert (rows[0]["similarity"] is None) == (len(rows) == 1)


def test_statements_that_are_added_behind_leave_the_groups_as_they_were(groups: Groups) -> None:
    texts = sentences(600, words=25)
    before, after = groups(texts[:400]), groups(texts)
    assert {name: after[name]["group_id"] for name in before} == {name: row["group_id"] for name, row in before.items()}


def test_the_records_own_group_is_apart_from_all_others(groups: Groups) -> None:
    own = [numbered(i, "I want to help people") | {"group": "s1" if i % 2 else None} for i in range(6)]
    found = groups(own)
    assert [found[f"s{i}"]["group_id"] for i in range(6)] == ["s0", "s1"] * 3


@pytest.mark.parametrize(
    ("duplicates", "said"),
    [(2, []), (3, [{"have_a_near_duplicate": "15 %", "statements": 20, "count_as": 18}])],
)
def test_a_warning_says_how_many_count_as_one(session: Session, groups: Groups, duplicates: int, said: list[Any]) -> None:
    groups(["I want to help people"] * duplicates + [f"number{i} place{i} river{i}" for i in range(20 - duplicates)])
    assert session.warehouse.rows((ROOT / "tests/data/near_duplicates_are_few.sql").read_text(encoding="utf-8")) == said


def test_thousands_of_one_template_cost_no_more_than_others(groups: Groups) -> None:
    alike = [f"I would very much like to visit place{i} with all my friends next summer" for i in range(5_000)]
    unlike = [f"I like place{i} more than town{i}, river{i} and the hills of land{i}" for i in range(5_000)]
    mixed = [f"I {('love', 'hate', 'need')[i % 3]} the w{i % 29} of w{i % 31} and the w{i % 37}" for i in range(5_000)]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    spent = cpu_seconds(lambda: found.update(alike=groups(alike), unlike=groups(unlike), mixed=groups(mixed)))
    assert {row["group_id"] for row in found["alike"].values()} == {"s0"}
    assert len({row["group_id"] for row in found["unlike"].values()}) == 5_000
    assert len({row["group_id"] for row in found["mixed"].values()}) < 5_000
    assert spent < 30


def test_forty_thousand_statements_take_seconds(groups: Groups) -> None:
    texts = sentences(40_000, words=3_000, longest=14)
    assert cpu_seconds(lambda: groups(texts)) < 30


def test_a_larger_draw_of_the_same_statements_moves_no_group(session: Session, groups: Groups) -> None:
    """``n_statements`` grows: the statements drawn before come first, wherever they stand in their files."""
    import hashlib

    texts = sentences(400, seed=3, words=20)
    rows = [numbered(i, text) for i, text in enumerate(texts)]
    drawn = sorted(rows, key=lambda row: hashlib.md5(f"{row['statement_id']}42".encode(), usedforsecurity=False).hexdigest())
    model = session.manifest.nodes["statement_groups"].sql

    def grouped(n: int) -> dict[str, Any]:
        columns = [pa.array([row.get(name) for row in drawn[:n]], type_) for name, type_ in zip(COLUMNS, TYPES, strict=True)]
        session.warehouse.load("statements", pa.table(columns, names=COLUMNS))
        session.warehouse.set_variables({"group_similarity": 0.5, "random_state": 42, "n_statements": n})
        session.warehouse.execute(f"create or replace table statement_groups as {model}")
        return {row["statement_id"]: row["group_id"] for row in session.warehouse.rows("from statement_groups")}

    before, after = grouped(200), grouped(400)
    assert len(set(before.values())) < 200
    assert {statement: after[statement] for statement in before} == before
