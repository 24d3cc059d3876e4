"""bclust.yml and the _*.yml files: read with file and line, unknown keys refused.

YAML comes through pyyaml; each mapping remembers where its keys stood.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml

from bclust.errors import Location, ProjectError, UsageError, did_you_mean

PROJECT_FILE = "bclust.yml"
SHARED = ("md:",)  # how the name of a database begins that is no file of ours


class Section(dict[str, Any]):
    """A mapping read from YAML that knows its file and the line of each key."""

    def __init__(self, path: Path, line: int) -> None:
        super().__init__()
        self.path = path
        self.line = line
        self.lines: dict[str, int] = {}

    def where(self, key: str | None = None) -> Location:
        return Location(self.path, self.lines.get(key, self.line) if key else self.line)

    def expect(self, keys: Iterable[str], what: str) -> None:
        """Refuse a key that is not one of ``keys``."""
        known = list(keys)
        for key in self:
            if key not in known:
                raise ProjectError(f"unknown key {key!r} in {what}", where=self.where(key), hint=did_you_mean(key, known))

    def typed(self, key: str, type_: type | tuple[type, ...], default: Any = None) -> Any:
        """The value of ``key``, which must be of that type."""
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, type_) or (isinstance(value, bool) and type_ in (int, float, (int, float))):
            name = " or ".join(t.__name__ for t in (type_ if isinstance(type_, tuple) else (type_,)))
            raise ProjectError(f"{key}: expected {_WORDS.get(name, name)}, found {value!r}", where=self.where(key))
        return value

    def section(self, key: str) -> Section:
        value = self.typed(key, Section)
        return value if value is not None else Section(self.path, self.line)

    def required(self, key: str, what: str) -> Any:
        if self.get(key) is None:
            raise ProjectError(f"{what} needs the key {key!r}", where=self.where())
        return self[key]


_WORDS = {
    "str": "text",
    "Section": "a mapping",
    "list": "a list",
    "int": "a whole number",
    "int or float": "a number",
    "bool": "true or false",
}


_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same, 30 times faster


class _Loader(_SafeLoader):  # type: ignore[misc, valid-type] # libyaml's, where PyYAML was built with it
    path: Path

    def construct_section(self, node: yaml.MappingNode) -> Section:
        section = Section(self.path, node.start_mark.line + 1)
        for key_node, value_node in node.value:
            key = self.construct_object(key_node, deep=True)
            where = Location(self.path, key_node.start_mark.line + 1)
            if not isinstance(key, str | int | float | bool):
                raise ProjectError(f"a key must be a word, not {key!r}", where=where)
            key = str(key)
            if key in section:
                raise ProjectError(f"{key!r} is set twice", where=where, hint=f"first in line {section.lines[key]}")
            section[key] = self.construct_object(value_node, deep=True)
            section.lines[key] = key_node.start_mark.line + 1
        return section


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.construct_section)


def read_yaml(path: Path) -> Section:
    """A YAML file as a Section. Raises ProjectError with file:line."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ProjectError(f"not UTF-8 (byte {error.start})", where=Location(path), hint="save the file as UTF-8") from error
    loader = _Loader(text)
    loader.path = path
    try:
        value = loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = Location(path, mark.line + 1, mark.column + 1) if mark else Location(path)
        raise ProjectError(f"not valid YAML: {error.problem}", where=where) from error
    finally:
        loader.dispose()
    if value is None:
        return Section(path, 1)
    if not isinstance(value, Section):
        raise ProjectError("expected `key: value` lines", where=Location(path, 1))
    return value


@dataclass(frozen=True)
class SourceConfig:
    """Files outside the tables: one record per line or row."""

    name: str
    files: tuple[str, ...]
    required: tuple[str, ...]
    where: Location


