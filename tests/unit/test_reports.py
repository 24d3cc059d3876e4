"""The report's pages without a browser: every page over every state of a warehouse, and the parts that they are made of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from bclust.errors import WarehouseError
from reports import charts
from reports._map import Choice, coded_points, points_query
from reports._scope import Scope
from reports._texts import label, markdown, plain, word_diff, wrapped
from reports._tree import Tree
from reports._warehouse import VARIABLE, Warehouse, building, literal, siblings
from tests.browser.make_warehouse import HOSTILE, LLMS, Shape, make_warehouse

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["overview", "map", "compare", "approvals", "hierarchy", "read", "runs"]
SMALL = Shape(n_statements=60)
STATES = {
    "full": SMALL,
    "one language model": Shape(n_statements=40, n_llms=1),
    "no awareness prompts": Shape(n_statements=40, awareness=False),
    "no themes": Shape(n_statements=40, themes=False),
    "hostile text": Shape(n_statements=60, hostile=True),
    "three wordings": Shape(n_statements=40, wordings=("object", "approve", "endorse")),
    "only statements": Shape(n_statements=40),
    "no clusters": Shape(
        n_statements=40,
        drop=("statement_clusters", "response_clusters", "statement_cluster_themes", "response_cluster_themes",
              "statement_cluster_tree", "response_cluster_tree", "comparison_clusters", "comparison_cluster_themes",
              "statement_cluster_approvals", "statement_cluster_tree_approvals", "response_cluster_tree_shares",
              "llm_differences", "llm_cluster_shares"),
    ),
    "nothing of the runner": Shape(n_statements=40, drop=("_bclust.nodes", "_bclust.runs", "_bclust.results", "_bclust.rejected_rows")),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The warehouse of a state, made once."""
    folder = tmp_path_factory.mktemp("warehouses")

    def make(state: str) -> Path:
        path = folder / f"{state.replace(' ', '_')}.duckdb"
        if path.exists():
            return path
        make_warehouse(path, STATES[state])
        if state == "only statements":
            with duckdb.connect(str(path)) as con:
                for (table,) in con.execute("select table_name from duckdb_tables() where schema_name = 'main'").fetchall():
                    if table != "statements":
                        con.execute(f'drop table "{table}"')
        return path

    return make


@pytest.fixture
def full(made: Callable[[str], Path]) -> Iterator[Warehouse]:
    warehouse = Warehouse(made("full"))
    yield warehouse
    warehouse.close()


def show(path: Path, page: str, monkeypatch: pytest.MonkeyPatch, **link: str) -> AppTest:
    """A page as it is first shown."""
    monkeypatch.setenv(VARIABLE, str(path))
    app = AppTest.from_file(str(ROOT / "reports" / "app.py"), default_timeout=300)
    app._page_hash = calc_hash("" if page == "overview" else page)  # pages are functions: switch_page() takes files only
    app.query_params.update(link)
    return app.run()


def copied(path: Path, folder: Path) -> Path:
    """A warehouse to change."""
    return Path(shutil.copy(path, folder / "changed.duckdb"))


def written(app: AppTest) -> str:
    """All that a page says in words."""
    parts = [*app.markdown, *app.caption, *app.info, *app.warning, *app.error, *app.text, *app.code, *app.header, *app.subheader]
    return "\n".join(str(part.value) for part in parts)


