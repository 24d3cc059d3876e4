"""Batches: sent once whatever happens, collected by whoever comes, at half the price. The real SDKs against a server here."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from bclust.calls.batch_records import BatchRecords
from bclust.calls.desk import CallDesk, Progress, Summary
from bclust.calls.limits import Budget
from bclust.calls.store import CallStore, microseconds
from bclust.errors import BudgetError, FunctionError, StoreError
from bclust.functions import Answer, Context, member
from bclust.functions import Batch as Sent
from bclust.project.registry import Function, load_functions
from tests.conftest import ROOT
from tests.functional.loopback import Behavior, Loopback
from tests.functional.loopback_batches import Batch
from udfs.providers import Chat

KEY = "sk-planted-0123456789"
FUNCTIONS: dict[str, Function] = {}
QUICK = {"mode": "batch", "batch_poll_s": 0.03, "batch_grace_s": 1.5, "max_tokens": 20, "max_retries": 2}
PRICES = {"usd_per_mtok_in": 10, "usd_per_mtok_out": 100}


@pytest.fixture(autouse=True, scope="module")
def this_project() -> None:
    """Other tests load the functions of other projects; here they are this one's."""
    FUNCTIONS.update(load_functions(ROOT))


class Study:
    """One language model of the seed ``llms``, and builds that ask it."""

    def __init__(self, folder: Path, provider: str) -> None:
        self.folder, self.provider = folder, provider
        self.env = {"LOOPBACK_KEY": KEY}
        self.store = CallStore(folder / "calls.sqlite")
        self.progress: list[Progress] = []
        self.extra_rows: list[dict[str, Any]] = []

    def row(self, server: Loopback, **settings: Any) -> dict[str, Any]:
        url = server.url if self.provider == "openai" else server.anthropic_url
        where = {"provider": self.provider, "model": "m", "base_url": url, "api_key_env": "LOOPBACK_KEY"}
        return {"llm_id": "x", **where, **QUICK, **settings}

    def desk(self, row: dict[str, Any], prompts: list[str], ids: list[str] | None = None) -> tuple[CallDesk, Callable[[], Any]]:
        """A new build, which has looked up its questions once; and how to look up again."""
        self.store.close()
        self.store = CallStore(self.folder / "calls.sqlite")
        desk = CallDesk(self.store, Context(self.folder, seeds={"llms": [row, *self.extra_rows]}, env=self.env))
        function = FUNCTIONS["llm"]
        assert function.signature is not None
        nulls = [pa.nulls(len(prompts))] * (len(function.signature.parameters) - 2)
        look_up = desk.arrow_function(function)

        def answers() -> Any:
            return look_up(pa.array(prompts), pa.array(ids or ["x"] * len(prompts)), *nulls).to_pylist()

        answers()
        return desk, answers

    def build(
        self, row: dict[str, Any], prompts: list[str], *, budget: Budget | None = None, stop_after: float | None = None,
        leave: int = 0, ids: list[str] | None = None,
    ) -> tuple[Summary, list[dict[str, Any]]]:  # fmt: skip
        """Collect, call, replay; Ctrl-C after so many seconds, or when so many batches are submitted."""
        desk, answers = self.desk(row, prompts, ids)
        stop = threading.Event()

        def show(progress: Progress) -> None:
            self.progress.append(progress)
            if leave and [b["state"] for b in self.open()].count("submitted") >= leave:
                stop.set()

        if stop_after is not None:
            threading.Timer(stop_after, stop.set).start()
        summary = desk.answer(on_event=show, stop=stop, budget=budget)
        return summary, answers()

    def open(self) -> list[dict[str, Any]]:
        return BatchRecords(self.store).listed()


@pytest.fixture(params=["openai", "anthropic"])
def study(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Study]:
    study = Study(tmp_path, request.param)
    yield study
    study.store.close()


def questions(n: int, start: int = 0) -> list[str]:
    return [f"question {i}" for i in range(start, start + n)]


def texts(answers: list[dict[str, Any] | None]) -> list[str | None]:
    return [a and a["text"] for a in answers]


def each_once(server: Loopback, prompts: list[str]) -> bool:
    return server.counts.accepted == Counter(prompts) and not server.counts.answered


# --- sent, waited for, kept ----------------------------------------------------------------------------------------


def test_questions_go_in_batches_of_the_size_asked_for_and_come_back_at_half_the_list_price(study: Study) -> None:
    with Loopback(Behavior(key=KEY, batch_s=0.1)) as server:
        summary, answers = study.build(study.row(server, batch_requests=4, **PRICES), questions(10))
        assert each_once(server, questions(10))
        assert [len(b.questions) for b in server.batches.made] == [4, 4, 2]
    assert (summary.answered, summary.failed, summary.remaining, summary.waiting) == (10, 0, 0, 0)
    assert all(a["text"] in ("Yes.", "No.") and a["error"] is None for a in answers)
    assert [a["cost_usd"] for a in answers] == pytest.approx([(3 * 10 + 1 * 100) / 1e6 / 2] * 10)
    assert summary.cost_usd == pytest.approx(sum(a["cost_usd"] for a in answers))
    assert study.open() == []


