"""Functions that SQL can call: how a file in udfs/ declares one, and how it becomes an Arrow function.

A file ``udfs/NAME.py`` declares the function NAME with one decorator, which only attaches a description:

* ``@scalar``: pure, vectorised over the rows of a chunk;
* ``@column``: a whole (bounded) column in one value, called once per row of lists: ``fit_clusters(list(embedding))``;
* ``@call``: one request, one answer, memoised in the call store and never made inside a query.

A file ``udfs/NAME.sql`` declares a macro in SQL. A folder ``udfs/FAMILY/`` is a family: each file in it is a member.
Signatures are written in SQL: ``(prompt VARCHAR, system VARCHAR := NULL) -> STRUCT(text VARCHAR, error VARCHAR)``.
The type FITTED is a value passed by reference: Python sees a dict of numpy arrays, SQL sees a short handle.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import json
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from bclust.errors import FunctionError, Location, ProjectError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from types import ModuleType

    import numpy as np
    import pyarrow as pa

T = TypeVar("T")
FITTED = "FITTED"


# --- what a file in udfs/ says ---------------------------------------------------------------------------------


class Parameter(NamedTuple):
    """One parameter of a function: its SQL type, and its default as SQL text (None: required)."""

    name: str
    type: str
    default: str | None = None


@dataclass(frozen=True)
class Signature:
    """The parameters and the type of a function, in SQL's words."""

    parameters: tuple[Parameter, ...]
    returns: str

    def __str__(self) -> str:
        inner = ", ".join(f"{p.name} {p.type}" + (f" := {p.default}" if p.default else "") for p in self.parameters)
        return f"({inner}) -> {self.returns}"


@dataclass(frozen=True)
class Spec:
    """What a decorator attaches to a function."""

    kind: str
    signature: str
    version: int = 1
    reads: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()
    nulls: bool = False


def scalar(signature: str, *, nulls: bool = False, reads: Sequence[str] = (), uses: Sequence[str] = ()) -> Callable[[T], T]:
    """Declare a pure function, called with one chunk of rows at a time.

    Each argument is a column: ``FLOAT[]`` a float32 array (rows, dims), numbers a 1-D array, text a list, FITTED a dict
    of arrays (rows are grouped, so that one call sees one fitted value). Rows with NULL in a required argument are NULL
    without a call, unless ``nulls``: then every argument is a list that may hold None. Returns one value per row: an
    array, a list, or for a STRUCT a dict of them.

    ``reads`` names seeds that the function looks at (through a keyword ``context``); ``uses`` names families whose
    source belongs to the function's own.
    """
    return _attach(Spec("scalar", signature, nulls=nulls, reads=tuple(reads), uses=tuple(uses)))


def column(signature: str, *, reads: Sequence[str] = (), uses: Sequence[str] = ()) -> Callable[[T], T]:
    """Declare a function of whole columns, called once per row.

    ``FLOAT[][]`` is a float32 array (n, dims), a list of numbers a 1-D array, a list of text a list, JSON a parsed value,
    the rest a Python value. Returns one Python value. A row with NULL in a required argument is NULL without a call.
    """
    return _attach(Spec("column", signature, reads=tuple(reads), uses=tuple(uses)))


def call(signature: str, *, version: int, reads: Sequence[str] = (), uses: Sequence[str] = ()) -> Callable[[T], T]:
    """Declare a paid function: the class decorated must be a ``Caller``.

    Its answers are kept for ever under (function, version, payload); raise ``version`` when equal payloads must be asked
    again. A field of the returned STRUCT named error, finish_reason, input_tokens, output_tokens, latency_ms, cost_usd,
    answered_at or detail is filled by the runner; the one other field is the answer.
    """
    return _attach(Spec("call", signature, version=version, reads=tuple(reads), uses=tuple(uses)))