@dataclass(frozen=True)
class CallsConfig:
    """Where answers are kept, who executes calls, and above which price a build asks.

    ``ray_address``: auto (a cluster that runs on this machine), HOST:PORT, or None to start one here. ``ray_workers``: how many
    processes compute (None: as many as fit), each with so many CPUs and GPUs.
    """

    store: str = ".bclust/calls.sqlite"
    executor: str = "local"
    ray_address: str | None = None
    ray_workers: int | None = None
    ray_cpus_per_worker: float = 1
    ray_gpus_per_worker: float = 0
    confirm_over_usd: float = 1.0


@dataclass(frozen=True)
class ProjectConfig:
    """bclust.yml for one target."""

    root: Path
    name: str
    target: str
    targets: tuple[str, ...]
    warehouse: str
    calls: CallsConfig
    vars: Mapping[str, Any]
    sources: tuple[SourceConfig, ...]
    seeds: Mapping[str, tuple[list[Any], Location]]
    models: Mapping[str, Section]
    max_rejected: float
    select: tuple[str, ...]
    exclude: tuple[str, ...]
    reports: Mapping[str, Any]
    where: Location

    @property
    def working_path(self) -> Path:
        """The file that builds write."""
        return self.root / "target" / self.target / "build.duckdb"

    @property
    def shared(self) -> str | None:
        """The database that others share (md:NAME), where the warehouse is one."""
        return self.warehouse if self.warehouse.startswith(SHARED) else None

    @property
    def warehouse_path(self) -> Path:
        """A link to the newest published file: what people open, or, of a shared warehouse, the copy that stays here."""
        return self.working_path.with_name("warehouse.duckdb") if self.shared else self.root / self.warehouse

    @property
    def store_path(self) -> Path:
        return self.root / self.calls.store


TOP_KEYS = (
    "name",
    "default_target",
    "warehouse",
    "calls",
    "vars",
    "sources",
    "max_rejected",
    "seeds",
    "targets",
    "reports",
    "models",
    "select",
    "exclude",
)
CALLS_KEYS = tuple(field.name for field in fields(CallsConfig))
EXECUTORS = ("local", "ray")
TARGET_KEYS = ("vars", "seeds", "sources", "select", "exclude", "warehouse", "calls", "max_rejected", "reports", "description")


def find_root(start: Path) -> Path:
    """The nearest folder, from ``start`` upwards, that holds a bclust.yml."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / PROJECT_FILE).is_file():
            return folder
    raise UsageError(f"no {PROJECT_FILE} in {start} or above it", hint="make a project: bclust init my_project")


def read_config(root: Path, target: str | None = None, overrides: Mapping[str, Any] | None = None) -> ProjectConfig:
    """bclust.yml with one target's settings, and --vars over both."""
    top = read_yaml(root / PROJECT_FILE)
    top.expect(TOP_KEYS, PROJECT_FILE)
    targets = top.section("targets")
    default = str(top.typed("default_target", str) or next(iter(targets), "default"))
    chosen = target or default
    if chosen not in targets and (targets or chosen != "default"):
        raise UsageError(f"no target {chosen!r} in {PROJECT_FILE}", hint=did_you_mean(chosen, targets))
    own = targets.section(chosen)
    own.expect(TARGET_KEYS, f"target {chosen}")
    variables = _variables(top, own, overrides or {})
    calls = {**top.section("calls"), **own.section("calls")}
    _check_calls(top.section("calls"))
    _check_calls(own.section("calls"))
    return ProjectConfig(
        root=root,
        name=str(top.required("name", PROJECT_FILE)),
        target=chosen,
        targets=tuple(targets) or ("default",),
        warehouse=str(
            own.typed("warehouse", str) or _published_name(str(top.typed("warehouse", str, "warehouse.duckdb")), chosen, default)
        ),
        calls=replace(CallsConfig(), **calls),
        vars=variables,
        sources=_sources(own if own.get("sources") else top),
        seeds=_seeds(top.section("seeds"), own.section("seeds")),
        models={k: v for k, v in top.section("models").items() if isinstance(v, Section)},
        max_rejected=float(own.typed("max_rejected", (int, float), top.typed("max_rejected", (int, float), 0.01))),
        select=_words(own, "select") or _words(top, "select"),
        exclude=_words(own, "exclude") or _words(top, "exclude"),
        reports={**top.section("reports"), **own.section("reports")},
        where=Location(root / PROJECT_FILE),
    )