def test_an_answer_from_a_batch_serves_a_direct_call_and_the_reverse(study: Study) -> None:
    with Loopback(Behavior()) as server:
        study.build(study.row(server), questions(3))
        direct, _ = study.build(study.row(server, mode="direct"), questions(5))
        again, _ = study.build(study.row(server), questions(5))
        assert (direct.answered, again.answered) == (2, 0)
        assert server.counts.accepted == Counter(questions(3))
        assert server.counts.answered == Counter(questions(2, 3))


def test_system_message_sampling_and_usage_are_those_of_a_direct_call(study: Study) -> None:
    with Loopback(Behavior()) as server:
        _, [batched] = study.build(study.row(server, temperature=0.5, top_p=0.9), ["hello"])
        [question] = server.batches.made[0].questions.values()
        study.store.close()
        (study.folder / "calls.sqlite").unlink()
        _, [direct] = study.build(study.row(server, temperature=0.5, top_p=0.9, mode="direct"), ["hello"])
        assert server.counts.bodies[-1] == question
    unlike = ("latency_ms", "answered_at", "cost_usd")
    assert {k: v for k, v in batched.items() if k not in unlike} == {k: v for k, v in direct.items() if k not in unlike}


def test_nothing_is_sent_before_it_is_written_down(study: Study) -> None:
    seen: list[tuple[str, int]] = []
    with Loopback(Behavior(batch_hold_s=0.3, batch_late_s=0.3)) as server:
        run = threading.Thread(target=lambda: study.build(study.row(server), questions(3)))
        run.start()
        while run.is_alive():
            accepted = len(server.batches.made)
            with sqlite3.connect(study.folder / "calls.sqlite") as con:
                if con.execute("select 1 from sqlite_master where name = 'batches'").fetchone():
                    for sent, remote in con.execute("select sent_at, remote_id from batches"):
                        seen.append(("submitted" if remote else "sent" if sent else "prepared", accepted))
            con.close()
            time.sleep(0.01)
    assert ("sent", 0) in seen
    assert ("sent", 1) in seen
    assert ("submitted", 0) not in seen
    assert ("prepared", 1) not in seen


# --- other processes -----------------------------------------------------------------------------------------------


def test_a_stopped_build_leaves_its_batches_and_the_next_one_collects_them(study: Study) -> None:
    with Loopback(Behavior(batch_s=60)) as server:
        row = study.row(server, batch_requests=4)
        first, _ = study.build(row, questions(10), leave=3)
        assert (first.answered, first.remaining, first.waiting, first.interrupted) == (0, 10, 10, True)
        assert [b["state"] for b in study.open()] == ["submitted"] * 3
        server.batches.finish()
        second, answers = study.build(row, questions(10))
        assert (second.answered, second.waiting) == (10, 0)
        assert None not in texts(answers)
        assert each_once(server, questions(10))


def test_a_build_that_needs_some_of_a_batch_and_more_collects_it_and_sends_only_the_rest(study: Study) -> None:
    with Loopback(Behavior(batch_s=60)) as server:
        study.build(study.row(server), questions(6), leave=1)
        server.batches.finish()
        summary, answers = study.build(study.row(server), questions(6, 3))
        assert summary.answered == 6
        assert None not in texts(answers)
        assert each_once(server, questions(9))
        again, _ = study.build(study.row(server), questions(9))
        assert again.answered == 0, "what was not needed then was stored, too"


def test_questions_in_an_open_batch_are_not_asked_directly_when_the_mode_changes(study: Study) -> None:
    with Loopback(Behavior(batch_s=60)) as server:
        study.build(study.row(server), questions(4), leave=1)
        server.batches.finish()
        summary, answers = study.build(study.row(server, mode="direct"), questions(6))
        assert summary.answered == 6
        assert None not in texts(answers)
        assert server.counts.accepted == Counter(questions(4))
        assert server.counts.answered == Counter(questions(2, 4))


def test_a_renamed_language_model_collects_the_batches_of_its_old_name(study: Study) -> None:
    with Loopback(Behavior(batch_s=60)) as server:
        study.build(study.row(server), questions(4), leave=1)
        server.batches.finish()
        study.build(study.row(server, llm_id="renamed"), questions(4), ids=["renamed"] * 4)
        assert each_once(server, questions(4))
        assert study.open() == []


def test_two_names_of_one_language_model_ask_each_question_once(study: Study) -> None:
    with Loopback(Behavior(batch_s=0.3)) as server:
        study.extra_rows = [study.row(server, llm_id="twin")]
        summary, answers = study.build(study.row(server), questions(4) * 2, ids=["x"] * 4 + ["twin"] * 4)
        assert each_once(server, questions(4))
        assert summary.answered == 4
        assert None not in texts(answers)