def _attach(spec: Spec) -> Callable[[T], T]:
    def decorate(target: T) -> T:
        target.__bclust__ = spec  # type: ignore[attr-defined]
        return target

    return decorate


# --- what a paid function says to the runner -------------------------------------------------------------------


class Request(NamedTuple):
    """One question: who answers it, and all that decides the answer, as canonical JSON."""

    lane: str
    payload: str


@dataclass(slots=True)
class Answer:
    """What came back. ``cost_usd`` is None where no price is known; ``detail`` is JSON text for what has no column."""

    value: str | bytes | None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    detail: str | None = None


class CallError(Exception):
    """A call that brought no answer.

    ``retry``: the same call may succeed later (429, 5xx, resets, timeouts, malformed bodies). ``after``: seconds that the
    server asked to wait. ``fatal``: no call of this lane can succeed (bad key, unknown model): stop the lane.
    ``throttled``: the server asked for fewer calls at once. ``unmade``: nobody was asked; that counts as no try.
    """

    def __init__(
        self,
        message: str,
        *,
        retry: bool = False,
        after: float | None = None,
        fatal: bool = False,
        throttled: bool = False,
        unmade: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry = retry
        self.after = after
        self.fatal = fatal
        self.throttled = throttled
        self.unmade = unmade


@dataclass(frozen=True)
class Limits:
    """How a lane may be used; the runner keeps to it. ``first_alone``: one call tries whether the lane works at all."""

    max_concurrency: int = 8
    batch_size: int = 1
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float | None = 60.0
    max_retries: int = 6
    initial_sleep_s: float = 0.25  # before the second try where the server names no time; doubles from then on
    sort_by_length: bool = False
    first_alone: bool = True


class Estimate(NamedTuple):
    """What one request will need: tokens in and out, and US dollars (None: price unknown)."""

    input_tokens: int
    output_tokens: int
    cost_usd: float | None


class Unsure(Exception):
    """Whether the server took a batch cannot be known yet: a connection broke after it was sent, or a look says too little."""


@dataclass(frozen=True)
class Batch:
    """Questions that go to a server together, as they were written down before anything was sent.

    ``token`` is the batch's own name, ``memo`` what the lane wished to know again when it collects, ``ready`` what ``ready``
    returned, ``sent_at`` (seconds since 1970) when the sending began, ``remote_id`` the server's name for it. None: not yet.
    """

    token: str
    questions: int
    memo: str = ""
    ready: str | None = None
    sent_at: float | None = None
    remote_id: str | None = None


class BatchState(NamedTuple):
    """How far a batch is at its server. ``refused``: it ended without a single question having been asked."""

    answered: int
    ended: bool
    refused: CallError | None = None


@dataclass(frozen=True)
class BatchLimits:
    """How a lane's batches may be used; the runner keeps to it.

    ``max_bytes`` counts payloads. ``poll_s`` is the first wait between two looks. ``grace_s`` is how long after the sending
    began a batch may still turn up at the server. With ``collect_only`` no new batch is made, open ones are collected.
    """

    max_requests: int
    max_bytes: int
    poll_s: float = 10.0
    grace_s: float = 900.0
    collect_only: bool = False


class BatchLane(Protocol):
    """How a lane's questions are asked in batches that outlive the process. Each of them is asked exactly once, whatever
    happens to the process, if ``send`` and ``find`` keep to their words.

    ``payloads`` are the questions by custom id, ``TOKEN-0`` to ``TOKEN-n``. All but ``send`` may be repeated at will.
    """

    limits: BatchLimits

    def memo(self) -> str:
        """What should be known again when a batch made now is collected, maybe by another process."""
        ...

    async def ready(self, batch: Batch, payloads: Mapping[str, str]) -> str:
        """Do what costs nothing and can be done twice (upload a file). Returns what ``send`` needs of it. Raises CallError."""
        ...

    async def send(self, batch: Batch, payloads: Mapping[str, str]) -> str:
        """Have the batch accepted. Returns the server's name for it.

        Raises:
            CallError: the server certainly did not accept it.
            anything else: it may have.
        """
        ...

    async def find(self, batch: Batch, others: Collection[str]) -> str | None:
        """The server's name for a batch that may have been sent; None if the server has no such batch now.

        ``others`` are names of batches that are known to be others. Raises Unsure while it cannot be told, or CallError.
        """
        ...

    async def look(self, batch: Batch) -> BatchState:
        """How far it is. Raises CallError: fatal where this batch is not to be had with this key."""
        ...

    async def results(self, batch: Batch, payloads: Mapping[str, str]) -> Mapping[str, Answer | CallError]:
        """What became of each question of an ended batch. Raises CallError.

        An error with ``retry`` is asked again at once in a new batch, any other by the next build.
        """
        ...


class Lane(Protocol):
    """One answering party (a language model, an embedder) behind a paid function.

    A lane with a true attribute ``heavy`` computes on this machine, in batches, and in ``answer`` alone: with
    ``executor: ray`` that is done by a cluster. A method ``halt()``, where there is one, is called when no more calls
    will be started.
    One that is asked in batches has an attribute ``batching``: a BatchLane, or None where it is not.
    """

    limits: Limits

    async def answer(self, payloads: Sequence[str]) -> Sequence[Answer | CallError]:
        """Answer at most ``limits.batch_size`` payloads, in order. Raise CallError when all of them failed alike."""
        ...

    def estimate(self, payload: str) -> Estimate:
        """What this request will cost, before it is made."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


class Caller(Protocol):
    """A paid function: turns arguments into requests and knows the lanes that answer them."""

    def __init__(self, context: Context) -> None: ...

    def request(self, *arguments: Any) -> Request | None:
        """The request of one row of arguments; None where there is nothing to ask (the answer is NULL)."""
        ...

    def lane(self, name: str) -> Lane:
        """The lane of that name; raises FunctionError when its settings cannot work."""
        ...


@dataclass(frozen=True)
class Context:
    """What functions may know of the project: its folder, its seeds and the environment (variables come as arguments)."""

    root: Path
    seeds: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    def rows(self, seed: str) -> Sequence[Mapping[str, Any]]:
        """The rows of a seed, as written in the project."""
        if seed not in self.seeds:
            raise FunctionError(f"no seed {seed}", hint=did_you_mean(seed, self.seeds))
        return self.seeds[seed]


class Keeper(Protocol):
    """Where fitted values are kept, so that SQL can pass them by a handle."""

    def keep(self, arrays: Mapping[str, np.ndarray]) -> str: ...

    def kept(self, handle: str) -> Mapping[str, np.ndarray]: ...


# --- the folder is the registry --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Function:
    """One function of the project."""

    name: str
    kind: str  # scalar | column | call | macro
    path: Path
    source_hash: str
    description: str = ""
    signature: Signature | None = None
    spec: Spec | None = None
    target: Any = None
    macro_sql: str | None = None

    @property
    def version(self) -> int:
        return self.spec.version if self.spec else 1

    @property
    def reads(self) -> tuple[str, ...]:
        return self.spec.reads if self.spec else ()

    def create_sql(self) -> str:
        """The statement that gives SQL the named and default arguments of this function."""
        if self.macro_sql is not None:
            return self.macro_sql
        assert self.signature is not None
        parameters = ", ".join(p.name + (f" := {p.default}" if p.default else "") for p in self.signature.parameters)
        arguments = ", ".join(f"to_json({p.name})" if p.type == "JSON" else p.name for p in self.signature.parameters)
        return f"create or replace macro {self.name}({parameters}) as _{self.name}({arguments})"


def load_functions(root: Path) -> dict[str, Function]:
    """Read ``root/udfs``: every public file is one function. Returns them by name; {} without the folder."""
    folder = root / "udfs"
    if not folder.is_dir():
        return {}
    _use_package(folder)
    functions: dict[str, Function] = {}
    for path in sorted([*folder.glob("*.py"), *folder.glob("*.sql")]):
        if path.name.startswith("_"):
            continue
        if path.stem in functions:
            raise ProjectError(f"the function {path.stem} is declared twice: {functions[path.stem].path.name} and {path.name}")
        functions[path.stem] = _load_macro(path) if path.suffix == ".sql" else _load_python(path)
    return functions


def members(family: str) -> list[str]:
    """The names in a family: the files of ``udfs/FAMILY/``."""
    return sorted(p.stem for p in (_package_folder() / family).glob("*.py") if not p.name.startswith("_"))


def member(family: str, name: str) -> ModuleType:
    """The module ``udfs/FAMILY/NAME.py``, imported now.

    Raises:
        FunctionError: there is no such file (with "did you mean"), or a package it needs is not installed.
    """
    if name not in members(family):
        raise FunctionError(f"there is no {name!r} in udfs/{family}/", hint=did_you_mean(name, members(family)))
    try:
        return importlib.import_module(f"udfs.{family}.{name}")
    except ModuleNotFoundError as error:
        raise FunctionError(
            f"udfs/{family}/{name}.py needs the package {error.name}", hint=f"install it: pip install {error.name}"
        ) from error


def _package_folder() -> Path:
    package = sys.modules.get("udfs") or importlib.import_module("udfs")
    return Path(next(iter(package.__path__)))


def _use_package(folder: Path) -> None:
    """Make ``udfs`` mean this project's folder (a process may open several projects, one after another)."""
    for name in [n for n in sys.modules if n == "udfs" or n.startswith("udfs.")]:
        del sys.modules[name]
    root = str(folder.parent.resolve())
    if root in sys.path:
        sys.path.remove(root)
    sys.path.insert(0, root)
    importlib.invalidate_caches()


def _load_macro(path: Path) -> Function:
    text = path.read_text(encoding="utf-8")
    if not re.search(rf"create\s+or\s+replace\s+macro\s+{re.escape(path.stem)}\s*\(", text, re.IGNORECASE):
        raise ProjectError(
            f"{path.name} must define the macro {path.stem}",
            where=Location(path, 1),
            hint=f"write: create or replace macro {path.stem}(...) as ...",
        )
    comment = re.match(r"\s*--\s*(.+)", text)
    return Function(
        path.stem, "macro", path, "", description=comment.group(1).strip() if comment else "", macro_sql=text.strip().rstrip(";")
    )


def _load_python(path: Path) -> Function:
    try:
        module = importlib.import_module(f"udfs.{path.stem}")
    except SyntaxError as error:
        raise ProjectError(f"syntax error: {error.msg}", where=Location(path, error.lineno)) from error
    except ModuleNotFoundError as error:
        raise ProjectError(f"cannot import {error.name}", where=Location(path), hint=f"pip install {error.name}") from error
    except Exception as error:
        raise ProjectError(f"fails when it is imported: {type(error).__name__}: {error}", where=Location(path)) from error
    declared = [v for v in vars(module).values() if isinstance(getattr(v, "__bclust__", None), Spec)]
    declared = [v for v in declared if getattr(v, "__module__", None) == module.__name__]
    if len(declared) != 1:
        raise ProjectError(
            f"{path.name} declares {len(declared)} functions; it must declare one",
            where=Location(path, 1),
            hint="decorate one function with @scalar, @column or @call from bclust.functions; helpers go in _names.py",
        )
    spec: Spec = declared[0].__bclust__
    try:
        signature = parse_signature(spec.signature)
    except ValueError as error:
        raise ProjectError(f"bad signature: {error}", where=Location(path)) from error
    doc = inspect.getdoc(declared[0]) or ""
    return Function(
        path.stem,
        spec.kind,
        path,
        source_hash(path, spec.uses),
        description=doc.split("\n\n")[0].replace("\n", " "),
        signature=signature,
        spec=spec,
        target=declared[0],
    )


def source_hash(path: Path, uses: Iterable[str] = ()) -> str:
    """Hash of what the code does: its syntax tree without docstrings, with the project files it imports."""
    folder = path.parent
    todo = [path, *(p for family in uses for p in sorted((folder / family).glob("*.py")))]
    seen: dict[str, str] = {}
    while todo:
        file = todo.pop()
        name = file.relative_to(folder).as_posix()
        if name in seen or not file.is_file():
            continue
        imports, seen[name] = _code(file.read_text(encoding="utf-8"), folder)
        todo.extend(imports)
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


@functools.cache
def _code(text: str, folder: Path) -> tuple[list[Path], str]:
    """Which project files a file imports, and what it does; functions share many files."""
    tree = ast.parse(text)
    return _project_imports(tree, folder), ast.dump(_without_docstrings(tree))


def _project_imports(tree: ast.AST, folder: Path) -> list[Path]:
    modules: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            modules += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    paths = [folder.joinpath(*module.split(".")[1:]) for module in modules if module.split(".")[0] == "udfs"]
    return [candidate for p in paths for candidate in (p.with_suffix(".py"), p / "__init__.py") if candidate.is_file()]


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:]
    return tree


