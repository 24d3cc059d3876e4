"""The nodes of a project: small frozen data, nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from bclust.errors import Location

SOURCE, SEED, MODEL = "source", "seed", "model"
SINGULAR = "singular"  # the kind of test that is declared by its file alone
TABLE, VIEW, INCREMENTAL = "table", "view", "incremental"

# Which config keys change what a table holds; the others never make a node stale.
DATA_CONFIG = ("materialized", "file", "rest", "unique_key")


@dataclass(frozen=True)
class Column:
    """What the yml says of a column."""

    name: str
    description: str = ""
    data_type: str | None = None


@dataclass(frozen=True)
class Node:
    """One table of the warehouse: a source, a seed or a model."""

    unique_id: str
    name: str
    kind: str
    where: Location
    description: str = ""
    columns: tuple[Column, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    depends_on: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    paid: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    sql: str = ""
    canonical: str = ""
    files: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    rows: tuple[Mapping[str, Any], ...] | None = None

    @property
    def path(self) -> Path:
        return self.where.path

    @property
    def materialized(self) -> str:
        return str(self.config.get("materialized", TABLE))

    @property
    def relation(self) -> str:
        """What it is for DuckDB: a table or a view."""
        return VIEW if self.materialized == VIEW else TABLE

    @property
    def grows_with(self) -> tuple[str, ...]:
        """Inputs whose added rows leave the rest of this table as it is."""
        return _names(self.config.get("grows_with"))

    @property
    def unique_key(self) -> tuple[str, ...]:
        """The columns that tell which rows of an incremental table are there already."""
        return _names(self.config.get("unique_key"))

    @property
    def declared_types(self) -> dict[str, str]:
        return {c.name: c.data_type for c in self.columns if c.data_type}


def _names(value: Any) -> tuple[str, ...]:
    """One name or a list of names, as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value or ())


@dataclass(frozen=True)
class DataTest:
    """A query that returns the rows that are wrong."""

    unique_id: str
    name: str
    test: str  # the generic test's name, or SINGULAR
    node: str
    where: Location
    column: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    severity: str = "error"
    filter: str | None = None
    depends_on: tuple[str, ...] = ()
    sql: str = ""
    file: Location | None = None  # that holds ``sql``

    @property
    def is_defined_by_project(self) -> bool:
        """Whether it is a generic test of the project: its rows may say how bad they are."""
        return bool(self.sql) and self.test != SINGULAR


@dataclass(frozen=True)
class UnitTest:
    """Given these rows, the model's SQL gives those."""

    unique_id: str
    name: str
    model: str
    where: Location
    given: tuple[Mapping[str, Any], ...] = ()
    functions: Mapping[str, Any] = field(default_factory=dict)
    vars: Mapping[str, Any] = field(default_factory=dict)
    expect: Sequence[Mapping[str, Any]] = ()