def test_two_names_of_which_one_is_asked_directly_ask_each_question_once(study: Study) -> None:
    """The names come in chunks of their own, as they do in a table of more than 2,048 rows."""
    with Loopback(Behavior(batch_s=0.3)) as server:
        study.extra_rows = [study.row(server, llm_id="twin", mode="direct")]
        desk, answers = study.desk(study.row(server), questions(4))
        function = FUNCTIONS["llm"]
        assert function.signature is not None
        nulls = [pa.nulls(4)] * (len(function.signature.parameters) - 2)
        twin = desk.arrow_function(function)
        twin(pa.array(questions(4)), pa.array(["twin"] * 4), *nulls)
        assert sum(e.new for e in desk.estimate()) == 4
        desk.answer(on_event=lambda _: None, stop=threading.Event())
        assert server.counts.accepted + server.counts.answered == Counter(questions(4))
        assert twin(pa.array(questions(4)), pa.array(["twin"] * 4), *nulls).to_pylist() == answers()


def test_a_second_process_waits_while_another_works_on_the_batches_and_says_so(study: Study) -> None:
    other = BatchRecords(study.store)
    assert other.enter()
    with Loopback() as server:
        waiting, _ = study.build(study.row(server), questions(2), stop_after=0.4)
        assert (waiting.answered, waiting.remaining, server.counts.looks) == (0, 2, 0)
        assert "works on the batches of this call store" in study.progress[-1].note
        threading.Timer(0.3, other.leave).start()
        summary, _ = study.build(study.row(server), questions(2))
        assert summary.answered == 2


def test_a_refresh_whose_batch_waits_collects_it_and_until_then_the_old_answers_are_in_use(tmp_path: Path) -> None:
    study = Study(tmp_path, "openai")
    with Loopback() as server:
        row = study.row(server)
        study.build(row, questions(4))
        server.behavior.batch_s, server.behavior.says = 60, "new"
        since = microseconds()

        def refresh() -> Summary:
            """The same command, in a process of its own each time."""
            study.desk(row, questions(4))
            desk = CallDesk(study.store, Context(tmp_path, seeds={"llms": [row]}, env=study.env), refresh={"llm": since})
            function, stop = FUNCTIONS["llm"], threading.Event()
            assert function.signature is not None
            columns = [pa.array(questions(4)), pa.array(["x"] * 4), *[pa.nulls(4)] * (len(function.signature.parameters) - 2)]
            desk.arrow_function(function)(*columns)
            submitted = lambda _: stop.set() if "submitted" in [b["state"] for b in study.open()] else None  # noqa: E731
            return desk.answer(on_event=submitted, stop=stop)

        summary = refresh()
        assert (summary.answered, summary.remaining) == (0, 4)
        before, old = study.build(row, questions(4))
        assert (before.answered, "new" in texts(old)) == (0, False)
        server.batches.finish()
        assert refresh().answered == 4
        _, answers = study.build(row, questions(4))
        assert server.counts.accepted.total() == 8
    assert texts(answers) == ["new"] * 4
    study.store.close()


# --- was it sent? --------------------------------------------------------------------------------------------------


def test_a_batch_whose_reply_was_lost_is_found_and_not_sent_again(study: Study) -> None:
    with Loopback(Behavior(batch_lost_reply=True, batch_s=0.3)) as server:
        summary, answers = study.build(study.row(server), questions(5))
        assert summary.answered == 5
        assert each_once(server, questions(5))
    assert None not in texts(answers)


def test_several_batches_whose_replies_were_lost_are_each_found(study: Study) -> None:
    """One is come upon while another is looked for, and is still found when its turn comes."""
    with Loopback(Behavior(batch_lost_reply=True)) as server:
        summary, answers = study.build(study.row(server, batch_requests=2), questions(6))
        assert len(server.batches.made) == 3
        assert summary.answered == 6
        assert each_once(server, questions(6))
    assert None not in texts(answers)


@pytest.mark.parametrize("says_more", [True, False])
def test_a_batch_is_found_on_a_later_page_of_a_server_that_lists_the_oldest_first(tmp_path: Path, says_more: bool) -> None:
    study = Study(tmp_path, "openai")
    with Loopback(Behavior(batch_lost_reply=True)) as server:
        days_ago = time.time() - 3 * 86_400
        server.batches.made = [Batch(f"old_{i}", {}, days_ago + i, days_ago + i, f"file-old-{i}") for i in range(150)]

        def oldest_first(_: bool, query: dict[str, str]) -> Any:
            names = [b.id for b in server.batches.made]
            start = names.index(query["after"]) + 1 if "after" in query else 0
            shown = [server.batches._openai(b) for b in server.batches.made[start : start + 100]]
            return 200, {"data": shown} | ({"has_more": start + 100 < len(names)} if says_more else {})

        server.batches._page = oldest_first  # type: ignore[method-assign]
        summary, _ = study.build(study.row(server), questions(3))
        assert summary.answered == 3
        assert each_once(server, questions(3))
    study.store.close()