# --- SQL types -------------------------------------------------------------------------------------------------


def parse_signature(text: str) -> Signature:
    """Read a signature written in SQL.

    >>> str(parse_signature("(k BIGINT, level DOUBLE := 0.95) -> STRUCT(low DOUBLE, high DOUBLE)"))
    '(k BIGINT, level DOUBLE := 0.95) -> STRUCT(low DOUBLE, high DOUBLE)'
    """
    match = re.fullmatch(r"\s*\((.*)\)\s*->\s*(.+?)\s*", text, re.DOTALL)
    if not match:
        raise ValueError(f"{text!r} is not of the form (name TYPE, ...) -> TYPE")
    parameters = []
    for part in _split(match.group(1)):
        declared, _, default = part.partition(":=")
        name, _, type_ = declared.strip().partition(" ")
        if not name.isidentifier() or not type_:
            raise ValueError(f"{part.strip()!r} is not of the form name TYPE")
        parameters.append(Parameter(name, " ".join(type_.split()), default.strip() or None))
    return Signature(tuple(parameters), " ".join(match.group(2).split()))


def sql_type(type_: str) -> str:
    """The DuckDB type that stands for a declared type (FITTED is a handle in a VARCHAR)."""
    return re.sub(r"\bFITTED\b", "VARCHAR", type_)


