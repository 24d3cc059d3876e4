"""Everything that bclust raises on purpose.

BclustError
├── ProjectError      a file of the project is wrong: says where, and what to write instead   (exit 2)
├── UsageError        a command was called in a way that cannot work                           (exit 2)
├── SelectionError    nothing was selected                                                     (exit 1)
├── BudgetError       the build would cost more than was allowed                               (exit 1)
├── WarehouseError    the warehouse cannot be opened, or a statement failed                    (exit 1)
├── StoreError        the call store is damaged or cannot be used                              (exit 1)
├── FunctionError     a function from udfs/ cannot do what SQL asked of it                     (exit 1)
└── Interrupted       Ctrl-C: what was answered is stored                                      (exit 130)

The library raises; only the room cli prints an error or exits.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True)
class Location:
    """A place in a file; line and column count from 1."""

    path: Path
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [str(self.path), self.line, self.column]
        return ":".join(str(part) for part in parts if part is not None)


class BclustError(Exception):
    """An error that a user can act on: what happened, where, and what to do next."""

    exit_code = 1

    def __init__(self, message: str, *, where: Location | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class ProjectError(BclustError):
    """A file of the project is wrong."""

    exit_code = 2


class UsageError(BclustError):
    """A command was called in a way that cannot work."""

    exit_code = 2


class SelectionError(BclustError):
    """A selector matched nothing."""


class BudgetError(BclustError):
    """The build would spend more than was allowed."""


class WarehouseError(BclustError):
    """The warehouse cannot be opened or refused a statement."""


class StoreError(BclustError):
    """The call store cannot be trusted or used."""


class FunctionError(BclustError):
    """A function of the project refused its arguments or its settings."""


class Interrupted(BclustError):
    """Ctrl-C."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest known word, or lists what there is.

    >>> did_you_mean("kmeens", ["kmeans", "optics"])
    'did you mean kmeans?'
    >>> did_you_mean("zzz", ["b", "a"])
    'known: a, b'
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names)}" if names else "there are none yet"
