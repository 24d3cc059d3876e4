"""Options and steps that commands share."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bclust.errors import Interrupted, UsageError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Iterator, Sequence

    from bclust.build.building import Options
    from bclust.build.results import Event, Plan, Run
    from bclust.build.session import Session
    from bclust.cli.console import Terminal
    from bclust.project.config import ProjectConfig
    from bclust.project.manifest import Manifest
    from bclust.project.selector import Facts, Selection
    from bclust.warehouse.database import Warehouse

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


def new_terminal(manifest: Manifest, *, budget: float | None = None, quiet: bool = False, verbose: bool = False) -> Terminal:
    from bclust.cli.console import Terminal

    return Terminal(f"{manifest.config.name} · target {manifest.config.target}", budget=budget, quiet=quiet, verbose=verbose)


def read_manifest(project_dir: Path, target: str | None, vars_: str | None) -> Manifest:
    from bclust.project.config import find_root, parse_vars
    from bclust.project.reading import read_project

    return read_project(find_root(project_dir), target, parse_vars(vars_))


def selection_of(manifest: Manifest, include: list[str] | None, exclude: list[str] | None) -> Selection:
    from bclust.project.selector import select

    config = manifest.config
    return select(manifest, include or config.select, [*(exclude or ()), *(() if include else config.exclude)], facts(manifest))


def readable(config: ProjectConfig, *, working: bool) -> Warehouse:
    """What is published, or the working file."""
    from bclust.project.config import environment
    from bclust.warehouse.database import open_published
    from bclust.warehouse.shared import open_shared

    if config.shared and not working:
        return open_shared(config.shared, environment(config.root))
    return open_published(config.working_path if working else config.warehouse_path)


def facts(manifest: Manifest) -> Facts:
    """What state: and result: selectors may ask; read only when they do."""
    from bclust.project.selector import Facts

    def states() -> dict[str, set[str]]:
        from bclust.build.plan import Wanted, stale_nodes
        from bclust.build.state import read_records

        with reading(manifest) as session:
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
def reading(manifest: Manifest) -> Iterator[Any]:
    """A session that writes nothing: over the working file, or what is published while a build holds it."""
    from bclust.build.session import Session
    from bclust.warehouse.database import lock_holder

    path: Path | None = manifest.config.working_path
    if lock_holder(manifest.config.working_path.with_suffix(".lock")):
        path = manifest.config.warehouse_path.resolve()
    with Session(manifest, warehouse=path if path and path.is_file() else None, read_only=True) as session:
        yield session


@contextlib.contextmanager
def building(manifest: Manifest, *, offline: bool, refresh: Collection[str], stop: threading.Event) -> Iterator[Session]:
    """A session over the working file, which no other build can have meanwhile."""
    from bclust.build.session import Session
    from bclust.warehouse.database import build_lock

    path = manifest.config.working_path
    with (
        build_lock(path.with_suffix(".lock")),
        Session(manifest, warehouse=path, offline=offline, refresh=refresh, stop=stop) as session,
    ):
        yield session


def run_build(
    session: Session, selection: Selection, options: Options, run: Run,
    show: Callable[[Event], None], confirm: Callable[[Plan], bool],
) -> None:  # fmt: skip
    """Build, and write down how it went, whatever happens. Raises what ``Build.execute`` does."""
    from bclust.build.building import Build
    from bclust.build.results import Note

    for note in session.resumed():
        show(Note(note))
    try:
        Build(session, selection, options, run, show, confirm).execute()
        if run.ok and not run.totals.calls_failed:
            session.end_refresh()
    finally:
        write_artifacts(session.manifest, run)


@contextlib.contextmanager
def stoppable(*, for_good: bool = True) -> Iterator[Any]:
    """Ctrl-C sets an event: no new call is made, those in flight are stored. A second one ends the process, if ``for_good``.

    To be told to end (SIGTERM), or that the terminal is gone (SIGHUP, unless ignored, as under ``nohup``), is the same.
    """
    import signal
    import threading

    stop = threading.Event()

    def handle(*_: object) -> None:
        if stop.is_set() and for_good:
            os._exit(Interrupted.exit_code)
        stop.set()
        with contextlib.suppress(OSError):  # the terminal may be gone
            again = " (Ctrl-C again ends at once)" if for_good else ""
            sys.stderr.write(f"\nstopping: calls in flight are being stored{again}\n")

    asked = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        asked.remove(signal.SIGHUP)
    before = {s: signal.signal(s, handle) for s in asked}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def confirmed(plan: Plan, manifest: Manifest, *, yes: bool) -> bool:
    """Ask where it may cost more than the configured price; without a terminal only -y or --max-cost will do."""
    if yes or not plan.exceeds(manifest.config.calls.confirm_over_usd):
        return True
    if not sys.stdin.isatty():
        return False
    from bclust.cli.console import money

    return typer.confirm(f"spend about {money(plan.cost_usd)}, at most {money(plan.most_usd)}?", err=True)


def check_refresh(manifest: Manifest, names: list[str] | None) -> None:
    from bclust.errors import did_you_mean

    paid = [f.name for f in manifest.functions.values() if f.kind == "call"]
    for name in names or ():
        if name not in paid:
            raise UsageError(f"--refresh-calls: no paid function {name!r}", hint=did_you_mean(name, paid))


def new_run(manifest: Manifest, arguments: Sequence[str]) -> Run:
    """A run that was asked for by these words."""
    import uuid

    from bclust.build.results import Run

    which = arguments[0] if arguments else ""
    return Run(str(uuid.uuid4()), {"which": which, "argv": list(arguments), "target": manifest.config.target})


def write_artifacts(manifest: Manifest, run: Run) -> None:
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


def next_commands(run: Run) -> list[str]:
    if not run.ok:
        return ["mend it, then the same command builds only what is left", "bclust build -s result:error+"]
    failed = run.totals.calls_failed
    again = [f"bclust build again asks only for the {failed} that failed"] if failed else []
    built = [r.name for r in run.results if r.resource_type == "model"]
    return ["bclust report", f'bclust sql "from {built[-1]}"' if built else "bclust ls", *again]