def struct_fields(type_: str) -> list[tuple[str, str]]:
    """Name and type of each field of a STRUCT type; [] for any other type."""
    match = re.fullmatch(r"STRUCT\s*\((.*)\)", type_.strip(), re.IGNORECASE | re.DOTALL)
    if not match:
        return []
    pairs = [part.strip().partition(" ") for part in _split(match.group(1))]
    return [(name, rest.strip()) for name, _, rest in pairs]


def arrow_type(type_: str) -> pa.DataType:
    """The Arrow type of a declared SQL type."""
    import pyarrow as pa

    type_ = type_.strip()
    if type_.endswith("[]"):
        return pa.list_(arrow_type(type_[:-2]))
    fields = struct_fields(type_)
    if fields:
        return pa.struct([(name, arrow_type(t)) for name, t in fields])
    plain = {
        "VARCHAR": pa.string(), "JSON": pa.string(), FITTED: pa.string(), "BLOB": pa.binary(), "BOOLEAN": pa.bool_(),
        "INTEGER": pa.int32(), "BIGINT": pa.int64(), "FLOAT": pa.float32(), "DOUBLE": pa.float64(),
        "TIMESTAMP": pa.timestamp("us"),
    }  # fmt: skip
    if type_ not in plain:
        raise ValueError(f"unknown type {type_}; {did_you_mean(type_, plain)}")
    return plain[type_]


