"""Weights of models that run here: loaded once per process whatever the rows that name them, and one model after the other."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_LOADING = threading.Lock()  # loading is not safe in two threads: weights of both would be left without data
_LOADED: dict[Hashable, Loaded] = {}


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer. Who uses them holds ``lock``."""

    tokenizer: Any
    model: Any
    lock: threading.Lock = field(default_factory=threading.Lock)


def weights(source: str, *settings: str | None, load: Callable[[], tuple[Any, Any]]) -> Loaded:
    """The model of a folder or a name on the hub, loaded by ``load`` unless it already was with the same settings.

    Rows that differ in how the model is sampled share it. A folder whose files changed is another model. What ``load`` raises
    is raised, and tried again by the next who asks.
    """
    key = (source, *settings, _files(Path(source)))
    with _LOADING:
        if key not in _LOADED:
            _LOADED[key] = Loaded(*load())
        return _LOADED[key]


def _files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files in a folder; nothing for a name on the hub."""
    if not folder.is_dir():
        return ()
    return tuple(sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in folder.iterdir() if f.is_file()))
