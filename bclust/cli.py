"""The command line: each command is a short list of steps. The only place that catches BclustError and exits."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bclust.errors import BclustError, Interrupted, SelectionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bclust.console import Terminal
    from bclust.manifest import Manifest
    from bclust.results import Plan, Run
    from bclust.selector import Facts, Selection
    from bclust.warehouse import Warehouse

app = typer.Typer(
    name="bclust",
    help="How do language models behave differently, and can I believe it?",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
calls_app = typer.Typer(help="The call store: every answer that was ever paid for.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(calls_app, name="calls")

Select = Annotated[
    list[str] | None, typer.Option("--select", "-s", help="What to work on: names, +x, x+, tag:..., state:stale, ...")
]
Exclude = Annotated[list[str] | None, typer.Option("--exclude", help="What to leave out; the same grammar.")]
Target = Annotated[str | None, typer.Option("--target", "-t", envvar="BCLUST_TARGET", help="A run configuration of bclust.yml.")]
Vars = Annotated[str | None, typer.Option("--vars", help="Variables over bclust.yml's: '{n_statements: 100}'.")]
ProjectDir = Annotated[Path, typer.Option("--project-dir", envvar="BCLUST_PROJECT_DIR", help="Where bclust.yml is.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Only warnings, errors and the last line.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Passing tests and reasons, too.")]
Working = Annotated[bool, typer.Option("--working", help="Read the working file: what a failed build left, not yet published.")]
HERE = Path()


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error of ours becomes a message and an exit code, never a traceback."""
    from bclust.console import Terminal

    try:
        app(arguments)
    except BclustError as error:
        Terminal().error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(Interrupted.exit_code)
    except BrokenPipeError:
        os._exit(0)  # the reader of our stdout went away


# --- the main verbs --------------------------------------------------------------------------------------------