def _split(text: str) -> list[str]:
    """Split at the commas outside brackets and quotes."""
    parts, depth, current, quoted = [], 0, "", False
    for char in text:
        quoted ^= char == "'"
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0 and not quoted:
            parts.append(current)
            current = ""
        else:
            current += char
    return [p for p in [*parts, current] if p.strip()]


# --- from Python to Arrow --------------------------------------------------------------------------------------


def arrow_function(function: Function, context: Context, keeper: Keeper) -> Callable[..., pa.Array]:
    """Wrap a scalar or column function for DuckDB: Arrow columns in, one Arrow column out."""
    assert function.signature is not None
    extra = {"context": context} if "context" in inspect.signature(function.target).parameters else {}
    run: Callable[..., Any] = _run_rows if function.kind == "column" else _run_chunk
    signature, target = function.signature, function.target
    if function.spec is not None and function.spec.nulls:
        run = _run_with_nulls

    def wrapped(*columns: Any) -> pa.Array:
        arrays = [c.combine_chunks() if hasattr(c, "combine_chunks") else c for c in columns]
        return run(target, signature, arrays, keeper, extra)

    return wrapped


def _run_with_nulls(target: Any, signature: Signature, arrays: list[Any], _: Keeper, extra: dict[str, Any]) -> pa.Array:
    return _to_arrow(target(*[a.to_pylist() for a in arrays], **extra), arrow_type(signature.returns))