def cut_off(study: Study, row: dict[str, Any], prompts: list[str], seconds_ago: float) -> None:
    """What is on disk when a process dies just before, or while, it sends a batch."""
    desk, _ = study.desk(row, prompts)
    [(name, misses)] = desk._misses.items()
    records = BatchRecords(study.store)
    opened = records.prepare(desk._calls(name, misses), "")
    records.sending(opened, "file-never")
    with study.store.transaction() as con:
        con.execute("update batches set sent_at = sent_at - ?", (int(seconds_ago * 1e6),))


def test_a_batch_that_never_arrived_is_sent_anew_after_the_grace_and_not_before(study: Study) -> None:
    with Loopback() as server:
        row = study.row(server)
        cut_off(study, row, questions(3), 0.0)
        waiting, _ = study.build(row, questions(3), stop_after=0.5)
        assert (waiting.answered, len(server.batches.made)) == (0, 0)
        assert "may still be on its way" in study.progress[-1].note
        summary, _ = study.build(row, questions(3))
        assert summary.answered == 3
        assert each_once(server, questions(3))


def test_a_batch_of_the_same_size_that_is_another_s_is_neither_taken_for_ours_nor_stops_us(study: Study, tmp_path: Path) -> None:
    with Loopback(Behavior(batch_s=60)) as server:
        other = Study(tmp_path / "other", study.provider)
        other.build(other.row(server), questions(3, 100), leave=1)
        threading.Timer(0.5, server.batches.finish).start()
        row = study.row(server)
        cut_off(study, row, questions(3), 60.0)
        summary, answers = study.build(row, questions(3))
        assert (summary.answered, summary.failed) == (3, 0)
        assert server.counts.accepted == Counter([*questions(3, 100), *questions(3)])
        assert None not in texts(answers)
        other.store.close()


def test_a_message_batch_under_way_that_may_be_ours_is_waited_for(tmp_path: Path) -> None:
    study, other = Study(tmp_path, "anthropic"), Study(tmp_path / "other", "anthropic")
    with Loopback(Behavior(batch_s=60)) as server:
        other.build(other.row(server), questions(3, 100), leave=1)
        row = study.row(server)
        cut_off(study, row, questions(3), 60.0)
        summary, _ = study.build(row, questions(3), stop_after=0.6)
        assert (summary.answered, len(server.batches.made)) == (0, 1)
        assert "its end will tell" in study.progress[-1].note
    other.store.close()
    study.store.close()


def test_a_batch_that_was_only_prepared_is_dissolved(study: Study) -> None:
    with Loopback() as server:
        row = study.row(server)
        desk, _ = study.desk(row, questions(3))
        [(name, misses)] = desk._misses.items()
        BatchRecords(study.store).prepare(desk._calls(name, misses), "")
        assert [b["state"] for b in study.open()] == ["prepared"]
        study.build(row, questions(3))
        assert each_once(server, questions(3))


def test_a_question_is_in_one_open_batch_at_most(study: Study) -> None:
    with Loopback() as server:
        desk, _ = study.desk(study.row(server), questions(3))
        [(name, misses)] = desk._misses.items()
        records = BatchRecords(study.store)
        records.prepare(desk._calls(name, misses), "")
        with pytest.raises(StoreError, match="UNIQUE"):
            records.prepare(desk._calls(name, misses)[:1], "")


def test_a_lane_that_has_another_server_meanwhile_concludes_nothing_of_a_batch_that_it_does_not_need(study: Study) -> None:
    """It was closed as not sent, since the other server did not have it, and sent again when the first was back."""
    with Loopback(Behavior(batch_s=60)) as server, Loopback() as another:
        row = study.row(server)
        study.build(row, questions(3), leave=1)
        with study.store.transaction() as con:  # killed before the reply came
            con.execute("update batches set remote_id = null, sent_at = sent_at - 60000000")
        another.batches._number = 500  # no two servers give the same names
        study.build(study.row(another), questions(2, 100))
        assert [b["state"] for b in study.open()] == ["sent, not confirmed"]
        server.batches.finish()
        summary, answers = study.build(row, questions(3))
        assert summary.answered == 3
        assert each_once(server, questions(3))
    assert None not in texts(answers)


def test_a_batch_whose_results_take_long_to_be_looked_into_is_found(tmp_path: Path) -> None:
    """Its results were fetched from the start again and again within the time of a single call, and never to their end."""
    study = Study(tmp_path, "anthropic")
    with Loopback(Behavior(batch_lost_reply=True)) as server:
        reply = server.batches.reply

        async def slow(method: str, target: str, headers: dict[str, str], body: bytes) -> Any:
            await asyncio.sleep(0.6 if target.endswith("/results") else 0)
            return await reply(method, target, headers, body)

        server.batches.reply = slow  # type: ignore[method-assign]
        summary, _ = study.build(study.row(server, timeout_s=0.3, max_retries=0), questions(5))
        assert summary.answered == 5
        assert each_once(server, questions(5))
    study.store.close()


# --- what does not go well -----------------------------------------------------------------------------------------