@app.command()
def build(
    select: Select = None, exclude: Exclude = None, target: Target = None, vars_: Vars = None,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", "-f", help="Also what is fresh, from stored answers.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="A call that is not stored is an error.")] = False,
    max_calls: Annotated[int | None, typer.Option("--max-calls", min=0, help="Stop before the call after this many.")] = None,
    max_cost: Annotated[float | None, typer.Option("--max-cost", min=0, help="Stop before passing this price (USD).")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before spending.")] = False,
    refresh_calls: Annotated[list[str] | None, typer.Option("--refresh-calls", help="Ask this function all again.")] = None,
    no_upstream: Annotated[bool, typer.Option("--no-upstream", help="Build only what is selected.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", "-x", help="Stop at the first failure.")] = False,
    quiet: Quiet = False, verbose: Verbose = False, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """Build what is selected and stale, with its tests; missing or stale inputs come along."""
    from bclust.build import Build, Options
    from bclust.session import Session
    from bclust.warehouse import build_lock

    manifest = _read(project_dir, target, vars_)
    terminal = _terminal(manifest, budget=max_cost, quiet=quiet, verbose=verbose)
    _check_refresh(manifest, refresh_calls)
    selection = _selection(manifest, select, exclude)
    run = _new_run(manifest)
    options = Options(full_refresh, no_upstream, fail_fast, max_calls, max_cost)

    def confirm(plan: Plan) -> bool:
        return _confirmed(plan, manifest, yes=yes or max_cost is not None)

    with _stoppable() as stop, build_lock(manifest.config.working_path.with_suffix(".lock")):
        arguments: dict[str, Any] = {"offline": offline, "refresh": refresh_calls or (), "stop": stop}
        with Session(manifest, warehouse=manifest.config.working_path, **arguments) as session:
            try:
                Build(session, selection, options, run, terminal.show, confirm).execute()
            except BclustError as error:
                terminal.recap(run)
                if isinstance(error, Interrupted):
                    error.hint = "go on with the same command: " + " ".join(["bclust", *sys.argv[1:]])
                raise
            finally:
                terminal.close()
                _write_artifacts(manifest, run)
    terminal.recap(run, next_commands=_next(run))
    if not run.ok:
        raise typer.Exit(1)
    if manifest.config.reports.get("open_at_end") and sys.stdout.isatty():
        report(target=target, project_dir=project_dir)


@app.command()
def plan(
    select: Select = None, exclude: Exclude = None, target: Target = None, vars_: Vars = None,
    why: Annotated[bool, typer.Option("--why", help="Every reason, and the unchanged nodes.")] = False,
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Exit 1 if something would change.")] = False,
    full_refresh: Annotated[bool, typer.Option("--full-refresh", "-f")] = False,
    no_upstream: Annotated[bool, typer.Option("--no-upstream")] = False,
    project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """What a build would do and why, how many calls it would make, and what they would cost. Spends nothing."""
    from bclust.plan import make_plan

    manifest = _read(project_dir, target, vars_)
    selection = _selection(manifest, select, exclude)
    with _reading(manifest) as session:
        made = make_plan(session, selection, full_refresh=full_refresh, no_upstream=no_upstream)
    _terminal(manifest).plan(made, why=why)
    if exit_code and made.to_build:
        raise typer.Exit(1)


@app.command()
def test(
    select: Select = None, exclude: Exclude = None, target: Target = None, vars_: Vars = None,
    quiet: Quiet = False, verbose: Verbose = False, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """Run the unit tests of models, and the data tests over what is built. Never spends."""
    from bclust.build import run_data_test
    from bclust.results import Finished, Result, Status
    from bclust.unit_tests import run_unit_test

    manifest = _read(project_dir, target, vars_)
    terminal = _terminal(manifest, quiet=quiet, verbose=verbose)
    selection = _selection(manifest, select, exclude)
    run = _new_run(manifest)
    data_tests = [t for t in manifest.data_tests if t.unique_id in selection.tests]
    unit_tests = [t for t in manifest.unit_tests if t.unique_id in selection.tests]
    with _reading(manifest) as session:
        built = session.warehouse.tables()
        for unit_test in unit_tests:
            run.results.append(run_unit_test(unit_test, manifest))
            terminal.show(Finished(len(run.results), len(unit_tests) + len(data_tests), run.results[-1]))
        for data_test in data_tests:
            missing = next((n for n in data_test.depends_on if n not in built), None)
            skipped = Result(
                data_test.unique_id,
                data_test.name,
                "test",
                Status.SKIPPED,
                message=f"{missing} is not built",
                node=data_test.node,
            )
            run.results.append(skipped if missing else run_data_test(session, data_test))
            terminal.show(Finished(len(run.results), len(unit_tests) + len(data_tests), run.results[-1]))
    _write_artifacts(manifest, run)
    terminal.recap(run)
    if not run.ok:
        raise typer.Exit(1)


# --- looking ---------------------------------------------------------------------------------------------------


@app.command()
def ls(
    select: Select = None, exclude: Exclude = None, target: Target = None, vars_: Vars = None,
    output: Annotated[Literal["name", "path", "json"], typer.Option("--output", help="name, path or json.")] = "name",
    graph: Annotated[bool, typer.Option("--graph", help="Each node with its inputs.")] = False,
    tests: Annotated[bool, typer.Option("--tests", help="The tests as well.")] = False,
    project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """List the nodes, in building order."""
    from bclust.console import print_text

    manifest = _read(project_dir, target, vars_)
    selection = _selection(manifest, select, exclude)
    nodes = [manifest.nodes[n] for n in manifest.graph.sorted(selection.nodes)]
    if output == "json":
        import json

        entries = manifest.to_json({})
        known = entries["nodes"] | entries["sources"] | entries["unit_tests"]
        ids = [n.unique_id for n in nodes] + (sorted(selection.tests) if tests or not nodes else [])
        print_text("\n".join(json.dumps(known[i] | {"unique_id": i}, ensure_ascii=False, default=str) for i in ids))
        return
    root = manifest.config.root
    for node in nodes:
        path = node.path.relative_to(root) if node.path.is_relative_to(root) else node.path
        label = str(path) if output == "path" else node.name
        print_text(f"{label} <- {', '.join(node.depends_on)}" if graph and node.depends_on else label)
    if tests or not nodes:
        print_text("\n".join(sorted(selection.tests)))


@app.command()
def show(
    node: Annotated[str, typer.Argument(help="A built table.")],
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many rows.")] = 10,
    format_: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
    working: Working = False, target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """Rows of a built table; the model is not run again."""
    from bclust.console import print_rows
    from bclust.warehouse import quote

    manifest = _read(project_dir, target, None)
    name = manifest.node(node).name
    with _readable(manifest, working=working) as warehouse:
        if name not in warehouse.tables():
            raise SelectionError(f"{name} is not built", hint=f"bclust build -s {name}")
        print_rows(warehouse.rows(f"from {quote(name)} limit {limit}"), format_)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="A SELECT over the published warehouse.")],
    format_: Annotated[Literal["table", "csv", "json", "parquet"], typer.Option("--format")] = "table",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file.")] = None,
    working: Working = False, target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """Read-only SQL over the published warehouse."""
    from bclust.console import print_rows
    from bclust.warehouse import export

    if format_ == "parquet" and output is None:
        raise UsageError("parquet needs a file", hint="add -o FILE.parquet")
    manifest = _read(project_dir, target, None)
    with _readable(manifest, working=working) as warehouse:
        if output is None:
            print_rows(warehouse.rows(query), format_)
        else:
            export(warehouse, query, output, "csv" if format_ == "table" else format_)


@app.command(name="compile")
def compile_(
    node: Annotated[str, typer.Argument(help="A model.")],
    target: Target = None, vars_: Vars = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """The SQL that would run, its references, functions and variables, and the parts of its fingerprint."""
    from bclust.console import print_text
    from bclust.materializations import MATERIALIZATIONS
    from bclust.state import fingerprint, read_records

    manifest = _read(project_dir, target, vars_)
    found = manifest.node(node)
    with _reading(manifest) as session:
        versions = {name: record.data_version for name, record in read_records(session.warehouse).items()}
    now = fingerprint(found, manifest, versions)
    prefix = MATERIALIZATIONS[found.materialized](found) if found.sql else ""
    facts = [
        f"-- {found.unique_id}  ({found.path})", f"-- reads: {', '.join(found.depends_on) or 'nothing'}",
        f"-- functions: {now.functions}", f"-- variables: {now.vars}", f"-- config: {now.config}",
        f"-- code: {now.code_hash}", f"-- inputs: {now.inputs}",
    ]  # fmt: skip
    print_text("\n".join([*facts, prefix + found.sql]))


@app.command()
def report(
    port: Annotated[int, typer.Option("--port", help="Where the app listens, on this machine only.")] = 8501,
    export_: Annotated[Path | None, typer.Option("--export", help="Write one self-contained HTML file (or .md) instead.")] = None,
    format_: Annotated[
        Literal["html", "md", "png", "svg", "pdf"] | None,
        typer.Option("--format", help="html, md; or png, svg, pdf: every figure, into a folder (bclust[png])."),
    ] = None,
    no_text: Annotated[bool, typer.Option("--no-text", help="Leave out what was said.")] = False,
    target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """Browse the results, or write them to one file."""
    import json
    import subprocess

    from bclust.session import environment as environment_of
    from bclust.shared import use_token

    manifest = _read(project_dir, target, None)
    config = manifest.config
    if config.shared:
        use_token(config.shared, environment_of(config.root))
    elif not config.warehouse_path.exists():
        raise UsageError(f"there is no warehouse at {config.warehouse_path}", hint="build it: bclust build")
    published = config.shared or str(config.warehouse_path.absolute())
    environment = os.environ | {
        "BCLUST_WAREHOUSE": published, "BCLUST_PROJECT_DIR": str(config.root),
        "BCLUST_TARGET": config.target, "BCLUST_REPORT_SETTINGS": json.dumps(config.reports, default=str),
    }  # fmt: skip
    if export_ is not None:
        format_ = format_ or ("md" if export_.suffix == ".md" else "html")
        command = [
            sys.executable,
            str(config.root / "reports" / "export.py"),
            "--warehouse",
            published,
            "--out",
            str(export_),
            "--format",
            format_,
            *(["--no-text"] if no_text else []),
        ]
    else:
        command = [
            sys.executable, "-m", "streamlit", "run", str(config.root / "reports" / "app.py"),
            "--server.address", "127.0.0.1", "--server.port", str(port), "--server.headless", "true",
            "--browser.gatherUsageStats", "false", "--runner.magicEnabled", "false", "--client.toolbarMode", "viewer",
            "--server.fileWatcherType", "none", "--client.showErrorDetails", "none",
            "--theme.base", str(config.root / "reports" / "theme.toml"),
        ]  # fmt: skip
        sys.stderr.write(f"open http://127.0.0.1:{port}  (Ctrl-C stops it)\n")
    with contextlib.suppress(KeyboardInterrupt):
        raise typer.Exit(subprocess.call(command, env=environment, cwd=config.root))  # noqa: S603 - our own app


# --- the project as a whole ------------------------------------------------------------------------------------


@app.command()
def init(directory: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """A new project that works at once, with simulated language models."""
    import shutil

    from bclust.console import print_text

    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty", hint="name a new folder")
    package = Path(__file__).parent
    starter = package / "starter" if (package / "starter").is_dir() else package.parent
    directory.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("models", "udfs", "seeds", "reports", "tests/data"):
        shutil.copytree(starter / name, directory / name, ignore=ignore)
    shutil.copyfile(starter / "bclust.yml", directory / "bclust.yml")
    (directory / ".gitignore").write_text("target/\n.bclust/\n.env\nwarehouse*.duckdb\n", encoding="utf-8")
    print_text(f"{directory} is ready.\nnext: cd {directory} && bclust build --select approvals")


@app.command()
def debug(target: Target = None, project_dir: ProjectDir = HERE) -> None:
    """Versions, keys present (never their values), the call store, who holds the warehouse, the budget."""
    import platform
    from importlib.metadata import version

    from bclust.console import print_text
    from bclust.session import environment
    from bclust.shared import TOKEN
    from bclust.warehouse import lock_holder

    manifest = _read(project_dir, target, None)
    config = manifest.config
    rows = [row for node in manifest.nodes.values() for row in node.rows or ()]
    keys = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY"} | {str(v) for row in rows for k, v in row.items() if k.endswith("_env") and v}
    present = environment(config.root)
    size = config.store_path.stat().st_size if config.store_path.is_file() else 0
    holder = lock_holder(config.working_path.with_suffix(".lock"))
    published = config.warehouse_path.resolve() if config.warehouse_path.exists() else "nothing yet"
    packages = ("duckdb", "sqlglot", "polars", "pyarrow", "scikit-learn", "openai", "anthropic")
    tests = f"{len(manifest.data_tests)} data tests, {len(manifest.unit_tests)} unit tests"
    lines = [
        f"bclust {version('bclust')}, Python {platform.python_version()}, " + ", ".join(f"{p} {version(p)}" for p in packages),
        f"project {config.name} in {config.root}: {len(manifest.nodes)} nodes, {tests}, {len(manifest.functions)} functions",
        f"target {config.target} (of {', '.join(config.targets)})",
        *(f"key {key}: {'present' if present.get(key) else 'not set'}" for key in sorted(keys)),
        f"call store {config.store_path}: {size / 1e6:.1f} MB",
        f"working file {config.working_path}: {f'held by {holder}' if holder else 'free'}",
        *([f"shared as {config.shared}: {TOKEN} {'present' if present.get(TOKEN) else 'not set'}"] if config.shared else []),
        f"published {config.warehouse_path}: {published}",
        f"asks above ${config.calls.confirm_over_usd:.2f}",
    ]
    print_text("\n".join(lines))


@app.command()
def clean(project_dir: ProjectDir = HERE) -> None:
    """Delete target/ and the links to what was published there. The call store stays."""
    import shutil

    from bclust.config import find_root
    from bclust.console import print_text

    root = find_root(project_dir)
    folder = (root / "target").resolve()
    for link in root.glob("*.duckdb"):
        if link.is_symlink() and folder in link.resolve().parents:
            link.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    print_text("target/ is deleted; stored answers are kept, so a build will not pay for them again")


@calls_app.command()
def stats(
    format_: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
    target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """What was paid: answers, tokens and cost per function and language model; and the questions that wait in open batches."""
    from bclust.calls import BatchRecords, CallStore
    from bclust.console import print_rows

    store = CallStore(_read(project_dir, target, None).config.store_path, read_only=True)
    open_batches = BatchRecords(store).listed()
    print_rows(_with_waiting(store.stats(), open_batches), format_)
    if open_batches and format_ == "table":
        sys.stdout.write("\nopen batches:\n")
        print_rows(open_batches, format_)
    store.close()


def _with_waiting(rows: list[dict[str, Any]], open_batches: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The statistics with a column ``waiting`` where questions are in open batches."""
    waiting: dict[tuple[str, str], int] = {}
    for batch in open_batches:
        name = (batch["function"], batch["lane"])
        waiting[name] = waiting.get(name, 0) + batch["questions"]
    if not waiting:
        return rows
    empty = dict.fromkeys(rows[0] if rows else ("function", "lane"))
    missing = sorted(waiting.keys() - {(row["function"], row["lane"]) for row in rows})
    rows = rows + [empty | {"function": function, "lane": lane} for function, lane in missing]
    return [row | {"waiting": waiting.get((row["function"], row["lane"]), 0)} for row in rows]


@calls_app.command()
def batches(
    format_: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
    target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """The open batches: submitted, and not collected yet. A build collects those that it needs."""
    from bclust.calls import BatchRecords, CallStore
    from bclust.console import print_rows

    store = CallStore(_read(project_dir, target, None).config.store_path, read_only=True)
    print_rows(BatchRecords(store).listed(), format_)
    store.close()


@calls_app.command(name="forget-batch")
def forget_batch(
    batch: Annotated[str, typer.Argument(help="Its name, or the server's: bclust calls batches")],
    target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """Give up an open batch that no server will answer: its questions are new ones again, and are paid again."""
    from bclust.calls import BatchRecords, CallStore
    from bclust.console import print_text

    with CallStore(_read(project_dir, target, None).config.store_path) as store:
        questions = BatchRecords(store).forget(batch)
    print_text(f"{questions:,} questions of {batch} are new ones again; should the server answer them yet, that is lost")


@calls_app.command(name="export")
def export_calls(
    path: Annotated[Path, typer.Argument(help="FILE.jsonl or FILE.parquet")],
    target: Target = None,
    project_dir: ProjectDir = HERE,
) -> None:
    """Write all stored answers to a file, so that others can rebuild with --offline."""
    from bclust.calls import CallStore
    from bclust.console import print_text

    store = CallStore(_read(project_dir, target, None).config.store_path, read_only=True)
    written = store.export(path)
    print_text(f"{written['answers']:,} answers, {written['errors']:,} errors -> {path}")
    store.close()


@calls_app.command(name="import")
def import_calls(
    path: Annotated[Path, typer.Argument(help="FILE.jsonl or FILE.parquet")],
    target: Target = None,
    project_dir: ProjectDir = HERE,
) -> None:
    """Add answers from a file; those already stored stay as they are."""
    from bclust.calls import CallStore
    from bclust.console import print_text

    if not path.is_file():
        raise UsageError(f"no file {path}")
    store = CallStore(_read(project_dir, target, None).config.store_path)
    added = store.import_(path)
    print_text(f"{added['answers']:,} answers and {added['errors']:,} errors added, {added['known']:,} were known already")
    store.close()


# --- steps that commands share ---------------------------------------------------------------------------------


def _terminal(manifest: Manifest, *, budget: float | None = None, quiet: bool = False, verbose: bool = False) -> Terminal:
    from bclust.console import Terminal

    return Terminal(f"{manifest.config.name} · target {manifest.config.target}", budget=budget, quiet=quiet, verbose=verbose)


def _read(project_dir: Path, target: str | None, vars_: str | None) -> Manifest:
    from bclust.config import find_root, parse_vars
    from bclust.project import read_project

    return read_project(find_root(project_dir), target, parse_vars(vars_))


def _selection(manifest: Manifest, include: list[str] | None, exclude: list[str] | None) -> Selection:
    from bclust.selector import select

    config = manifest.config
    return select(manifest, include or config.select, [*(exclude or ()), *(() if include else config.exclude)], _facts(manifest))


def _readable(manifest: Manifest, *, working: bool) -> Warehouse:
    """What is published, or the working file."""
    from bclust.session import environment
    from bclust.shared import open_shared
    from bclust.warehouse import open_published

    config = manifest.config
    if config.shared and not working:
        return open_shared(config.shared, environment(config.root))
    return open_published(config.working_path if working else config.warehouse_path)


def _facts(manifest: Manifest) -> Facts:
    """What state: and result: selectors may ask; read only when they do."""
    from bclust.selector import Facts

    def states() -> dict[str, set[str]]:
        from bclust.plan import Wanted, stale_nodes
        from bclust.state import read_records

        with _reading(manifest) as session:
            records = read_records(session.warehouse)
        why = stale_nodes(manifest, Wanted(tuple(manifest.graph.order)), records)
        own = ("SQL", "config", "variables", "functions", "files", "rows")
        return {name: _states(name in records, reasons, own) for name, reasons in why.items()}

    def results() -> dict[str, str]:
        import json

        path = manifest.config.root / "target" / "run_results.json"
        if not path.is_file():
            return {}
        last = json.loads(path.read_text(encoding="utf-8"))["results"]
        by_id = {r["unique_id"]: r["status"] for r in last}
        return by_id | {n.name: by_id[n.unique_id] for n in manifest.nodes.values() if n.unique_id in by_id}

    return Facts(states, results)


def _states(built: bool, reasons: tuple[str, ...], own: tuple[str, ...]) -> set[str]:
    found = {"stale"} if reasons else set()
    if not built:
        found |= {"unbuilt", "new"}
    elif any(r.startswith(own) for r in reasons):
        found.add("modified")
    return found


@contextlib.contextmanager
def _reading(manifest: Manifest) -> Iterator[Any]:
    """A session that writes nothing: over the working file, or what is published while a build holds it."""
    from bclust.session import Session
    from bclust.warehouse import lock_holder

    path: Path | None = manifest.config.working_path
    if lock_holder(manifest.config.working_path.with_suffix(".lock")):
        path = manifest.config.warehouse_path.resolve()
    with Session(manifest, warehouse=path if path and path.is_file() else None, read_only=True) as session:
        yield session


@contextlib.contextmanager
def _stoppable() -> Iterator[Any]:
    """Ctrl-C sets an event: no new call is made, those in flight are stored. A second Ctrl-C ends at once."""
    import signal
    import threading

    stop = threading.Event()

    def handle(*_: object) -> None:
        if stop.is_set():
            os._exit(Interrupted.exit_code)
        stop.set()
        sys.stderr.write("\nstopping: calls in flight are being stored (Ctrl-C again ends at once)\n")

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _confirmed(plan: Plan, manifest: Manifest, *, yes: bool) -> bool:
    """Ask above the configured price; without a terminal only -y or --max-cost will do."""
    limit = manifest.config.calls.confirm_over_usd
    cost = plan.cost_usd
    if yes or (cost is not None and cost <= limit):
        return True
    if not sys.stdin.isatty():
        return False
    from bclust.console import money

    return typer.confirm(f"spend about {money(cost)}?", err=True)


def _check_refresh(manifest: Manifest, names: list[str] | None) -> None:
    from bclust.errors import did_you_mean

    paid = [f.name for f in manifest.functions.values() if f.kind == "call"]
    for name in names or ():
        if name not in paid:
            raise UsageError(f"--refresh-calls: no paid function {name!r}", hint=did_you_mean(name, paid))


def _new_run(manifest: Manifest) -> Run:
    import uuid

    from bclust.results import Run

    return Run(
        str(uuid.uuid4()),
        {"which": sys.argv[1] if len(sys.argv) > 1 else "", "argv": sys.argv[1:], "target": manifest.config.target},
    )


def _write_artifacts(manifest: Manifest, run: Run) -> None:
    """target/manifest.json and target/run_results.json."""
    import datetime as dt
    import json
    from importlib.metadata import version

    folder = manifest.config.root / "target"
    folder.mkdir(exist_ok=True)
    metadata = {
        "generated_at": dt.datetime.now(dt.UTC).isoformat(), "invocation_id": run.invocation_id,
        "project_name": manifest.config.name, "adapter_type": "duckdb", "bclust_version": version("bclust"),
    }  # fmt: skip
    for name, content in (("manifest", manifest.to_json(metadata)), ("run_results", run.to_json(metadata))):
        path = folder / f"{name}.json"
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(content, ensure_ascii=False, indent=1, default=str), encoding="utf-8")
        temporary.replace(path)


def _next(run: Run) -> list[str]:
    from bclust.results import totals

    if not run.ok:
        return ["mend it, then the same command builds only what is left", "bclust build -s result:error+"]
    failed = totals(run.results).calls_failed
    again = [f"bclust build again asks only for the {failed} that failed"] if failed else []
    built = [r.name for r in run.results if r.resource_type == "model"]
    return ["bclust report", f'bclust sql "from {built[-1]}"' if built else "bclust ls", *again]
