"""bclust: how language models behave differently, and whether to believe it.

From Python, ``bclust.open`` gives a project: its tables as data frames, its plan, its build (docs/how-to/use-from-python.md).
What this module exports is public and follows semantic versioning; everything below it may change.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bclust.opened import Project

__all__ = ["open"]


def open(  # noqa: A001 - bclust.open, as zipfile.open or webbrowser.open
    project: str | Path = ".",
    *,
    target: str | None = None,
    vars: Mapping[str, Any] | None = None,  # noqa: A002 - as --vars
) -> Project:
    """The project whose bclust.yml is in this folder, or above it; nothing is read or locked until it is asked for.

    Args:
        project: a folder.
        target: a run configuration of bclust.yml; by default its default_target.
        vars: variables over those of bclust.yml, as ``--vars``.

    Raises:
        bclust.errors.BclustError: no bclust.yml there, no such target, or a mistake in it.
    """
    from bclust.opened import Project

    return Project(Path(project), target, dict(vars or {}))