def test_expired_and_failed_questions_are_failures_that_the_next_build_asks_in_a_new_batch(study: Study) -> None:
    with Loopback(Behavior(batch_expired_share=0.3, batch_errored_share=0.2)) as server:
        first, answers = study.build(study.row(server), questions(40))
        failed = [q for q, a in zip(questions(40), answers, strict=True) if a["error"]]
        assert 0 < len(failed) == first.failed < 40
        assert first.answered == 40 - len(failed)
        said = " ".join(a["error"] or "" for a in answers)
        assert "expired" in said
        assert "error" in said
        study.build(study.row(server), questions(40))
        assert server.counts.accepted == Counter(questions(40)) + Counter(failed)
        server.behavior.batch_expired_share = server.behavior.batch_errored_share = 0.0
        _, answers = study.build(study.row(server), questions(40))
        assert None not in texts(answers)


def test_an_unreadable_line_of_results_is_a_visible_failure_of_one_question(study: Study) -> None:
    with Loopback(Behavior(batch_garbled=1)) as server:
        summary, answers = study.build(study.row(server), questions(5))
    assert (summary.answered, summary.failed) == (4, 1)
    assert [a["error"] for a in answers if a["error"]] == ["the batch ended without a readable answer to this question"]


def test_a_parameter_that_the_model_refuses_is_left_out_of_the_next_batch_and_the_answers_say_so(study: Study) -> None:
    with Loopback(Behavior(refuses=("temperature",))) as server:
        summary, answers = study.build(study.row(server, temperature=0.5), questions(3))
        assert len(server.batches.made) == 2
    assert (summary.answered, summary.failed) == (3, 0)
    assert {json.dumps(json.loads(a["detail"])["dropped"]) for a in answers} == {json.dumps({"temperature": 0.5})}


def test_a_wrong_key_fails_the_lane_and_names_the_variable_and_the_right_one_collects(study: Study) -> None:
    with Loopback(Behavior(batch_s=60)) as server:
        study.build(study.row(server), questions(3), leave=1)
        server.batches.finish()
        server.behavior.key = "another-key-entirely"
        summary, answers = study.build(study.row(server), questions(5))
        assert all("HTTP 401" in a["error"] and "LOOPBACK_KEY" in a["error"] for a in answers)
        assert (summary.failed, len(study.open())) == (5, 1)
        server.behavior.key = KEY
        study.build(study.row(server), questions(5))
        assert each_once(server, questions(5))


def test_a_refused_batch_fails_its_questions_with_the_server_s_words(study: Study) -> None:
    with Loopback(Behavior(batch_refusal=400)) as server:
        summary, answers = study.build(study.row(server), questions(3))
    assert summary.failed == 3
    assert {a["error"] for a in answers} == {"HTTP 400: this batch is refused"}
    assert study.open() == []


def test_a_server_that_asks_to_wait_gets_the_batch_later(study: Study) -> None:
    with Loopback(Behavior(batch_refusal=429)) as server:
        threading.Timer(0.5, lambda: setattr(server.behavior, "batch_refusal", None)).start()
        summary, _ = study.build(study.row(server), questions(3))
        assert each_once(server, questions(3))
    assert (summary.answered, summary.failed) == (3, 0)
    assert summary.retries > 0


def test_a_server_without_batches_is_said(study: Study) -> None:
    with Loopback(Behavior(batches=False)) as server:
        _, answers = study.build(study.row(server), questions(2))
    assert all("takes no batches" in a["error"] and "leave out mode: batch" in a["error"] for a in answers)


def test_a_full_queue_is_waited_for_with_smaller_batches(tmp_path: Path) -> None:
    study = Study(tmp_path, "openai")
    with Loopback(Behavior(batch_queue=4, batch_s=0.1)) as server:
        summary, answers = study.build(study.row(server), questions(10))
        assert each_once(server, questions(10))
    assert (summary.answered, summary.failed) == (10, 0)
    assert None not in texts(answers)
    study.store.close()


def test_an_unknown_model_is_the_server_s_message_on_every_question(tmp_path: Path) -> None:
    study = Study(tmp_path, "openai")
    with Loopback(Behavior(models=("other",))) as server:
        _, answers = study.build(study.row(server), questions(3))
    assert all("is not supported by the Batch API" in a["error"] for a in answers)
    study.store.close()


def test_a_batch_that_the_server_no_longer_shows_stays_open_until_it_is_given_up(study: Study) -> None:
    with Loopback(Behavior(batch_s=60)) as server:
        study.build(study.row(server), questions(3), leave=1)
        server.batches.made.clear()
        server.batches.finish()
        summary, answers = study.build(study.row(server), questions(5))
        [opened] = study.open()
        assert (summary.answered, summary.failed) == (2, 3)
        assert all(f"bclust calls forget-batch {opened['server_id']}" in a["error"] for a in answers[:3])
        assert server.counts.accepted[questions(1)[0]] == 1
        assert BatchRecords(study.store).forget(opened["server_id"]) == 3
        summary, answers = study.build(study.row(server), questions(5))
        assert None not in texts(answers)
    with pytest.raises(StoreError, match="no open batch"):
        BatchRecords(study.store).forget("batch_nonsense")


