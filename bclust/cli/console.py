"""All terminal output: progress and words on stderr, data on stdout. Live lines on a terminal, plain ones elsewhere."""

from __future__ import annotations

import csv
import sys
import time
from typing import TYPE_CHECKING, Any

from rich import markup
from rich.console import Console
from rich.table import Table

from bclust.build.results import (
    CallCount,
    Calling,
    Event,
    Finished,
    NodePlan,
    Note,
    Plan,
    Planned,
    Result,
    Run,
    Started,
    Status,
    totals,
)
from bclust.printable import json_text, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.live import Live

    from bclust.errors import BclustError

_STYLE = {
    Status.SUCCESS: ("OK", "green"), Status.PASS: ("PASS", "green"), Status.REUSED: ("REUSED", "dim"),
    Status.PARTIAL: ("PARTIAL", "yellow"), Status.WARN: ("WARN", "yellow"), Status.SKIPPED: ("SKIP", "yellow"),
    Status.ERROR: ("ERROR", "red"), Status.FAIL: ("FAIL", "red"),
}  # fmt: skip


_SLOW = 10.0  # calls a second, below which the speed is shown more precisely, and in tokens, too
_SECONDS_BETWEEN_LINES = 5.0  # about what is waited for, where there is no terminal


def escape(text: str) -> str:
    """A text for rich, in which nothing is markup and nothing steers the terminal."""
    return markup.escape(printable(text))


