"""What a file in udfs/ works with: the decorators by which it declares a function, and what it may ask of the runner.

A file ``udfs/NAME.py`` declares the function NAME with one decorator, which only attaches a description:

* ``@scalar``: pure, vectorised over the rows of a chunk;
* ``@column``: a whole (bounded) column in one value, called once per row of lists: ``fit_clusters(list(embedding))``;
* ``@call``: one request, one answer, memoised in the call store and never made inside a query.

A file ``udfs/NAME.sql`` declares a macro in SQL; a table macro reads what models name to it: ``from NAME('a_cte_or_a_model')``.
A folder ``udfs/FAMILY/`` is a family: each file in it is a member.
Signatures are written in SQL: ``(prompt VARCHAR, system VARCHAR := NULL) -> STRUCT(text VARCHAR, error VARCHAR)``.
The type FITTED is a value passed by reference: Python sees a dict of numpy arrays, SQL sees a short handle.
"""

from __future__ import annotations

import functools
import importlib
import sys
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from bclust.errors import FunctionError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from importlib.metadata import EntryPoint
    from types import ModuleType

T = TypeVar("T")


# --- how a file declares a function ----------------------------------------------------------------------------


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
    answered_at or detail is filled by the runner; the first other field is the answer, and further ones are what ``Caller.read``
    makes of it.
    """
    return _attach(Spec("call", signature, version=version, reads=tuple(reads), uses=tuple(uses)))


def _attach(spec: Spec) -> Callable[[T], T]:
    def decorate(target: T) -> T:
        target.__bclust__ = spec  # type: ignore[attr-defined]
        return target

    return decorate


# --- the project, and the families of files in it --------------------------------------------------------------


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


def members(family: str) -> list[str]:
    """The names in a family: the files of ``udfs/FAMILY/``, and what installed packages add to it."""
    return sorted({*_files(family), *installed(family)})


def member(family: str, name: str) -> ModuleType:
    """The module ``udfs/FAMILY/NAME.py``, or the one that an installed package offers under that name, imported now.

    Raises:
        FunctionError: there is neither (with "did you mean"), or a package it needs is not installed.
    """
    load: Callable[[], Any]
    if name in _files(family):
        where, load = f"udfs/{family}/{name}.py", functools.partial(importlib.import_module, f"udfs.{family}.{name}")
    elif name in installed(family):
        where, load = f"{name} of the package {_package(installed(family)[name])}", installed(family)[name].load
    else:
        raise FunctionError(f"there is no {name!r} in udfs/{family}/", hint=did_you_mean(name, members(family)))
    try:
        module: ModuleType = load()
    except ModuleNotFoundError as error:
        raise FunctionError(f"{where} needs the package {error.name}", hint=f"install it: pip install {error.name}") from error
    return module


@functools.cache
def installed(family: str) -> dict[str, EntryPoint]:
    """What installed packages add to a family, by name: their entry points ``bclust.FAMILY``, each a module."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=f"bclust.{family}")}


def versions(family: str) -> dict[str, str]:
    """The package and version of each member that is installed and no file of the project."""
    return {name: _package(point) for name, point in installed(family).items() if name not in _files(family)}


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _files(family: str) -> list[str]:
    return sorted(p.stem for p in (_package_folder() / family).glob("*.py") if not p.name.startswith("_"))


def _package_folder() -> Path:
    package = sys.modules.get("udfs") or importlib.import_module("udfs")
    return Path(next(iter(package.__path__)))


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
    ``charged``: an answer may have been made, and paid (a timeout, a reset after sending, a body that cannot be read).
    ``garbled``: it was answered, in a way that cannot be used; the same call is made once more, not oftener. ``away``: nobody
    is at that address at present; where somebody was before, the lane waits for it.
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
        charged: bool = False,
        garbled: bool = False,
        away: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.retry = retry
        self.after = after
        self.fatal = fatal
        self.throttled = throttled
        self.unmade = unmade
        self.charged = charged
        self.garbled = garbled
        self.away = away


class Wire(Protocol):
    """For a function that speaks over a network: where it writes down what it reads, before it looks at it.

    What a process had read and not yet stored when it was killed is found there by the next that asks the same.
    """

    def found(self, request: str) -> list[bytes]:
        """What earlier processes had read in answer to this request (a text that tells it from others), the newest first."""

    def use(self, data: bytes) -> None:
        """Those are taken as the answer."""

    def reader(self, request: str) -> Callable[[bytes], None]:
        """What is to be called with each piece of the response as soon as it is read."""


wire: ContextVar[Wire | None] = ContextVar("wire", default=None)  # of the call that is being made


@dataclass(frozen=True)
class Limits:
    """How a lane may be used; the runner keeps to it. ``first_alone``: one call tries whether the lane works at all.

    ``max_wait_s``: a server that is away, or that asks to wait, is waited for so long in all; then its lane ends.
    """

    max_concurrency: int = 8
    batch_size: int = 1
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    timeout_s: float | None = 60.0
    max_retries: int = 6
    initial_sleep_s: float = 0.25  # before the second try where the server names no time; doubles from then on
    max_wait_s: float = 600.0
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
    A method ``remark(payload, answer)``, where there is one, says in a few words what an answer suffers from, if it does;
    where many do, users are told while the lane runs. One that is asked in batches has an attribute ``batching``: a BatchLane,
    or None where it is not.
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
    """A paid function: turns arguments into requests and knows the lanes that answer them.

    A method ``read(columns)``, where there is one, makes the fields of the returned STRUCT, by name, of those that are stored:
    so what is stored stays as it came, and may be understood better later. A value is None where nothing is stored.
    A method ``outside()``, where there is one, gives fingerprints of what its answers depend on besides the project's own files
    and the seeds that it reads, by words for it ("files of smol"): tables are built anew when one changes.
    """

    def __init__(self, context: Context) -> None: ...

    def request(self, *arguments: Any) -> Request | None:
        """The request of one row of arguments; None where there is nothing to ask (the answer is NULL)."""
        ...

    def lane(self, name: str) -> Lane:
        """The lane of that name; raises FunctionError when its settings cannot work."""
        ...