def test_results_that_the_server_does_not_show_now_are_not_given_up(study: Study) -> None:
    """One HTTP 404 closed the batch, and the next build paid for all of it again."""
    with Loopback() as server:
        reply, missing = server.batches.reply, [True]

        async def without_results(method: str, target: str, headers: dict[str, str], body: bytes) -> Any:
            if missing and target.split("?", maxsplit=1)[0].endswith(("/content", "/results")):
                return 404, {"error": {"type": "not_found_error", "message": "Not Found"}}
            return await reply(method, target, headers, body)

        server.batches.reply = without_results  # type: ignore[method-assign]
        summary, answers = study.build(study.row(server), questions(3))
        [opened] = study.open()
        assert summary.failed == 3
        assert all(f"bclust calls forget-batch {opened['server_id']}" in a["error"] for a in answers)
        missing.clear()
        summary, answers = study.build(study.row(server), questions(3))
        assert each_once(server, questions(3))
    assert None not in texts(answers)


def test_answers_are_kept_where_the_file_of_errors_is_gone(tmp_path: Path) -> None:
    study = Study(tmp_path, "openai")
    with Loopback(Behavior(batch_errored_share=0.3)) as server:
        process = server.batches._process

        def without_errors(batch: Any, anthropic: bool) -> None:
            process(batch, anthropic)
            server.batches._files.pop(f"{batch.id}-errors", None)

        server.batches._process = without_errors  # type: ignore[method-assign]
        summary, _ = study.build(study.row(server), questions(20))
    assert 0 < summary.failed < 20
    assert summary.answered == 20 - summary.failed
    study.store.close()


def test_a_batch_that_failed_half_way_is_collected_and_not_paid_again(tmp_path: Path) -> None:
    study = Study(tmp_path, "openai")
    with Loopback() as server:
        shown = server.batches._openai

        def failed(batch: Any) -> dict[str, Any]:
            return shown(batch) | {"status": "failed", "errors": {"data": [{"code": "internal", "message": "broken off"}]}}

        server.batches._openai = failed  # type: ignore[method-assign]
        summary, _ = study.build(study.row(server), questions(5))
        study.build(study.row(server), questions(5))
        assert each_once(server, questions(5))
    assert summary.answered == 5
    study.store.close()


def test_a_line_of_results_of_another_shape_is_a_failure_of_one_question(tmp_path: Path) -> None:
    """It kept the whole batch from ever being collected."""
    study = Study(tmp_path, "openai")
    with Loopback() as server:
        result = server.batches._openai_result

        def odd(name: str, question: dict[str, Any]) -> dict[str, Any]:
            line = result(name, question)
            if name.endswith("-2"):
                line["response"]["body"] = ["no", "object"]
            return line

        server.batches._openai_result = odd  # type: ignore[method-assign]
        process = server.batches._process

        def odder(batch: Any, anthropic: bool) -> None:
            process(batch, anthropic)
            name, lines = f"{batch.id}-output", server.batches._files.get(f"{batch.id}-output", b"").decode().splitlines()
            if lines:
                whole = [json.loads(line) for line in lines]
                whole = [w | {"response": "broken"} if w["custom_id"].endswith("-1") else w for w in whole]
                server.batches._files[name] = "\n".join(map(json.dumps, whole)).encode()

        server.batches._process = odder  # type: ignore[method-assign]
        summary, _ = study.build(study.row(server), questions(5), stop_after=20)
    assert (summary.answered, summary.failed) == (3, 2)
    study.store.close()


# --- money ---------------------------------------------------------------------------------------------------------


def test_an_estimate_is_half_the_direct_one_and_leaves_out_what_waits(study: Study) -> None:
    with Loopback(Behavior(batch_s=60)) as server:
        direct, _ = study.desk(study.row(server, mode="direct", **PRICES), questions(8))
        batched, _ = study.desk(study.row(server, **PRICES), questions(8))
        [whole], [half] = direct.estimate(), batched.estimate()
        assert half.cost_usd == pytest.approx((whole.cost_usd or 0) / 2)
        assert (half.new, half.waiting) == (8, 0)
        study.build(study.row(server, **PRICES), questions(5), leave=1)
        desk, _ = study.desk(study.row(server, **PRICES), questions(8))
        [left] = desk.estimate()
        assert (left.new, left.waiting) == (3, 5)
        assert left.cost_usd == pytest.approx((half.cost_usd or 0) * 3 / 8)


def test_a_maximal_number_of_calls_cuts_the_batch(study: Study) -> None:
    with Loopback() as server:
        summary, _ = study.build(study.row(server), questions(10), budget=Budget(max_calls=4))
        assert server.counts.accepted == Counter(questions(4))
    assert (summary.answered, summary.remaining, summary.exhausted) == (4, 6, True)


