"""The command line: each command is a short list of steps. Here an error becomes a message and an exit code."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bclust.cli.calls import calls_app
from bclust.cli.steps import (
    HERE,
    Exclude,
    ProjectDir,
    Quiet,
    Select,
    Target,
    Vars,
    Verbose,
    Working,
    building,
    check_refresh,
    confirmed,
    new_run,
    new_terminal,
    next_commands,
    read_manifest,
    readable,
    reading,
    run_build,
    selection_of,
    stoppable,
    write_artifacts,
)
from bclust.errors import BclustError, Interrupted, SelectionError, UsageError

if TYPE_CHECKING:
    from bclust.build.results import Plan

app = typer.Typer(
    name="bclust",
    help="How do language models behave differently, and can I believe it?",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(calls_app, name="calls")


def main(arguments: list[str] | None = None) -> None:
    """Run a command; an error of ours becomes a message and an exit code, never a traceback."""
    from bclust.cli.console import Terminal

    try:
        app(arguments)
    except BclustError as error:
        Terminal().error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(Interrupted.exit_code)
    except BrokenPipeError:
        os._exit(0)  # the reader of our stdout went away
    except OSError as error:
        Terminal().error(_of_the_system(error))
        sys.exit(BclustError.exit_code)


def _of_the_system(error: OSError) -> BclustError:
    """A full disk, a missing folder, a file that may not be written: one sentence, with the place."""
    place = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes | os.PathLike) else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "make room, then the same command goes on; every answer that was stored stays" if full else None
    return BclustError(place + (error.strerror or f"{type(error).__name__}: {error}"), hint=hint)


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
    from bclust.build.building import Options

    manifest = read_manifest(project_dir, target, vars_)
    terminal = new_terminal(manifest, budget=max_cost, quiet=quiet, verbose=verbose)
    check_refresh(manifest, refresh_calls)
    selection = selection_of(manifest, select, exclude)
    run = new_run(manifest, sys.argv[1:])
    options = Options(full_refresh, no_upstream, fail_fast, max_calls, max_cost)

    def confirm(plan: Plan) -> bool:
        return confirmed(plan, manifest, yes=yes or max_cost is not None)

    with stoppable() as stop, building(manifest, offline=offline, refresh=refresh_calls or (), stop=stop) as session:
        try:
            run_build(session, selection, options, run, terminal.show, confirm)
        except BclustError as error:
            terminal.recap(run)
            if isinstance(error, Interrupted):
                error.hint = "go on with the same command: " + " ".join(["bclust", *sys.argv[1:]])
            raise
        finally:
            terminal.close()
    terminal.recap(run, next_commands=next_commands(run))
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
    from bclust.build.plan import make_plan

    manifest = read_manifest(project_dir, target, vars_)
    selection = selection_of(manifest, select, exclude)
    with reading(manifest) as session:
        made = make_plan(session, selection, full_refresh=full_refresh, no_upstream=no_upstream)
    new_terminal(manifest).plan(made, why=why)
    if exit_code and made.to_build:
        raise typer.Exit(1)


@app.command()
def test(
    select: Select = None, exclude: Exclude = None, target: Target = None, vars_: Vars = None,
    quiet: Quiet = False, verbose: Verbose = False, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """Run the unit tests of models, and the data tests over what is built. Never spends."""
    from bclust.build.building import run_data_test, unbuilt
    from bclust.build.results import Finished
    from bclust.build.unit_tests import run_unit_test

    manifest = read_manifest(project_dir, target, vars_)
    terminal = new_terminal(manifest, quiet=quiet, verbose=verbose)
    selection = selection_of(manifest, select, exclude)
    run = new_run(manifest, sys.argv[1:])
    data_tests = [t for t in manifest.data_tests if t.unique_id in selection.tests]
    unit_tests = [t for t in manifest.unit_tests if t.unique_id in selection.tests]
    with reading(manifest) as session:
        built = session.warehouse.tables()
        for unit_test in unit_tests:
            run.results.append(run_unit_test(unit_test, manifest))
            terminal.show(Finished(len(run.results), len(unit_tests) + len(data_tests), run.results[-1]))
        for data_test in data_tests:
            missing = next((n for n in data_test.depends_on if n not in built), None)
            run.results.append(unbuilt(data_test, missing) if missing else run_data_test(session, data_test))
            terminal.show(Finished(len(run.results), len(unit_tests) + len(data_tests), run.results[-1]))
    write_artifacts(manifest, run)
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
    from bclust.cli.console import print_text

    manifest = read_manifest(project_dir, target, vars_)
    selection = selection_of(manifest, select, exclude)
    nodes = [manifest.nodes[n] for n in manifest.graph.sorted(selection.nodes)]
    if output == "json":
        from bclust.printable import json_text

        entries = manifest.to_json({})
        known = entries["nodes"] | entries["sources"] | entries["unit_tests"]
        ids = [n.unique_id for n in nodes] + (sorted(selection.tests) if tests or not nodes else [])
        print_text("\n".join(json_text(known[i] | {"unique_id": i}) for i in ids))
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
    from bclust.cli.console import print_rows
    from bclust.project.literals import quote

    manifest = read_manifest(project_dir, target, None)
    name = manifest.node(node).name
    with readable(manifest.config, working=working) as warehouse:
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
    from bclust.cli.console import print_rows
    from bclust.warehouse.database import export

    if format_ == "parquet" and output is None:
        raise UsageError("parquet needs a file", hint="add -o FILE.parquet")
    manifest = read_manifest(project_dir, target, None)
    with readable(manifest.config, working=working) as warehouse:
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
    from bclust.build.state import fingerprint, read_records
    from bclust.cli.console import print_text
    from bclust.project.materializations import MATERIALIZATIONS

    manifest = read_manifest(project_dir, target, vars_)
    found = manifest.node(node)
    with reading(manifest) as session:
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

    from bclust.project.config import environment as environment_of
    from bclust.warehouse.shared import use_token

    manifest = read_manifest(project_dir, target, None)
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

    from bclust.cli.console import print_text

    if directory.exists() and any(directory.iterdir()):
        raise UsageError(f"{directory} is not empty", hint="name a new folder")
    package = Path(__file__).parent.parent
    starter = package / "starter" if (package / "starter").is_dir() else package.parent
    directory.mkdir(parents=True, exist_ok=True)
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in ("models", "udfs", "seeds", "reports", "tests/data", "tests/generic"):
        shutil.copytree(starter / name, directory / name, ignore=ignore)
    shutil.copyfile(starter / "bclust.yml", directory / "bclust.yml")
    (directory / ".gitignore").write_text("target/\n.bclust/\n.env\nwarehouse*.duckdb\n", encoding="utf-8")
    print_text(f"{directory} is ready.\nnext: cd {directory} && bclust build --select approvals")


@app.command()
def debug(target: Target = None, project_dir: ProjectDir = HERE) -> None:
    """Versions, keys present (never their values), the call store, who holds the warehouse, the budget."""
    import platform
    from importlib.metadata import version

    from bclust.cli.console import print_text
    from bclust.project.config import environment
    from bclust.warehouse.database import lock_holder
    from bclust.warehouse.shared import TOKEN

    manifest = read_manifest(project_dir, target, None)
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
    """Delete target/ and the links to what was published there, unless a build is running. The call store stays."""
    from bclust.cli.console import print_text
    from bclust.project.config import find_root
    from bclust.warehouse.database import delete_working_files

    root = find_root(project_dir)
    folder = (root / "target").resolve()
    links = [link for link in root.glob("*.duckdb") if link.is_symlink() and folder in link.resolve().parents]
    delete_working_files(root / "target")
    for link in links:
        link.unlink(missing_ok=True)
    print_text("target/ is deleted; stored answers are kept, so a build will not pay for them again")