# --- pages -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_every_page_is_shown_without_an_exception(
    state: str, made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for page in PAGES:
        app = show(made(state), page, monkeypatch)
        assert not app.exception, f"{page}: {app.exception[0].value}"
        assert not app.error, page
        assert app.header, page


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("map", {"texts": "statement"}),
        ("map", {"texts": "statement", "facet": "true"}),
        ("map", {"texts": "statement", "statement_colour": "disagreement"}),
        ("map", {"response_colour": "cluster", "find": "honesty", "facet": "true"}),
        ("map", {"response_colour": "behavior", "box": "-20.00,20.00,-20.00,20.00"}),
        ("compare", {"a": "blunt", "b": "cautious", "fdr": "0.2", "cluster": "3"}),
        ("compare", {"a": "blunt", "b": "blunt"}),
        ("approvals", {"prompts": "awareness", "statement_cluster": "2", "disagree": "true"}),
        ("approvals", {"prompts": "awareness", "wording": "object", "disagree": "true"}),
        ("approvals", {"columns": "llm_id", "decision": "refused", "between": "prompts"}),
        ("hierarchy", {"drawn": "treemap", "colour_boxes": "theme validity"}),
        ("hierarchy", {"drawn": "icicle", "tree_of": "response"}),
        ("hierarchy", {"tree_of": "response", "find": "honesty"}),
        ("read", {"against": "blunt", "behavior": "religious", "find": "weak"}),
        *(("runs", {"show": part}) for part in ("Failures", "Tests", "Runs", "Settings", "SQL")),
        ("map", {"llms": "blunt"}),
    ],
)
def test_a_link_opens_the_view_it_names(
    page: str, link: dict[str, str], made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = show(made("full"), page, monkeypatch, **link)
    assert not app.exception
    assert not app.warning or page in ("overview", "runs")


@pytest.mark.parametrize("page", PAGES)
def test_a_link_with_nonsense_opens_the_page_all_the_same(
    page: str, made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    nonsense = {
        "cluster": "x'",
        "statement_cluster": "999",
        "box": "1,2",
        "texts": "?",
        "a": "nobody",
        "statement": "'; drop",
        "find": "%'\\",
    }
    app = show(made("full"), page, monkeypatch, llms="nobody", clustering="none", prompts="none", show="none", **nonsense)
    assert not app.exception


def test_a_missing_warehouse_is_one_sentence_and_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(tmp_path / "warehouse.duckdb", "overview", monkeypatch)
    assert not app.exception
    assert "There is no warehouse" in app.warning[0].value
    assert app.code[0].value == "bclust build"


def test_a_file_that_is_no_warehouse_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "warehouse.duckdb").write_text("not a database, but long enough to be read as one" * 100)
    app = show(tmp_path / "warehouse.duckdb", "map", monkeypatch)
    assert not app.exception
    assert len(app.warning) == 1


def test_an_older_warehouse_names_the_build(made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copied(made("full"), tmp_path)
    with duckdb.connect(str(path)) as con:
        con.execute(
            "alter table approval_rates drop yes_bias; alter table responses drop finish_reason; alter table llm_differences drop q_value; "
            "alter table findings drop statement_ids; drop table statistics_settings"
        )
    for page in PAGES:
        app = show(path, page, monkeypatch)
        assert not app.exception, page
    for page in ("overview", "compare", "approvals"):
        assert re.search("built by another version|not built yet", written(show(path, page, monkeypatch))), page


def test_a_missing_table_is_named_with_its_command(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("no clusters"), "compare", monkeypatch)
    assert "llm\\_differences" in app.info[0].value
    assert app.code[0].value == "bclust build --select llm_differences llm_cluster_shares comparison_cluster_themes"


def test_nothing_significant_is_said_with_the_largest_difference(
    made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(made("full"), tmp_path)
    with duckdb.connect(str(path)) as con:
        con.execute("update llm_differences set q_value = 0.9, significant = false, verdict = 'not shown'")
    said = written(show(path, "compare", monkeypatch))
    assert "No cluster is shown to differ at a false discovery rate of 0\\.05" in said
    assert "do not differ" not in said
    assert "cannot be told apart" not in said


def test_few_answers_and_silence_get_a_badge(
    made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(made("full"), tmp_path)
    with duckdb.connect(str(path)) as con:
        con.execute(
            "update approval_rates_by_wording set n_statements = 7, refused = 50 where prompt_name = 'free spirit' and llm_id = 'blunt'"
        )
    said = written(show(path, "approvals", monkeypatch))
    assert "only 7 statements decided" in said
    assert re.search(r"8\d % decide nothing", said)


# --- what the tables say, and nothing else ---------------------------------------------------------------------


def rows_of(path: Path, sql: str) -> list[dict[str, Any]]:
    """Rows of a warehouse."""
    warehouse = Warehouse(path)
    rows = warehouse.frame(sql).to_dicts()
    warehouse.close()
    return rows


def unescaped(text: str) -> str:
    """Markdown as it is read, in one line."""
    return " ".join(re.sub(r"\\(.)", r"\1", text.replace("\u2060", "").replace("**", "")).split())


def test_the_overview_says_the_sentences_of_the_table(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("full"), "overview", monkeypatch)
    table = rows_of(made("full"), "select kind, text, statement_ids from findings order by position")
    assert {row["kind"] for row in table} == {"warning", "difference", "none"}
    warned = [unescaped(w.value) for w in app.warning]
    said = [unescaped(m.value) for m in app.markdown]
    for row in table:
        assert row["text"] in (warned if row["kind"] == "warning" else said), row["text"]
    assert [s for s in said if s.startswith("What ")] == ["What spoils a comparison", "What differs", "What is not shown"]
    n, fdr = rows_of(made("full"), "select max(n_candidates) as n, max(fdr) as fdr from findings, statistics_settings")[
        0
    ].values()
    assert f"Chosen from {n:,} comparisons at a false discovery rate of {fdr:g}" in unescaped(written(app))


def test_a_finding_is_shown_where_all_that_it_names_are_chosen(made: Callable[[str], Path]) -> None:
    from reports._findings import findings, hidden_words

    warehouse = Warehouse(made("full"))
    table = rows_of(made("full"), "select position, llm_ids from findings order by position")
    for llms in (["cautious", "agreeable", "blunt"], ["blunt", "cautious"], ["agreeable"], []):
        found = findings(warehouse, llms)
        assert [f.position for f in found.shown] == [r["position"] for r in table if set(r["llm_ids"]) <= set(llms)]
        assert found.hidden == len(table) - len(found.shown)
        assert bool(hidden_words(found.hidden)) == bool(found.hidden)
    assert all(
        f.statements for f in findings(warehouse, ["cautious", "agreeable", "blunt"]).of("difference") if f.page == "approvals"
    )
    warehouse.close()


def test_a_run_without_approvals_has_its_own_findings(
    made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(made("full"), tmp_path)
    with duckdb.connect(str(path)) as con:
        con.execute("alter table findings rename to response_findings; drop table answer_problems")
        con.execute(
            "create or replace table response_problems as select 'blunt' as llm_id, 0.4 as empty_responses, 'blunt: hardly a word.' as problem"
        )
    sentence = rows_of(path, "select text from response_findings where kind = 'difference' limit 1")[0]["text"]
    assert sentence in unescaped(written(show(path, "overview", monkeypatch)))
    assert "blunt: hardly a word." in unescaped(written(show(path, "runs", monkeypatch)))


def test_settings_of_the_warehouse_reach_every_page(
    made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(made("full"), tmp_path)
    with duckdb.connect(str(path)) as con:
        con.execute("update statistics_settings set fdr = 0.03, margin = 0.07")
    assert "false discovery rate of 0.03; " in unescaped(written(show(path, "overview", monkeypatch)))
    assert "lies within 7 points" in unescaped(written(show(path, "overview", monkeypatch)))
    assert show(path, "compare", monkeypatch).select_slider[0].value == 0.03
    assert "differs (q at most 0.03)" in drawn(show(path, "approvals", monkeypatch))
    export(path, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "at a false discovery rate of 0.03" in text
    assert "rate of 0.05" not in text


def drawn(app: AppTest) -> str:
    """The figures of a page, as their JSON."""
    return " ".join(chart.proto.spec for chart in app.get("plotly_chart"))


def test_a_verdict_is_shown_by_its_sign_and_explained_in_words() -> None:
    interval = {"ci_low": 0.0, "ci_high": 0.2, "q_value": 0.04, "rate_a": 0.6, "rate_b": 0.5, "n_statements": 9, "n_groups": 8}
    bounds = {"answered_a": 1.0, "answered_b": 0.7, "bound_low": -0.3, "bound_high": 0.5}
    rows = [
        {"label": v, "behavior": v, "verdict": v, "difference": 0.1, **interval, **(bounds if i else dict.fromkeys(bounds))}
        for i, v in enumerate(["differs", "alike", "not shown"])
    ]
    fig = charts.forest(pl.DataFrame(rows), "a", "b", {"a": "#111111"}, 0.05, 0.1, charts.Style())
    marks = next(t for t in fig.data if t.text)
    assert dict(zip(fig.layout.yaxis.ticktext, marks.marker.symbol, strict=True)) == {
        "differs": "circle", "alike": "square", "not shown": "circle-open",
    }  # fmt: skip
    assert marks.marker.color[-1] == "#111111"
    words = [t.name for t in fig.data if t.name]
    assert words == [
        "differs (q at most 0.05)", "alike (whole interval within 10 points)", "not shown", "thin line: had all decided",
    ]  # fmt: skip
    assert "had all, anything from -30 to +50 points" in marks.text[0]
    assert "9 statements in 8 groups" in marks.text[0]


@pytest.mark.parametrize("llms", [["blunt"], ["cautious", "agreeable", "blunt"]])
def test_rates_of_a_tree_are_those_of_its_table(full: Warehouse, llms: list[str]) -> None:
    from reports._hierarchy import approvals_below

    scope = Scope(full, LLMS, LLMS, "main", "default", charts.Style())
    drawn_rates = approvals_below(scope, "personas", llms).rates.to_dicts()
    table = full.frame("from statement_cluster_tree_approvals where clustering = 'main' and prompt_type = 'personas'").to_dicts()
    for row in drawn_rates:
        cells = [r for r in table if (r["node_id"], r["prompt_name"]) == (row["node_id"], row["column"]) and r["llm_id"] in llms]
        n = sum(r["n_statements"] for r in cells)
        assert (row["n"], row["rate"]) == (n, pytest.approx(sum(r["rate"] * r["n_statements"] for r in cells if n) / n))
        assert row["ci_low"] == (cells[0]["ci_low"] if len(llms) == 1 else None)
    assert len(drawn_rates) == len({(r["node_id"], r["prompt_name"]) for r in table})


def test_every_wording_can_be_looked_at_and_a_cluster_has_the_first_only(
    made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made("three wordings")
    app = show(path, "approvals", monkeypatch)
    choice = next(c for c in app.get("button_group") if c.proto.label == "Asked as")
    assert [option.content for option in choice.proto.options] == ["object", "approve", "endorse"]
    for wording in ("object", "endorse"):
        app = show(path, "approvals", monkeypatch, wording=wording)
        where = f"wording = '{wording}' and prompt_type = 'personas' and llm_id = 'blunt' and prompt_name = 'free spirit'"
        [row] = rows_of(path, f"from approval_rates_by_wording where {where}")
        assert f"{100 * row['rate']:.1f} % ({100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f})" in drawn(app), wording
    app = show(path, "approvals", monkeypatch, statement_cluster="1", wording="endorse")
    choice = next(c for c in app.get("button_group") if c.proto.label == "Asked as")
    assert choice.proto.disabled
    assert "rates of the first wording only: object" in unescaped(written(app))
    [row] = rows_of(
        path,
        "from statement_cluster_approvals where clustering = 'main' and cluster_id = 1 and prompt_type = 'personas' and rate > 0 "
        "order by rate, llm_id, prompt_name limit 1",
    )
    assert f"{100 * row['rate']:.1f} % ({100 * row['ci_low']:.1f} to {100 * row['ci_high']:.1f})" in drawn(app)


def test_what_is_not_known_is_a_dash_and_never_0(
    made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied(made("full"), tmp_path)
    with duckdb.connect(str(path)) as con:
        con.execute("update approval_rates set balanced_rate = null, yes_bias = null, incoherence = null")
    table = next(
        t
        for t in show(path, "approvals", monkeypatch).dataframe
        if "balanced_rate" in t.value.columns and "incoherence" in t.value
    )
    assert table.value[["balanced_rate", "yes_bias", "incoherence"]].isna().all().all()
    assert table.proto.placeholder == "–"


def test_bounds_are_given_where_many_answers_decide_nothing(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from reports import _queries as q

    warehouse = Warehouse(made("full"))
    rows = warehouse.frame(q.behavior_differences("personas", LLMS)).to_dicts()
    warehouse.close()
    for row in rows:
        few = min(row["answered_a"], row["answered_b"]) < 0.8 or abs(row["answered_a"] - row["answered_b"]) > 0.05
        assert (row["bound_low"] is not None) == few
    assert {row["bound_low"] is None for row in rows} == {True, False}


def test_the_report_works_out_no_statistics() -> None:
    for path in [*(ROOT / "reports").rglob("*.py")]:
        text = path.read_text(encoding="utf-8").lower()
        assert not re.search(r"scipy|statsmodels|1\.9[56]|wilson\(|mcnemar", text), path


# --- clicks ----------------------------------------------------------------------------------------------------


def click(app: AppTest, chart: str, *points: dict[str, Any], box: list[dict[str, Any]] | None = None) -> AppTest:
    app.session_state[chart] = {"selection": {"points": list(points), "point_indices": [], "box": box or [], "lasso": []}}
    return app.run()


def test_a_click_on_a_treemap_box_filters_map_and_texts(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("full"), "map", monkeypatch)
    before = app.subheader[0].value
    warehouse = Warehouse(made("full"))
    where = "clustering = 'main' and cluster_id is not null"
    leaf = warehouse.row(f"select node_id, cluster_id from response_cluster_tree where {where} limit 1")
    warehouse.close()
    click(app, "map_boxes", {"id": str(leaf["node_id"]), "label": "x", "parent": "y"})
    assert app.session_state["response_cluster"] == leaf["cluster_id"]
    assert str(leaf["cluster_id"]) in app.query_params["response_cluster"]
    assert app.subheader[0].value.startswith("Matching texts")
    assert app.subheader[0].value != before


def test_a_box_on_the_map_filters_the_texts_and_is_kept_in_the_link(
    made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    app = show(made("full"), "map", monkeypatch)
    click(app, "map_points", box=[{"xref": "x", "yref": "y", "x": [-15, 15], "y": [15, -15]}])
    assert app.subheader[0].value.startswith("Selected texts")
    assert "-15.00,15.00,-15.00,15.00" in str(app.query_params["box"])
    again = show(made("full"), "map", monkeypatch, box="-15.00,15.00,-15.00,15.00")
    assert again.subheader[0].value == app.subheader[0].value


def test_clicked_points_are_the_texts_below(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = click(show(made("full"), "map", monkeypatch), "map_points", {"customdata": 4}, {"customdata": [7]})
    assert app.subheader[0].value == "Selected texts: 2"
    assert len(app.dataframe[0].value) == 2


def test_a_box_with_no_point_in_it_is_said(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("full"), "map", monkeypatch, box="900.00,901.00,900.00,901.00")
    assert "No text matches" in written(app)


def test_a_click_on_the_volcano_shows_both_responses(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("full"), "compare", monkeypatch)
    click(app, "volcano", {"customdata": 2})
    assert app.session_state["cluster"] == 2
    assert any(s.value.startswith("Side by side") for s in app.subheader)


def test_a_click_on_a_branch_lists_its_clusters_and_texts(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("full"), "hierarchy", monkeypatch)
    clusters = len(app.dataframe[0].value)
    click(app, "dendrogram", {"customdata": clusters})
    assert len(app.dataframe[0].value) < clusters
    assert any(s.value.startswith("Texts") for s in app.subheader)


def test_next_and_previous_walk_through_the_statements(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("full"), "read", monkeypatch)
    first = app.query_params["statement"]
    app.button(key="next").click().run()
    assert app.query_params["statement"] != first
    app.button(key="previous").click().run()
    assert app.query_params["statement"] == first
    app.button(key="random").click().run()
    assert not app.exception


# --- the SQL box and the warehouse -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query",
    [
        "select * from read_csv('/etc/passwd')",
        "copy statements to '/tmp/stolen.csv'",
        "attach '/tmp/other.duckdb'",
        "create table mine as select 1",
        "delete from statements",
        "set enable_external_access = true",
        "install httpfs",
        "from 'https://example.invalid/x.parquet'",
    ],
)
def test_the_sql_box_only_reads_this_warehouse(query: str, full: Warehouse) -> None:
    with pytest.raises(WarehouseError):
        full.bounded(query)
    assert len(full.frame("from statements")) == SMALL.n_statements


def test_the_sql_box_is_bounded_in_rows_and_time(full: Warehouse) -> None:
    frame, more = full.bounded("from range(5000)", max_rows=100)
    assert (len(frame), more) == (100, True)
    frame, more = full.bounded("from range(100)", max_rows=100)
    assert (len(frame), more) == (100, False)
    with pytest.raises(WarehouseError, match="Stopped after"):
        full.bounded("select sum(a.range * b.range) from range(10000000) a, range(10000000) b", seconds=0.3)


def test_sql_with_an_error_is_a_sentence(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("full"), "runs", monkeypatch, show="SQL", query="selec 1")
    assert not app.exception
    assert "syntax error" in app.warning[0].value


def test_a_new_version_behind_the_link_is_read(tmp_path: Path) -> None:
    link = tmp_path / "warehouse.duckdb"
    for version, n in (("1", 40), ("2", 50)):
        make_warehouse(tmp_path / f"{version}.duckdb", Shape(n_statements=n))
    link.symlink_to("1.duckdb")
    warehouse = Warehouse(link)
    assert warehouse.row("select count(*) as n from statements")["n"] == 40
    assert not warehouse.refresh()
    (tmp_path / "new").symlink_to("2.duckdb")
    (tmp_path / "new").replace(link)
    assert warehouse.refresh()
    assert warehouse.row("select count(*) as n from statements")["n"] == 50
    (tmp_path / "1.duckdb").replace(tmp_path / "2.duckdb")  # the same path with another content
    assert warehouse.refresh()
    assert warehouse.row("select count(*) as n from statements")["n"] == 40
    warehouse.close()


def test_reading_does_not_stop_a_writer_of_the_next_version(tmp_path: Path) -> None:
    warehouse = Warehouse(make_warehouse(tmp_path / "1.duckdb", Shape(n_statements=40)))
    code = f"import duckdb; duckdb.connect({str(tmp_path / '2.duckdb')!r}).execute('create table t as select 1')"
    subprocess.run([sys.executable, "-c", code], check=True)
    warehouse.close()


def test_a_running_build_is_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = tmp_path / "target" / "demo" / "published"
    published.mkdir(parents=True)
    make_warehouse(published / "00000001.duckdb", Shape(n_statements=40))
    link = tmp_path / "warehouse.duckdb"
    link.symlink_to(published / "00000001.duckdb")
    lock = published.parent / "build.lock"
    warehouse = Warehouse(link)
    assert not building(warehouse)
    lock.write_text(f"PID {os.getpid()}")
    assert building(warehouse)
    assert "A build is running" in written(show(link, "overview", monkeypatch))
    lock.write_text("PID 999999999")
    assert not building(warehouse)
    warehouse.close()


def test_other_targets_warehouses_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = make_warehouse(tmp_path / "warehouse.duckdb", Shape(n_statements=40))
    make_warehouse(tmp_path / "warehouse.full_run.duckdb", Shape(n_statements=50))
    assert [p.name for p in siblings(one)] == ["warehouse.duckdb", "warehouse.full_run.duckdb"]
    app = show(one, "overview", monkeypatch, run="warehouse.full_run.duckdb")
    assert app.metric[0].value == "50"


def test_literals_survive_the_way_to_duckdb_and_back() -> None:
    for text in [*HOSTILE, "it's", "back\\slash", "two\nlines\tand\r more", "\x01", ""]:
        assert duckdb.sql(f"select {literal(text)}").fetchone() == (text,)
        assert "\n" not in literal(text)


# --- texts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_no_hostile_text_survives_a_label(text: str) -> None:
    for shown in (label(text), wrapped(text).replace("<br>", "")):
        assert "<" not in shown
        assert "\u202e" not in shown
    assert not re.search(r"(?<!\\)[\[\]<>`!:$*_]", markdown(text))
    assert "<" not in word_diff(text, "other").replace("<mark>", "").replace("</mark>", "")


def test_a_very_long_word_is_broken() -> None:
    assert max(len(line) for line in wrapped("w" * 600, 40, 3).split("<br>")) <= 40
    assert len(plain("w" * 600, 80)) == 81


def test_words_that_the_other_lacks_are_marked() -> None:
    assert word_diff("I like red tea", "I like tea") == "I like <mark>red </mark>tea" or "<mark>red" in word_diff(
        "I like red tea", "I like tea"
    )


def strings(value: Any) -> Iterator[str]:
    """Every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from strings(part)


def test_no_figure_of_a_hostile_warehouse_holds_markup(made: Callable[[str], Path]) -> None:
    from reports.export import figures, scope_of

    warehouse = Warehouse(made("hostile text"))
    scope = scope_of(warehouse, charts.Style())
    for figure in figures(scope):
        for text in strings(json.loads(figure.fig.to_json())):
            assert not re.search(r"<(?!/?(b|i|br|extra)>|span style='opacity:\.6'>|/span>)|javascript:", text), figure.name
    warehouse.close()


# --- numbers and figures ---------------------------------------------------------------------------------------


def test_a_map_is_one_trace_so_that_nobody_is_painted_over(full: Warehouse) -> None:
    from reports.export import scope_of

    scope = scope_of(full, charts.Style())
    choice = Choice("response", "llm")
    points = full.frame(points_query(scope, choice, 180))
    coded, categories, centres = coded_points(scope, choice, points)
    fig = charts.point_map(coded, categories, scope.style, centres)
    drawn = [t for t in fig.data if t.type == "scattergl"]
    assert len(drawn) == 1
    codes = list(drawn[0].marker.color)
    assert codes != sorted(codes)
    assert fig.layout.coloraxis.colorscale[-1][0] == 1.0
    assert [t.marker.color for t in fig.data[1:]] == [scope.colours[llm] for llm in scope.llms]


def test_a_language_model_keeps_its_colour_when_others_are_filtered_out(full: Warehouse) -> None:
    everyone = Scope(full, ["a", "b", "c"], ["a", "b", "c"], "main", "default", charts.Style())
    one = Scope(full, ["a", "b", "c"], ["c"], "main", "default", charts.Style())
    assert everyone.colours["c"] == one.colours["c"]


def test_a_raster_has_the_colour_of_the_most_frequent_category() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(-5, 1, 5000), rng.normal(5, 1, 5000)])
    points = pl.DataFrame({"row": np.arange(10000), "x": x, "y": rng.normal(0, 1, 10000), "code": np.repeat([0, 1], 5000)})
    fig = charts.density_map(points, [charts.Category("a", "#ff0000"), charts.Category("b", "#0000ff")], charts.Style())
    z = np.asarray(fig.data[0].z)
    half = z.shape[1] // 2
    left, right = z[:, : half - 20], z[:, half + 20 :]
    assert set(np.unique(left[~np.isnan(left)]) // 4) == {1}
    assert set(np.unique(right[~np.isnan(right)]) // 4) == {2}


def test_the_tree_is_cut_where_merges_are_highest() -> None:
    rows = [
        (0, 4, 10, 0.0, 5),
        (1, 4, 11, 0.0, 3),
        (2, 5, 12, 0.0, 2),
        (3, 5, 13, 0.0, 9),
        (4, 6, None, 1.0, 8),
        (5, 6, None, 2.0, 11),
        (6, None, None, 3.0, 19),
    ]
    frame = pl.DataFrame(
        [(*r, None) for r in rows], schema=["node_id", "parent_id", "cluster_id", "height", "n", "label"], orient="row"
    )
    tree = Tree(frame)
    assert tree.cut(1) == [6]
    assert tree.cut(2) == [5, 4]
    assert tree.cut(3) == [3, 2, 4]
    assert tree.cut(99) == [3, 2, 0, 1]
    assert tree.leaves[6] == [13, 12, 10, 11]
    assert tree.above(tree.cut(3)) == [5, 6]


def test_every_query_that_is_shown_runs_as_it_stands(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    warehouse = Warehouse(made("full"))
    seen = 0
    for page in PAGES:
        for code in show(made("full"), page, monkeypatch, texts="statement").code:
            if code.language == "sql":
                warehouse.frame(code.value)
                seen += 1
    assert seen > 15
    warehouse.close()


# --- the export ------------------------------------------------------------------------------------------------


def export(path: Path, out: Path, *options: str, settings: dict[str, Any] | None = None) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"BCLUST_REPORT_SETTINGS": json.dumps(settings or {})}
    command = [sys.executable, str(ROOT / "reports" / "export.py"), "--warehouse", str(path), "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_the_html_is_one_file_without_an_address_to_call(made: Callable[[str], Path], tmp_path: Path) -> None:
    done = export(made("hostile text"), tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert len(text) < 8e6
    page = text[: text.index("<script>")] + text[text.index("</head>") :]
    assert not re.search(r"<(script|img|link|iframe)[^>]*\s(src|href)=", page)
    assert "<script>window.hacked" not in text
    assert "<img" not in page
    assert "default-src 'none'" in text


def test_the_html_of_an_almost_empty_warehouse_says_so(made: Callable[[str], Path], tmp_path: Path) -> None:
    done = export(made("only statements"), tmp_path / "report.html")
    assert done.returncode == 0, done.stderr
    assert "Nothing has been compared yet" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_texts_can_be_left_out_of_the_html(made: Callable[[str], Path], tmp_path: Path) -> None:
    export(made("full"), tmp_path / "with.html")
    export(made("full"), tmp_path / "without.html", "--no-text")
    assert "depends on who is harmed" in (tmp_path / "with.html").read_text(encoding="utf-8")
    assert "depends on who is harmed" not in (tmp_path / "without.html").read_text(encoding="utf-8")


def test_the_short_text_holds_findings_with_intervals(made: Callable[[str], Path], tmp_path: Path) -> None:
    assert export(made("full"), tmp_path / "findings.md", "--format", "md").returncode == 0
    text = (tmp_path / "findings.md").read_text(encoding="utf-8")
    assert "# What stands out" in text
    assert re.search(r"\d+\.\d to \d+\.\d", text)
    assert "are simulated" in text


def test_hostile_text_is_escaped_in_the_short_text(made: Callable[[str], Path], tmp_path: Path) -> None:
    export(made("hostile text"), tmp_path / "findings.md", "--format", "md")
    text = (tmp_path / "findings.md").read_text(encoding="utf-8")
    assert not re.search(r"<[a-z/!]", text)
    assert not re.search(r"(?<!\\)!\[", text)


def test_a_missing_warehouse_ends_the_export_with_a_hint(tmp_path: Path) -> None:
    done = export(tmp_path / "none.duckdb", tmp_path / "report.html")
    assert done.returncode == 1
    assert "bclust build" in done.stderr
    assert "Traceback" not in done.stderr


def test_plot_settings_reach_the_figures(monkeypatch: pytest.MonkeyPatch, full: Warehouse) -> None:
    from reports.export import figures, scope_of

    settings = {"size": [8, 6], "marker_size": 50, "font_size": 14, "legend_font_size": 9, "alpha": 0.7}
    monkeypatch.setenv("BCLUST_REPORT_SETTINGS", json.dumps({"plot": settings, "open_at_end": False}))
    assert charts.style_from_environment().size is None
    style = charts.style_from_environment(images=True)
    made = {f.name: f.fig for f in figures(scope_of(full, style))}
    fig = made["response_map_llm"]
    assert (fig.layout.width, fig.layout.height) == (800, 600)
    assert (fig.layout.font.size, fig.layout.legend.font.size) == (14, 9)
    assert fig.data[0].marker.size == pytest.approx(50**0.5)
    assert fig.data[0].marker.opacity == 0.7
    monkeypatch.setenv("BCLUST_REPORT_SETTINGS", json.dumps({"hide": ["map", "rates_personas"]}))
    names = {f.name for f in figures(scope_of(full, charts.style_from_environment()))}
    assert "response_map_llm" not in names
    assert "rates_personas" not in names
    assert "rates_awareness" in names
    monkeypatch.setenv("BCLUST_REPORT_SETTINGS", json.dumps({"hide": ["all"]}))
    assert not list(figures(scope_of(full, charts.style_from_environment())))
