"""``bclust calls``: looking at the call store, and carrying answers from one to another."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated, Any, Literal

import typer

from bclust.cli.steps import HERE, ProjectDir, Target, read_manifest
from bclust.errors import UsageError

calls_app = typer.Typer(help="The call store: every answer that was ever paid for.", no_args_is_help=True, rich_markup_mode=None)


@calls_app.command()
def stats(
    format_: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
    target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """What was paid: answers, tokens and cost per function and language model; and the questions that wait in open batches."""
    from bclust.calls.desk import BatchRecords, CallStore
    from bclust.cli.console import print_rows

    store = CallStore(read_manifest(project_dir, target, None).config.store_path, read_only=True)
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
def verify(target: Target = None, project_dir: ProjectDir = HERE) -> None:
    """Read all of the store and say whether it is whole: each page, each answer against its checksum. Exit code 1 if not."""
    from bclust.calls.desk import CallStore
    from bclust.cli.console import print_text

    path = read_manifest(project_dir, target, None).config.store_path
    with CallStore(path, read_only=True) as store:
        found = store.check()
    if not path.exists():
        print_text(f"there is no call store yet at {path}")
        return
    old = f"; {found['unchecked']:,} of the answers are from an earlier version and have no checksum" * bool(found["unchecked"])
    print_text(f"the call store {path} is whole: {found['answers']:,} answers and {found['errors']:,} errors were read{old}")


@calls_app.command()
def batches(
    format_: Annotated[Literal["table", "csv", "json"], typer.Option("--format")] = "table",
    target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """The open batches: submitted, and not collected yet. A build collects those that it needs."""
    from bclust.calls.desk import BatchRecords, CallStore
    from bclust.cli.console import print_rows

    store = CallStore(read_manifest(project_dir, target, None).config.store_path, read_only=True)
    print_rows(BatchRecords(store).listed(), format_)
    store.close()


@calls_app.command(name="forget-batch")
def forget_batch(
    batch: Annotated[str, typer.Argument(help="Its name, or the server's: bclust calls batches")],
    target: Target = None, project_dir: ProjectDir = HERE,
) -> None:  # fmt: skip
    """Give up an open batch that no server will answer: its questions are new ones again, and are paid again."""
    from bclust.calls.desk import BatchRecords, CallStore
    from bclust.cli.console import print_text

    with CallStore(read_manifest(project_dir, target, None).config.store_path) as store:
        questions = BatchRecords(store).forget(batch)
    print_text(f"{questions:,} questions of {batch} are new ones again; should the server answer them yet, that is lost")


@calls_app.command(name="export")
def export_calls(
    path: Annotated[Path, typer.Argument(help="FILE.jsonl or FILE.parquet")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    target: Target = None,
    project_dir: ProjectDir = HERE,
) -> None:
    """Write all stored answers to a file, so that others can rebuild with --offline."""
    from bclust.calls.desk import CallStore
    from bclust.cli.console import print_text

    store = CallStore(read_manifest(project_dir, target, None).config.store_path, read_only=True)
    written = store.export(path, force=force)
    print_text(f"{written['answers']:,} answers, {written['errors']:,} errors -> {path}")
    store.close()


@calls_app.command(name="import")
def import_calls(
    path: Annotated[Path, typer.Argument(help="FILE.jsonl or FILE.parquet")],
    target: Target = None,
    project_dir: ProjectDir = HERE,
) -> None:
    """Add answers from a file; those already stored stay as they are."""
    from bclust.calls.desk import CallStore, answer_kind
    from bclust.cli.console import print_text

    if not path.is_file():
        raise UsageError(f"no file {path}")
    manifest = read_manifest(project_dir, target, None)
    functions = {name: f.signature.returns for name, f in manifest.functions.items() if f.kind == "call" and f.signature}
    with CallStore(manifest.config.store_path) as store:
        added = store.import_(path, lambda name: answer_kind(functions[name]) if name in functions else None)
    print_text(f"{added['answers']:,} answers and {added['errors']:,} errors added, {added['known']:,} were known already")