class Terminal:
    """Prints events. ``quiet`` keeps only warnings, errors and the last line; ``verbose`` adds passing tests and reasons."""

    def __init__(self, title: str = "", *, budget: float | None = None, quiet: bool = False, verbose: bool = False) -> None:
        self.title = title
        self.budget = budget
        self.err = Console(stderr=True, soft_wrap=True, highlight=False)
        self.quiet = quiet
        self.verbose = verbose
        self._live: Live | None = None
        self._lanes: dict[str, Any] = {}
        self._printed: dict[str, int] = {}
        self._waited: dict[str, tuple[str, float]] = {}
        self._remarked: set[tuple[str, str]] = set()
        self._node = ""

    # --- a build -----------------------------------------------------------------------------------------------

    def show(self, event: Event) -> None:
        """Print one event."""
        if isinstance(event, Calling):
            self._calling(event)
        elif isinstance(event, Started):
            self._node = event.name
        elif isinstance(event, Finished):
            self._stop_live()
            self._finished(event)
        elif isinstance(event, Note):
            self._stop_live()
            self._say(
                f"[yellow]warning:[/] {escape(event.text)}" if event.level == "warn" else escape(event.text),
                always=event.level == "warn",
            )
        elif isinstance(event, Planned):
            self._header(event.plan)

    def _header(self, plan: Plan) -> None:
        """One line: what will happen and what it will cost."""
        build = len(plan.to_build)
        parts = [self.title, f"{len(plan.nodes)} nodes: {len(plan.nodes) - build} unchanged, {build} to build"]
        parts.append(f"{plan.new:,} new calls, {plan.stored:,} stored")
        if plan.new:
            parts.append("est. " + money(plan.most_usd) + (f" of {money(self.budget)}" if self.budget is not None else ""))
        if plan.waiting:
            parts.append(f"{plan.waiting:,} wait in open batches")
        self._say("[bold]" + escape(" · ".join(parts)) + "[/]")
        for node in plan.nodes:
            if node.waits_for:
                self._say(f"  [dim]{escape(_waiting(node))}[/]")

    def _finished(self, event: Finished) -> None:
        r = event.result
        is_test = r.resource_type in ("test", "unit_test")
        quiet_test = is_test and r.status in (Status.PASS, Status.REUSED)
        if (quiet_test or r.status is Status.REUSED) and not self.verbose and (is_test or self.quiet):
            return
        word, style = _STYLE[r.status]
        kind = {"test": "test ", "unit_test": "unit test ", "model": ""}.get(r.resource_type, f"{r.resource_type} ")
        what = f"{kind}{r.name}" + (f" on {r.node}" if r.resource_type == "test" else "")
        facts = [
            f"{r.rows:,} rows" if r.rows is not None else "",
            _calls(r.calls),
            duration(r.seconds) if r.seconds >= 0.05 else "",
        ]
        facts.append(r.message if r.status is Status.SKIPPED or (r.message and self.verbose and not r.failed) else "")
        if r.status in (Status.PARTIAL, Status.WARN):
            facts.append(r.message.split("\n")[0])
        index = f"{event.index:>{len(str(event.total))}}/{event.total}"
        self._say(
            f"{index} [{style}]{word:<7}[/] {escape(what):<34} [dim]{escape('  '.join(f for f in facts if f))}[/]",
            always=r.status is not Status.REUSED and not quiet_test,
        )

    def _calling(self, event: Calling) -> None:
        progress = event.progress
        if progress.remark and (self._node, progress.lane) not in self._remarked:
            self._remarked.add((self._node, progress.lane))
            self._stop_live()
            self._say(f"[yellow]warning:[/] {escape(f'{self._node}: {progress.lane}: {progress.remark}')}", always=True)
        self._lanes[f"{progress.function} {progress.lane} {bool(progress.open_batches)}"] = progress
        if not self.err.is_terminal:
            self._plain_progress(progress)
            return
        if self._live is None:
            from rich.live import Live

            self._live = Live(console=self.err, refresh_per_second=8, transient=True)
            self._live.start()
        self._live.update(_progress_table(self._node, self._lanes.values()))

    def _plain_progress(self, p: Any) -> None:
        """A line every 10 %, and one when something else is waited for."""
        key = f"{self._node} {p.function} {p.lane}"
        waiting = "; ".join(part for part in (_batches(p), p.note, p.asked_elsewhere) if part)
        said, when = self._waited.get(key, ("", 0.0))
        if waiting and waiting != said and time.monotonic() - when > _SECONDS_BETWEEN_LINES:
            self._waited[key] = (waiting, time.monotonic())
            self._say(escape(f"      {self._node}  {p.lane}  {waiting}"))
        tenth = 10 * p.done // p.total if p.total else 10
        if tenth > self._printed.get(key, 0):
            self._printed[key] = tenth
            self._say(escape(f"      {self._node}  {p.lane}  {p.done:,}/{p.total:,}  {_rate(p)}"))

    def _stop_live(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
        self._lanes.clear()

    def close(self) -> None:
        """Take the live lines away."""
        self._stop_live()

    def recap(self, run: Run, *, next_commands: Sequence[str] = ()) -> None:
        """What went wrong, where, and the last line."""
        self._stop_live()
        for r in run.results:
            if r.failed or r.status in (Status.WARN, Status.PARTIAL):
                self._problem(r)
        t = totals(run.results)
        counts = f"PASS={t.passed} WARN={t.warned} ERROR={t.errors} SKIP={t.skipped} REUSED={t.reused} TOTAL={t.total}"
        calls = f"calls {t.calls_new:,} new, {t.calls_cached:,} cached, {t.calls_failed:,} failed"
        self.err.print(f"[bold]Done.[/] {counts} · {calls} · {money(t.cost_usd)} · {duration(run.elapsed)}")
        if next_commands and not self.quiet:
            self.err.print("[dim]next:[/] " + " · ".join(escape(c) for c in next_commands))

    def _problem(self, r: Result) -> None:
        word, style = _STYLE[r.status]
        place = f"{r.where}: " if r.where and r.failed else ""
        self.err.print(f"[{style}]{word}[/] {escape(r.name)}: {escape(place + r.message)}")
        if r.hint:
            self.err.print(f"  [bold]{escape(r.hint)}[/]")

    def _say(self, text: str, *, always: bool = False) -> None:
        if always or not self.quiet:
            self.err.print(text)

    # --- a plan ------------------------------------------------------------------------------------------------

    def plan(self, plan: Plan, *, why: bool) -> None:
        """The plan on stdout: a line per node, then one per language model."""
        out = Console(soft_wrap=True, highlight=False)
        for node in plan.nodes:
            mark, style = ("=", "dim") if node.action == "reuse" else ("~", "yellow")
            notes = [f"required by {node.required_by}"] if node.required_by and node.action == "build" else []
            if node.reasons:
                notes.insert(0, "; ".join(node.reasons) if why else node.reasons[0].split(":")[0])
            if node.action == "reuse" and not why:
                continue
            out.print(f"[{style}]{mark} {escape(node.name):<32}[/] {escape(' · '.join(notes) or 'unchanged')}")
            for c in node.calls:
                waiting = f", {c.waiting:,} wait in open batches (paid already)" if c.waiting else ""
                counted = f"{c.new:,} new, {c.cached:,} stored{waiting}"
                out.print(f"    {escape(c.function)} {escape(c.lane):<24} {counted}" + _tokens(c))
            if node.waits_for:
                out.print(f"    [dim]{escape(_waiting(node))}[/]")
        unchanged = len(plan.nodes) - len(plan.to_build)
        for note in plan.notes:
            out.print(escape(note))
        if plan.waiting:
            out.print(f"{plan.waiting:,} questions wait in open batches; a build collects them and pays nothing for them again")
        if plan.cost_usd != plan.most_usd:
            out.print(
                f"likely about {money(plan.cost_usd)}; est. is the most: each answer of full length, and a token for each byte"
            )
        if plan.known_later != 0:
            later = "calls" if plan.known_later is None else f"at most {plan.known_later:,} calls"
            out.print(f"not in it: {later} that are known later; a build asks before these pass confirm_over_usd")
        counts = f"{len(plan.to_build)} to build, {unchanged} unchanged"
        out.print(f"[bold]Plan:[/] {counts} · {plan.new:,} new calls, {plan.stored:,} stored · est. {money(plan.most_usd)}")

    # --- errors ------------------------------------------------------------------------------------------------

    def error(self, error: BclustError) -> None:
        """What happened, where, and what to do."""
        self._stop_live()
        place = f"{error.where}: " if error.where else ""
        self.err.print(f"[red]error:[/] {escape(place + error.message)}")
        if error.hint:
            self.err.print(f"  [bold]{escape(error.hint)}[/]")


def _progress_table(node: str, lanes: Iterable[Any]) -> Table:
    from rich.progress_bar import ProgressBar

    table = Table.grid(padding=(0, 2))
    for p in lanes:
        table.add_row(
            f"     [bold]RUN[/] {escape(node)}",
            escape(p.lane),
            ProgressBar(p.total or 1, p.done, width=16),
            f"{p.done:,}/{p.total:,}",
            escape(_rate(p)),
        )
    return table


def _batches(p: Any, how: str = "; Ctrl-C stops waiting, the same command collects the answers later") -> str:
    """What waits at a server, and how to go away meanwhile."""
    if not p.open_batches:
        return ""
    batches, wait = ("a batch", "waits") if p.open_batches == 1 else (f"{p.open_batches:,} batches", "wait")
    return f"{batches} with {p.questions_there:,} questions {wait} at the server{how}"


def _rate(p: Any) -> str:
    if p.open_batches or p.note:
        parts = [
            _batches(p, " (Ctrl-C: collect later)"),
            f"{p.answered_there:,} answered there" if p.answered_there else "",
            p.note,
        ]
    else:
        parts = [_pace(p.per_second), f"{p.tokens_per_second:,.0f} tok/s" if p.tokens_per_second and p.per_second < _SLOW else ""]
    parts.append(p.asked_elsewhere)
    if p.eta_s is not None and p.done < p.total:
        parts.append(f"{duration(p.eta_s)} left")
    parts += [_amount(p.tokens), "" if p.cost_usd == 0 else money(p.cost_usd)]
    parts += [f"{p.retries} retries" if p.retries else "", f"{p.failed} failed" if p.failed else ""]
    return "  ".join(part for part in parts if part)


def _pace(per_second: float) -> str:
    """
    >>> _pace(546.2), _pace(3.14), _pace(0.05), _pace(0)
    ('546/s', '3.1/s', '3.0/min', '')
    """
    if per_second >= _SLOW:
        return f"{per_second:,.0f}/s"
    return f"{per_second:.1f}/s" if per_second >= 1 else f"{60 * per_second:.1f}/min" if per_second else ""


def _amount(tokens: int) -> str:
    """
    >>> _amount(812), _amount(12_340), _amount(1_234_000), _amount(0)
    ('812 tok', '12.3k tok', '1.23M tok', '')
    """
    if tokens >= 1e6:
        return f"{tokens / 1e6:.2f}M tok"
    return f"{tokens / 1e3:.1f}k tok" if tokens >= 1e4 else f"{tokens:,} tok" if tokens else ""


def _calls(calls: Sequence[CallCount]) -> str:
    new, cached = sum(c.new for c in calls), sum(c.cached for c in calls)
    if not new and not cached:
        return ""
    costs = [c.cost_usd for c in calls if c.new]
    cost = None if None in costs else sum(c for c in costs if c)
    return f"{new:,} calls, {cached:,} stored" + ("" if cost == 0 else f"  {money(cost)}")


def _waiting(node: NodePlan) -> str:
    bound = f"at most {node.at_most:,} calls; " if node.at_most is not None else ""
    if node.waits_for == node.name:
        return f"{node.name}: {bound}known when its inputs are built"
    return f"{node.name}: {bound}calls are known when {node.waits_for} is built"


def _tokens(c: CallCount) -> str:
    if not c.new:
        return ""
    return f"   ≈ {c.tokens / 1e3:,.1f}k tokens   ≈ {money(c.cost_usd)}" + (f"   {c.needs}" if c.needs else "")


def money(usd: float | None) -> str:
    """US dollars; unknown is said, never guessed.

    >>> money(1.234), money(0.0012), money(None)
    ('$1.23', '$0.0012', 'unknown cost')
    """
    if usd is None:
        return "unknown cost"
    return f"${usd:,.2f}" if usd == 0 or usd >= 0.01 else f"${usd:.2g}"


def duration(seconds: float) -> str:
    """Seconds for people.

    >>> duration(0.4), duration(75), duration(3700)
    ('0.4s', '1m 15s', '1h 1m')
    """
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m {rest}s" if minutes < 60 else f"{minutes // 60}h {minutes % 60}m"


# --- data on stdout --------------------------------------------------------------------------------------------


def print_rows(rows: Sequence[Mapping[str, Any]], format_: str) -> None:
    """Rows as a table, CSV or JSON."""
    if format_ == "json":
        sys.stdout.write(json_text([dict(r) for r in rows], indent=1) + "\n")
    elif format_ == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        if rows:
            writer.writerow(map(printable, rows[0].keys()))
        writer.writerows([printable(str(v)) if v is not None else None for v in row.values()] for row in rows)
    else:
        _print_table(rows)


def _print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """A table where it fits; on a terminal too narrow for it, one block per row; all on one line each in a pipe."""
    names = list(rows[0]) if rows else ["no rows"]
    cells = [[_cell(v) for v in row.values()] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in cells)]) for i, name in enumerate(names)]
    out = Console(highlight=False)
    if out.is_terminal and sum(widths) + 3 * len(widths) > out.width:
        margin = max(len(name) for name in names)
        for number, row in enumerate(cells, start=1):
            out.print(f"[dim]row {number}[/]")
            for name, value in zip(names, row, strict=True):
                out.print(f"  [bold]{escape(name):<{margin}}[/]  {escape(value)}", soft_wrap=True)
        return
    numeric = [bool(rows) and all(isinstance(r[n], int | float) or r[n] is None for r in rows) for n in names]
    lines = [names, ["-" * width for width in widths], *cells]
    for number, line in enumerate(lines):
        padded = [v.rjust(w) if right else v.ljust(w) for v, w, right in zip(line, widths, numeric, strict=True)]
        text = escape("  ".join(padded).rstrip())
        out.print(f"[bold]{text}[/]" if number == 0 else text, soft_wrap=True)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    text = " ".join(printable(str(value)).split())
    return text if len(text) <= 200 else text[:197] + "..."


def print_text(text: str) -> None:
    """Plain text on stdout."""
    sys.stdout.write(printable(text).rstrip("\n") + "\n")