def test_a_maximal_cost_is_never_passed_and_what_is_released_is_used(study: Study) -> None:
    with Loopback() as server:
        row = study.row(server, usd_per_mtok_in=1000, usd_per_mtok_out=1000)
        desk, _ = study.desk(row, questions(1))
        bound = desk._lane(("llm", "x")).estimate(next(iter(desk._misses["llm", "x"].values()))).cost_usd
        assert bound is not None
        most = 4.5 * bound
        summary, _ = study.build(row, questions(60), budget=Budget(max_cost=most))
        cost = 4 * 1000 / 1e6 / 2  # of an answer: three tokens of a question, one of an answer
        assert server.counts.accepted.total() * cost <= most < summary.cost_usd + bound + cost
        assert len(server.batches.made) > 1, "answers cost less than their bounds"
    assert summary.exhausted
    assert summary.cost_usd == pytest.approx(summary.answered * cost)


def test_what_an_open_batch_may_cost_is_spent_for_the_build_that_leaves_it_and_holds_up_no_other_lane(study: Study) -> None:
    with Loopback(Behavior(batch_s=60, key=KEY)) as server, Loopback(Behavior(latency_ms=(20, 20))) as another:
        row = study.row(server, usd_per_mtok_in=1000, usd_per_mtok_out=1000)
        desk, _ = study.desk(row, questions(1))
        bound = desk._lane(("llm", "x")).estimate(next(iter(desk._misses["llm", "x"].values()))).cost_usd
        assert bound is not None
        study.extra_rows = [study.row(another, llm_id="direct", mode="direct", usd_per_mtok_in=1000, usd_per_mtok_out=1000)]

        def lock_out() -> None:
            while not server.batches.made:
                time.sleep(0.01)
            time.sleep(0.2)  # until its name is written down
            server.behavior.key = "another-key-entirely"

        threading.Thread(target=lock_out, daemon=True).start()
        budget = Budget(max_cost=6.5 * bound)  # the batch may cost four, a direct call two
        ids = ["x"] * 4 + ["direct"] * 40
        summary, _ = study.build(row, questions(44), ids=ids, budget=budget, stop_after=20)
        assert each_once(server, questions(4))
        assert len(study.open()) == 1
    assert summary.seconds < 60
    assert summary.exhausted
    assert 4 * bound < budget.cost <= 6.5 * bound
    assert budget.reserved == pytest.approx(0)


def test_calls_given_back_by_a_refused_batch_start_none_in_a_lane_that_has_ended(study: Study) -> None:
    """Such a call was cut off when the last lane ended: made, maybe paid, and not kept."""
    with (
        Loopback() as server,
        Loopback(Behavior(batch_refusal=400)) as refusing,
        Loopback(Behavior(latency_ms=(900, 900))) as direct,
    ):
        study.extra_rows = [study.row(refusing, llm_id="w"), study.row(direct, llm_id="z", mode="direct")]
        server.behavior.batch_s = 0.6
        ids = ["x"] * 3 + ["w"] * 3 + ["z"] * 3
        summary, _ = study.build(study.row(server), questions(9), ids=ids, budget=Budget(max_calls=6))
        time.sleep(1.0)
        assert direct.counts.requests == 0
    assert (summary.answered, summary.failed, summary.exhausted) == (3, 3, True)


def test_a_refused_batch_takes_nothing_from_the_budget(study: Study) -> None:
    with Loopback(Behavior(batch_refusal=400)) as server:
        budget = Budget(max_calls=10, max_cost=1.0)
        study.build(study.row(server, **PRICES), questions(3), budget=budget)
    assert (budget.calls, budget.cost, budget.reserved) == (0, 0.0, 0.0)


def test_without_a_price_a_maximal_cost_cannot_be_kept_and_nothing_is_sent(study: Study) -> None:
    with Loopback() as server, pytest.raises(BudgetError, match="unknown"):
        study.build(study.row(server), questions(3), budget=Budget(max_cost=1.0))
    assert server.counts.looks == 0


def test_a_store_that_is_reached_by_a_link_has_the_same_lock(tmp_path: Path) -> None:
    """Two processes worked on the same batches: each dissolves what the other has prepared and is about to send."""
    with CallStore(tmp_path / "calls.sqlite") as store:
        (tmp_path / "link.sqlite").symlink_to(tmp_path / "calls.sqlite")
        with CallStore(tmp_path / "link.sqlite") as linked:
            one, other = BatchRecords(store), BatchRecords(linked)
            assert one.enter()
            assert not other.enter()
            one.leave()
            assert other.enter()
            other.leave()


