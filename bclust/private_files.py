"""Files that hold what was asked and answered: only their owner may read them, whatever the umask."""

from __future__ import annotations

import contextlib
import os
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def open_private(path: Path, mode: str, encoding: str | None = None) -> IO[Any]:
    """``path.open``, but a file that is made by this is its owner's alone. Lines end as they are written. Raises OSError."""
    newline = None if "b" in mode else "\n"
    return open(path, mode, encoding=encoding, newline=newline, opener=_opener)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def private_folder(path: Path) -> None:
    """Make a folder that is its owner's alone; one that exists stays as it is. Raises OSError."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def keep_from_others(path: Path) -> None:
    """Take the world's rights from a file or folder that was made before; a group that was let in stays."""
    with contextlib.suppress(OSError):  # it is another user's, who decides
        mode = path.stat().st_mode & 0o777
        if mode & 0o007:
            path.chmod(mode & ~0o007)
