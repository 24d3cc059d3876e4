"""Weights of models that run here: loaded once per process whatever the rows that name them, and one model after the other.

A model stays loaded, since more may be asked of it soon, as long as there is room: where another one needs its memory, or less is
left than it takes, it goes.

What a folder of weights is, its content says, not its path: the same files elsewhere are the same model, and other files in the
same place are another one.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bclust.errors import FunctionError, did_you_mean
from bclust.functions import CallError
from bclust.private_files import open_private, private_folder
from udfs._memory import available, in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

_LOADING = threading.Lock()  # loading is not safe in two threads: weights of both would be left without data
_LOADED: dict[Hashable, Loaded] = {}


@dataclass(frozen=True)
class Loaded:
    """A model and its tokenizer. Who uses them holds ``lock``. ``size``: bytes of its weights (0: not known)."""

    tokenizer: Any
    model: Any
    size: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def weights(source: str, *settings: str | None, load: Callable[[], tuple[Any, Any]], size: int = 0) -> Loaded:
    """The model of a folder or a name on the hub, loaded by ``load`` unless it already was with the same settings.

    Rows that differ in how the model is sampled share it. A folder whose files changed is another model. What ``load`` raises
    is raised, and tried again by the next who asks. ``size``: the bytes of main memory that it will take, if that is known.

    Raises:
        CallError: fatal; it does not fit into the memory that is free, other models gone.
    """
    key = (source, *settings, _files(Path(source)))
    with _LOADING:
        if key not in _LOADED:
            _make_room(source, size)
            _LOADED[key] = Loaded(*load(), size)
        _LOADED[key] = _LOADED.pop(key)  # the last one is the one that was used last
        return _LOADED[key]


def rest() -> None:
    """No more is asked for now: models go if less memory is left than they take."""
    with _LOADING:
        free = available()
        if free is not None and free < sum(loaded.size for loaded in _LOADED.values()):
            _let_go(lambda: True)


def _make_room(source: str, size: int) -> None:
    free = available()
    if free is None or size <= free:
        return
    _let_go(lambda: size > (available() or 0))
    free = available() or 0
    if size > free:
        raise CallError(
            f"{source} takes {in_words(size)} of memory, and {in_words(free)} are free: take a smaller model, dtype: bfloat16 "
            "(half of float32), or a server (docs/how-to/use-a-local-server.md)",
            fatal=True,
        )


def _let_go(more: Callable[[], bool]) -> None:
    """Forget models that nobody uses, the longest unused first, while ``more`` have to go."""
    for key in list(_LOADED):
        lock = _LOADED[key].lock
        if more() and lock.acquire(blocking=False):
            del _LOADED[key]
            lock.release()
            gc.collect()


def _files(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Names, sizes and times of the files in a folder; nothing for a name on the hub."""
    if not folder.is_dir():
        return ()
    return tuple(sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in folder.iterdir() if f.is_file()))


# --- which model it is -----------------------------------------------------------------------------------------


class Source(NamedTuple):
    """Where weights are: a folder, and a GGUF file in it if that is what was named; or a name on the hub."""

    name: str
    folder: Path | None = None
    gguf: str | None = None


def located(root: Path, model: str) -> Source:
    """Where the weights are that a row names. A path is relative to the project ``root``.

    Raises:
        FunctionError: it can only be a path, and there is nothing; or what is there is no model, with what it is.
    """
    path = (root / model).expanduser() if not model.startswith("~") else Path(model).expanduser()
    if path.is_file() and path.suffix.lower() == ".gguf":
        return Source(str(path.parent), path.parent, path.name)
    if path.is_dir():
        _check_folder(path, model)
        return Source(str(path), path)
    is_path = model.startswith((".", "/", "~")) or model.count("/") > 1 or model.lower().endswith(".gguf")
    if is_path or path.exists() or (path.parent != root and path.parent.is_dir()):
        there = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        hint = did_you_mean(path.name, there) or "a path is relative to the project; a name on the hub is ORGANISATION/NAME"
        raise FunctionError(f"there is no folder of weights {model}", hint=hint)
    return Source(model)


def _check_folder(folder: Path, model: str) -> None:
    if not (folder / "config.json").is_file():
        ggufs = sorted(file.name for file in folder.glob("*.gguf"))
        if ggufs:
            raise FunctionError(f"{model} holds GGUF files", hint=f"name the file: model: {model.rstrip('/')}/{ggufs[0]}")
        what = ", ".join(sorted(entry.name for entry in folder.iterdir())[:5]) or "nothing"
        raise FunctionError(f"{model} is no folder of a model: it has no config.json", hint=f"it holds {what}")


def written_by(folder: Path) -> list[str]:
    """The architectures that a folder's config names; [] where it names none."""
    with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
        named = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or []
        return [str(name) for name in named]
    return []


_DECIDES = (".safetensors", ".bin", ".gguf", ".pt", ".json", ".jinja", ".model", ".txt")  # files that a model is read from
_LEFT_OVER = ("training_args", "optimizer", "scheduler", "trainer_state", "rng_state")  # of training
_REGISTER = ".bclust/weights.json"
_NOTING = threading.Lock()


def fingerprint(root: Path, folder: Path, gguf: str | None = None) -> str:
    """What is in a folder of weights, in 16 hex digits: names and contents of the files from which a model is read.

    Of several GGUF files only the one that is named counts.

    A file is read once, and again when its size or time has changed; the project ``root`` remembers.
    """
    register = _read(root)
    seen, before = register.setdefault("files", {}), json.dumps(register, sort_keys=True)
    whole = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        is_other = file.suffix == ".gguf" and gguf is not None and file.name != gguf
        if file.suffix not in _DECIDES or file.name.startswith(_LEFT_OVER) or is_other or not file.is_file():
            continue
        stat = file.stat()
        known = seen.get(str(file.resolve()), [0, 0, ""])
        if known[:2] != [stat.st_size, stat.st_mtime_ns]:
            with file.open("rb") as opened:
                known = [stat.st_size, stat.st_mtime_ns, hashlib.file_digest(opened, "sha256").hexdigest()]
            seen[str(file.resolve())] = known
        whole.update(f"{file.name}\0{known[2]}\n".encode())
    if json.dumps(register, sort_keys=True) != before:
        _write(root, register)
    return whole.hexdigest()[:16]


def identity_of(root: Path, model: str, digest: str) -> dict[str, str]:
    """By what the answers of the weights with this fingerprint are stored.

    That is the fingerprint. Before there were fingerprints it was the name of the folder: where a call store is older than them,
    the first weights that are seen under a name go on with it, so that what is stored stays found.
    """
    register = _read(root)
    known = register.setdefault("identities", {})
    if digest not in known:
        is_older = register.setdefault("store_is_older", (root / ".bclust" / "calls.sqlite").is_file())
        is_new_name = not any(identity.get("model") == model for identity in known.values())
        known[digest] = {"model": model} if is_older and is_new_name else {"weights": digest}
        _write(root, register)
    return dict(known[digest])


def _read(root: Path) -> dict[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((root / _REGISTER).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def _write(root: Path, register: dict[str, Any]) -> None:
    """Where nothing can be written, files are read again each time."""
    path = root / _REGISTER
    with _NOTING, contextlib.suppress(OSError):
        private_folder(path.parent)
        new = path.with_suffix(f".{threading.get_ident()}.new")
        with open_private(new, "wb") as file:
            file.write(json.dumps(register, indent=1).encode())
        new.replace(path)