def _run_rows(target: Any, signature: Signature, arrays: list[Any], keeper: Keeper, extra: dict[str, Any]) -> pa.Array:
    import pyarrow as pa

    required = [i for i, p in enumerate(signature.parameters) if p.default is None]
    results: list[Any] = []
    for row in range(len(arrays[0])):
        if any(not arrays[i][row].is_valid for i in required):
            results.append(None)
            continue
        arguments = [_cell(a, row, p.type, keeper) for a, p in zip(arrays, signature.parameters, strict=True)]
        results.append(_kept(target(*arguments, **extra), signature.returns, keeper))
    return pa.array(results, arrow_type(signature.returns))


def _run_chunk(target: Any, signature: Signature, arrays: list[Any], keeper: Keeper, extra: dict[str, Any]) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    result_type = arrow_type(signature.returns)
    n = len(arrays[0])
    valid = np.ones(n, dtype=bool)
    for array, parameter in zip(arrays, signature.parameters, strict=True):
        if parameter.default is None:
            valid &= np.asarray(array.is_valid())
    by_handle = [i for i, p in enumerate(signature.parameters) if p.type == FITTED]
    groups = _groups(arrays, by_handle, valid)
    pieces, order = [], []
    for rows in groups:
        picked = arrays if len(rows) == n else [a.take(pa.array(rows)) for a in arrays]
        values = [_chunk(a, p.type, keeper) for a, p in zip(picked, signature.parameters, strict=True)]
        piece = _to_arrow(target(*values, **extra), result_type)
        if len(by_handle) == len(arrays):  # nothing but fitted values: one result for all rows that share them
            piece = piece.take(pa.array(np.zeros(len(rows), dtype=np.int64)))
        pieces.append(piece)
        order.append(rows)
    missing = np.flatnonzero(~valid)
    if len(missing):
        pieces.append(pa.nulls(len(missing), result_type))
        order.append(missing)
    if len(pieces) == 1:
        return pieces[0]
    return pa.concat_arrays(pieces).take(pa.array(np.argsort(np.concatenate(order), kind="stable")))