def test_the_first_batches_of_a_store_made_by_a_process_that_was_waited_for_are_seen(study: Study) -> None:
    """Its tables did not exist when the second process came: that one failed with UNIQUE constraint failed."""
    with Loopback(Behavior(batch_s=60)) as server:
        row = study.row(server)
        desk, _ = study.desk(row, questions(4))
        first = CallStore(study.folder / "calls.sqlite")
        records = BatchRecords(first)
        assert records.enter()

        def work() -> None:
            while not waiting:
                time.sleep(0.01)
            [(name, misses)] = desk._misses.items()
            records.sending(records.prepare(desk._calls(name, misses), ""), "file-1")
            records.leave()

        waiting: list[Progress] = []
        stop = threading.Event()
        worker = threading.Thread(target=work)
        worker.start()
        threading.Timer(1.0, stop.set).start()
        summary = desk.answer(on_event=lambda p: waiting.append(p) if "waiting for it" in p.note else None, stop=stop)
        worker.join()
        first.close()
        assert (summary.remaining, summary.waiting, server.batches.made) == (4, 4, [])


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mode": "bach"}, "unknown mode 'bach'.*did you mean batch"),
        ({"batch_pol_s": 1}, "unknown setting batch_pol_s.*did you mean batch_poll_s"),
        ({"batch_poll_s": "often"}, "batch_poll_s must be a number"),
        ({"batch_requests": 0}, "batch_requests must be a number of at least 1"),
    ],
)
def test_a_setting_that_cannot_be_is_said_with_what_was_meant(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    study = Study(tmp_path, "openai")
    with Loopback() as server, pytest.raises(FunctionError) as error:
        study.build(study.row(server, **settings), questions(1))
    study.store.close()
    assert re.search(message, str(error.value).replace("\n", " "))


def test_a_provider_without_batches_says_so(tmp_path: Path) -> None:
    study = Study(tmp_path, "openai")
    with pytest.raises(FunctionError, match="the provider transformers takes no batches"):
        study.build({"llm_id": "x", "provider": "transformers", "model": "tiny", "mode": "batch"}, questions(1))
    study.store.close()


def test_progress_says_how_many_batches_and_questions_wait(study: Study) -> None:
    with Loopback(Behavior(batch_s=0.5)) as server:
        study.build(study.row(server, batch_requests=2), questions(5))
    most = max(study.progress, key=lambda p: p.open_batches)
    assert (most.open_batches, most.questions_there, most.done, most.total) == (3, 5, 0, 5)
    assert (study.progress[-1].open_batches, study.progress[-1].done) == (0, 5)


def test_a_store_that_never_had_a_batch_can_be_read_and_has_none(tmp_path: Path) -> None:
    CallStore(tmp_path / "calls.sqlite").close()
    with CallStore(tmp_path / "calls.sqlite", read_only=True) as store:
        records = BatchRecords(store)
        assert (records.listed(), records.open(), records.holding([b"key"])) == ([], [], {})
    with CallStore(tmp_path / "missing.sqlite", read_only=True) as store:
        assert BatchRecords(store).listed() == []


def test_a_key_echoed_by_the_server_is_stored_nowhere(study: Study) -> None:
    with Loopback(Behavior(says=f"the key is {KEY}", batch_errored_share=0.3, batch_s=0.2)) as server:
        _, answers = study.build(study.row(server), questions(8))
    assert "[secret]" in repr(answers)
    assert KEY not in repr(answers)
    study.store.close()
    for path in study.folder.iterdir():
        assert KEY.encode() not in path.read_bytes(), path.name


GOOD = {
    "openai": {"choices": [{"message": {"content": "FIRST"}, "finish_reason": "stop"}]},
    "anthropic": {"content": [{"type": "text", "text": "FIRST"}], "stop_reason": "end_turn"},
}


def _line(provider: str, text: str | None) -> dict[str, Any]:
    """A line of a file of results: an answer, or an error."""
    if provider == "openai":
        body = json.loads(json.dumps(GOOD[provider]).replace("FIRST", text or ""))
        status, said = (200, body) if text else (500, {"error": {"message": "broken"}})
        return {"custom_id": "T-0", "response": {"status_code": status, "body": said}}
    error = {"type": "errored", "error": {"error": {"type": "api_error", "message": "broken"}}}
    message = json.loads(json.dumps(GOOD[provider]).replace("FIRST", text or ""))
    return {"custom_id": "T-0", "result": {"type": "succeeded", "message": message} if text else error}


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("lines", "value"),
    [(["FIRST", "SECOND"], "FIRST"), (["FIRST", None], "FIRST"), ([None, "LATE"], "LATE"), ([None, None], None)],
)
def test_the_first_good_result_of_a_question_stays(
    monkeypatch: pytest.MonkeyPatch, provider: str, lines: list[str | None], value: str | None
) -> None:
    made = member("providers", provider).Provider(Context(Path()), model="m", base_url="http://127.0.0.1:9/v1")

    async def listed(*_: Any) -> list[dict[str, Any]]:
        return [_line(provider, text) for text in lines]

    async def found(*_: Any) -> dict[str, Any]:
        return {"status": "completed", "output_file_id": "one"}

    monkeypatch.setattr(f"udfs.providers._{provider}_batches.get_lines", listed)
    if provider == "openai":
        monkeypatch.setattr(made.batches, "_found", found)
    batch = Sent("T", 1, remote_id="b")
    [result] = asyncio.run(made.batches.results(batch, {"T-0": Chat("hello", None, 0, 0.0, 8, False)})).values()
    assert (result.value if isinstance(result, Answer) else None) == value