def _published_name(name: str, target: str, default: str) -> str:
    """The default target is published under the plain name, any other beside it: warehouse.full_run.duckdb, md:name_full_run."""
    if target == default:
        return name
    if name.startswith(SHARED):
        return f"{name}_{re.sub(r'[^A-Za-z0-9_]', '_', target)}"
    path = Path(name)
    return str(path.with_name(f"{path.stem}.{target}{path.suffix}"))


def _variables(top: Section, own: Section, overrides: Mapping[str, Any]) -> dict[str, Any]:
    base, changed = top.section("vars"), own.section("vars")
    for section in (changed, overrides):
        for key in section:
            if key not in base:
                where = section.where(key) if isinstance(section, Section) else None
                error = ProjectError if where else UsageError
                raise error(f"unknown variable {key!r}", where=where, hint=did_you_mean(key, base))
    return {**base, **changed, **overrides}


def _check_calls(section: Section) -> None:
    section.expect(CALLS_KEYS, "calls")
    section.typed("store", str)
    section.typed("confirm_over_usd", (int, float))
    executor = section.typed("executor", str, "local")
    if executor not in EXECUTORS:
        where = section.where("executor")
        raise ProjectError(f"unknown executor {executor!r}", where=where, hint=did_you_mean(executor, EXECUTORS))
    section.typed("ray_address", str)
    workers = section.typed("ray_workers", int, 1)
    cpus = section.typed("ray_cpus_per_worker", (int, float), 1)
    gpus = section.typed("ray_gpus_per_worker", (int, float), 0)
    for key, wrong in (("ray_workers", workers < 1), ("ray_cpus_per_worker", cpus <= 0), ("ray_gpus_per_worker", gpus < 0)):
        if wrong:
            raise ProjectError(f"{key}: {section[key]!r} is too few", where=section.where(key))


def _sources(section: Section) -> tuple[SourceConfig, ...]:
    found = []
    for entry in section.typed("sources", list, []):
        if not isinstance(entry, Section):
            raise ProjectError("a source is {name: ..., files: [...]}", where=section.where("sources"))
        entry.expect(("name", "files", "required", "description"), "source")
        files = entry.required("files", "a source")
        found.append(
            SourceConfig(
                str(entry.required("name", "a source")),
                tuple(str(f) for f in (files if isinstance(files, list) else [files])),
                tuple(str(k) for k in entry.typed("required", list, [])),
                entry.where(),
            )
        )
    return tuple(found)


def _seeds(top: Section, own: Section) -> dict[str, tuple[list[Any], Location]]:
    found = {}
    for section in (top, own):
        for name in section:
            rows = section.typed(name, list, [])
            for row in rows:
                if not isinstance(row, Section):
                    raise ProjectError(f"seed {name}: each row is a mapping {{column: value}}", where=section.where(name))
            found[name] = (rows, section.where(name))
    return found


def _words(section: Section, key: str) -> tuple[str, ...]:
    value = section.typed(key, (str, list), [])
    return tuple(value.split() if isinstance(value, str) else (str(v) for v in value))


def plain(value: Any) -> Any:
    """Sections as plain dicts, all the way down."""
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return value


def canonical_json(value: Any) -> str:
    """One text for equal values."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def parse_vars(text: str | None) -> dict[str, Any]:
    """--vars: a YAML (or JSON) mapping."""
    if not text:
        return {}
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"--vars is not valid YAML: {text}", hint="write --vars '{n_statements: 100}'") from error
    if not isinstance(value, dict):
        raise UsageError("--vars must be a mapping", hint="write --vars '{n_statements: 100}'")
    return {str(k): v for k, v in value.items()}


def environment(root: Path) -> dict[str, str]:
    """The environment, with what a .env beside bclust.yml adds to it."""
    found = dict(os.environ)
    path = root / ".env"
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and not name.startswith("#"):
                found.setdefault(name.strip(), value.strip().strip("'\""))
    return found