def _groups(arrays: list[Any], by_handle: list[int], valid: np.ndarray) -> list[np.ndarray]:
    """Row numbers to call together: all valid rows, or those that share the same fitted values."""
    import numpy as np

    rows = np.flatnonzero(valid)
    if not by_handle or not len(rows):
        return [rows] if len(rows) else []
    codes = np.zeros(len(valid), dtype=np.int64)
    for i in by_handle:
        encoded = arrays[i].dictionary_encode()
        codes = codes * (len(encoded.dictionary) + 1) + np.asarray(encoded.indices.fill_null(len(encoded.dictionary)))
    return [rows[codes[rows] == code] for code in np.unique(codes[rows])]


def _chunk(array: Any, type_: str, keeper: Keeper) -> Any:
    """One chunk of a column as its function wants it."""
    if type_ == FITTED:
        return keeper.kept(array[0].as_py())
    if type_ in ("FLOAT[]", "DOUBLE[]"):
        return matrix(array)
    if type_ in ("INTEGER", "BIGINT", "FLOAT", "DOUBLE", "BOOLEAN") and array.null_count == 0:
        return array.to_numpy(zero_copy_only=False)
    return array.to_pylist()


def _cell(array: Any, row: int, type_: str, keeper: Keeper) -> Any:
    """One value of a column of lists as its function wants it."""
    value = array[row]
    if not value.is_valid:
        return None
    if type_ == FITTED:
        return keeper.kept(value.as_py())
    if type_ == "JSON":
        return json.loads(value.as_py())
    if type_ in ("FLOAT[][]", "DOUBLE[][]"):
        return matrix(value.values)
    if type_ in ("FLOAT[]", "DOUBLE[]", "INTEGER[]", "BIGINT[]") and value.values.null_count == 0:
        return value.values.to_numpy(zero_copy_only=False)
    return value.as_py()


def matrix(vectors: Any) -> np.ndarray:
    """An Arrow list of equally long vectors as a 2-D array (rows, dims), without a copy where there is no gap.

    Raises:
        FunctionError: the vectors differ in length, or one is NULL or holds NULL.
    """
    import numpy as np

    n = len(vectors)
    if n == 0:
        return np.zeros((0, 0), dtype=np.float32)
    if vectors.null_count:
        raise FunctionError(
            f"{vectors.null_count} of {n} vectors are NULL", hint="filter them first: where embedding is not null"
        )
    lengths = np.diff(vectors.offsets.to_numpy()) if hasattr(vectors, "offsets") else np.full(n, vectors.type.list_size)
    if len(lengths) and lengths.min() != lengths.max():
        raise FunctionError(
            f"vectors of mixed length: {int(lengths.min())} to {int(lengths.max())} numbers",
            hint="one embedder gives one length; group by embedder",
        )
    flat = vectors.flatten()
    if flat.null_count:
        raise FunctionError(f"{flat.null_count} numbers inside the vectors are NULL")
    return flat.to_numpy(zero_copy_only=False).reshape(n, int(lengths[0]))


def _kept(value: Any, type_: str, keeper: Keeper) -> Any:
    """Replace fitted values by handles."""
    if value is None:
        return None
    if type_ == FITTED:
        return keeper.keep(value)
    fields = dict(struct_fields(type_))
    if FITTED in fields.values():
        return {k: _kept(v, fields.get(k, ""), keeper) for k, v in value.items()}
    return value


def _to_arrow(values: Any, type_: pa.DataType) -> pa.Array:
    """Whatever a scalar function returned, as one Arrow column of the declared type."""
    import numpy as np
    import pyarrow as pa

    if isinstance(values, pa.Array):
        return values.cast(type_) if values.type != type_ else values
    if isinstance(values, dict) and pa.types.is_struct(type_):
        children = [_to_arrow(values[f.name], f.type) for f in type_]
        return pa.StructArray.from_arrays(children, fields=list(type_))
    if isinstance(values, np.ndarray) and values.ndim == 2 and pa.types.is_list(type_):
        offsets = np.arange(0, values.size + 1, max(values.shape[1], 1), dtype=np.int32)
        flat = pa.array(np.ascontiguousarray(values).ravel(), type_.value_type)
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
    return pa.array(values, type_)
