"""An open project: its warehouse with the project's functions in it, its call store and the desk that plans calls."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any, Self

from bclust.calls.desk import CallDesk, CallStore
from bclust.warehouse.arrow_functions import arrow_function
from bclust.warehouse.database import Warehouse
from bclust.warehouse.sources import files_hash, read_source

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from bclust.calls.ray_executor import RayExecutor
    from bclust.functions import Context
    from bclust.project.manifest import Manifest
    from bclust.project.nodes import Node
    from bclust.project.registry import Function
    from bclust.warehouse.sources import SourceRows


class Session:
    """What plan, build and tests work with. Close it after use."""

    def __init__(
        self, manifest: Manifest, *, warehouse: Path | None, read_only: bool = False, offline: bool = False,
        refresh: Collection[str] = (), stop: threading.Event | None = None,
    ) -> None:  # fmt: skip
        self.manifest = manifest
        self.stop = stop or threading.Event()
        self.offline = offline
        self.refresh = frozenset(refresh)
        self.context = manifest.context
        self.executor = _executor(manifest, self.context) if not read_only else None
        self.store = CallStore(manifest.config.store_path, read_only=read_only)
        asked_anew = self.refresh if not (read_only or offline) else ()
        self._refreshes = {function: self.store.begin_refresh(function) for function in sorted(asked_anew)}
        self.warehouse = Warehouse(warehouse, read_only=read_only, stop=self.stop)
        self._sources: dict[str, tuple[str, SourceRows]] = {}
        self.desk = self.new_desk()
        self._register()
        self.warehouse.set_variables(manifest.config.vars)

    def new_desk(self) -> CallDesk:
        """A desk with no counts yet; what SQL calls from now on goes through it."""
        since = {f: begun for f, (begun, _) in self._refreshes.items()} or self.refresh
        self.desk = CallDesk(self.store, self.context, offline=self.offline, refresh=since, executor=self.executor)
        self._look_ups: dict[str, Callable[..., Any]] = {}
        return self.desk

    def resumed(self) -> list[str]:
        """Which refreshes go on that were begun before, in words."""
        return [
            f"asking {function} again was begun at {_when(begun)} and goes on: {kept:,} answers since then are kept"
            for function, (begun, kept) in self._refreshes.items()
            if kept
        ]

    def end_refresh(self) -> None:
        """All that was to be asked anew is answered."""
        for function in self._refreshes:
            self.store.end_refresh(function)

    def read_source(self, node: Node, *, again: bool = False) -> SourceRows:
        """The records of a source. ``again``: they will be asked for once more, and are not read twice unless a file changed."""
        now = files_hash(self.manifest.config.root, node)
        known, rows = self._sources.pop(node.name, ("", None))
        if rows is None or known != now:
            rows = read_source(self.manifest.config.root, node)
        if again:
            self._sources[node.name] = (now, rows)
        return rows

    def _register(self) -> None:
        functions = self.manifest.functions.values()
        for function in (f for f in functions if f.kind != "macro"):
            self.warehouse.register(function, self._arrow(function))
        for function in macros_in_order(self.manifest.functions):
            self.warehouse.register(function, None)

    def _arrow(self, function: Function) -> Callable[..., Any]:
        if function.kind != "call":
            return arrow_function(function, self.context, self.warehouse)

        def look_up(*columns: Any) -> Any:
            if function.name not in self._look_ups:
                self._look_ups[function.name] = self.desk.arrow_function(function)
            return self._look_ups[function.name](*columns)

        return look_up

    def close(self) -> None:
        self.warehouse.close()
        self.store.close()
        if self.executor:
            self.executor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _when(microseconds: int) -> str:
    return f"{dt.datetime.fromtimestamp(microseconds / 1e6, dt.UTC):%Y-%m-%d %H:%M} UTC"


def _executor(manifest: Manifest, context: Context) -> RayExecutor | None:
    if manifest.config.calls.executor != "ray":
        return None
    from bclust.calls.ray_executor import RayExecutor

    return RayExecutor(manifest.config.calls, context)


def macros_in_order(functions: Mapping[str, Function]) -> list[Function]:
    """Macros so that each comes after those it calls."""
    macros = {name: f for name, f in functions.items() if f.kind == "macro"}
    ordered: dict[str, Function] = {}

    def visit(name: str) -> None:
        for other in macros:
            if other != name and other not in ordered and f"{other}(" in (macros[name].macro_sql or ""):
                visit(other)
        ordered[name] = macros[name]

    for name in macros:
        if name not in ordered:
            visit(name)
    return list(ordered.values())
