"""The report's pages without a browser: every page over every state of a warehouse, and the parts that they are made of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash

from bclust.errors import WarehouseError
from reports import charts
from reports._map import Choice, coded_points, points_query
from reports._scope import Scope
from reports._texts import label, markdown, plain, word_diff, wrapped
from reports._tree import Tree, wilson
from reports._warehouse import VARIABLE, Warehouse, building, literal, siblings
from tests.browser.make_warehouse import HOSTILE, Shape, make_warehouse

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["overview", "map", "compare", "approvals", "hierarchy", "read", "runs"]
SMALL = Shape(n_statements=60)
STATES = {
    "full": SMALL,
    "one language model": Shape(n_statements=40, n_llms=1),
    "no awareness prompts": Shape(n_statements=40, awareness=False),
    "no themes": Shape(n_statements=40, themes=False),
    "hostile text": Shape(n_statements=60, hostile=True),
    "only statements": Shape(
        n_statements=40,
        drop=(
            "llms", "subjects", "detectable_differences", "approval_differences", "embedders", "clusterings", "approval_prompts", "responses", "approvals", "statement_clusters", "response_clusters",
            "statement_map", "response_map", "statement_cluster_themes", "response_cluster_themes", "statement_cluster_tree",
            "response_cluster_tree", "clustering_quality", "approval_rates", "approval_rates_by_behavior", "statement_cluster_approvals",
            "approval_agreement", "comparison_clusters", "llm_cluster_shares", "llm_differences", "llm_distances",
        ),
    ),
    "no clusters": Shape(
        n_statements=40,
        drop=("statement_clusters", "response_clusters", "statement_cluster_themes", "response_cluster_themes",
              "statement_cluster_tree", "response_cluster_tree", "comparison_clusters", "llm_differences", "llm_cluster_shares"),
    ),
    "nothing of the runner": Shape(n_statements=40, drop=("_bclust.nodes", "_bclust.runs", "_bclust.results", "_bclust.rejected_rows")),
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The warehouse of a state, made once."""
    folder = tmp_path_factory.mktemp("warehouses")

    def make(state: str) -> Path:
        path = folder / f"{state.replace(' ', '_')}.duckdb"
        return path if path.exists() else make_warehouse(path, STATES[state])

    return make


@pytest.fixture
def full(made: Callable[[str], Path]) -> Iterator[Warehouse]:
    warehouse = Warehouse(made("full"))
    yield warehouse
    warehouse.close()


def show(path: Path, page: str, monkeypatch: pytest.MonkeyPatch, **link: str) -> AppTest:
    """A page as it is first shown."""
    monkeypatch.setenv(VARIABLE, str(path))
    app = AppTest.from_file(str(ROOT / "reports" / "app.py"), default_timeout=60)
    app._page_hash = calc_hash("" if page == "overview" else page)  # pages are functions: switch_page() takes files only
    app.query_params.update(link)
    return app.run()


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
        ("approvals", {"prompts": "awareness", "wording": "object", "statement_cluster": "2", "disagree": "true"}),
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
    assert not app.warning or page == "overview"


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
    path = make_warehouse(tmp_path / "old.duckdb", Shape(n_statements=40))
    with duckdb.connect(str(path)) as con:
        con.execute(
            "alter table approval_rates drop yes_bias; alter table responses drop finish_reason; alter table llm_differences drop q_value"
        )
    for page in PAGES:
        app = show(path, page, monkeypatch)
        assert not app.exception, page
    assert "built by another version" in written(show(path, "approvals", monkeypatch))


def test_a_missing_table_is_named_with_its_command(made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    app = show(made("no clusters"), "compare", monkeypatch)
    assert "llm\\_differences" in app.info[0].value
    assert app.code[0].value == "bclust build --select llm_differences"


def test_nothing_significant_is_said_with_the_largest_difference(
    made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_warehouse(tmp_path / "null.duckdb", SMALL)
    with duckdb.connect(str(path)) as con:
        con.execute("update llm_differences set q_value = 0.9, significant = false")
    assert "No cluster differs" in written(show(path, "compare", monkeypatch))


def test_few_answers_and_silence_get_a_badge(
    made: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_warehouse(tmp_path / "few.duckdb", SMALL)
    with duckdb.connect(str(path)) as con:
        con.execute(
            "update approval_rates set approved = 3, disapproved = 4 where prompt_name = 'free spirit' and llm_id = 'blunt'"
        )
    said = written(show(path, "approvals", monkeypatch))
    assert "only 7 answered" in said
    assert "without an answer" in said


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


@pytest.mark.parametrize(("k", "n"), [(0, 10), (10, 10), (3, 7), (50, 100), (1, 1000)])
def test_the_interval_is_wilsons(k: int, n: int) -> None:
    expected = binomtest(k, n).proportion_ci(method="wilson")
    low, high = wilson([k], [n])
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-9)


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
