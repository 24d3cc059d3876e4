"""``executor: ray``: what is computed here in batches (a heavy lane) is computed by the workers of a Ray cluster.

A heavy lane is wrapped into a lane of the same kind whose batches go to Ray actors. Each actor opens the lane once, in a
process of its own, from the code that travels with the job. A worker that is lost is replaced, and its batch is run again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections import Counter, deque
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bclust.errors import BclustError, FunctionError
from bclust.functions import Answer, CallError, Context, load_functions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from bclust.config import CallsConfig
    from bclust.functions import Estimate, Lane, Limits

LaneName = tuple[str, str]  # function, lane

_MOST_LOSSES = 3  # workers that one batch may lose before it is taken for the cause
_PATIENCE = 300.0  # seconds without any worker, while batches wait
_LOOK = 1.0  # seconds between two looks at that
_STORE_BYTES = 128 * 2**20  # the object store of a cluster that is started here: answers are small


class RayExecutor:
    """The Ray cluster of one session; it is connected to, or started, when the first heavy batch is asked for.

    Raises:
        FunctionError: Ray is not installed.
    """

    def __init__(self, config: CallsConfig, context: Context) -> None:
        if find_spec("ray") is None:
            raise FunctionError("executor: ray needs the package ray", hint="install it: pip install 'bclust[ray]'")
        self._config, self._context = config, context
        self._connected = False

    def spread(self, lanes: Mapping[LaneName, Lane], reads: Mapping[str, Sequence[str]]) -> dict[LaneName, Lane]:
        """The same lanes, of which the heavy ones answer through the cluster. ``reads`` names the seeds of each function.

        The workers live until these lanes are closed.

        Raises:
            FunctionError: the cluster cannot be used, or no node of it is large enough.
        """
        heavy = {name: lane for name, lane in lanes.items() if getattr(lane, "heavy", False)}
        if not heavy:
            return dict(lanes)
        self._connect()
        pool = _Pool(self._size(), lambda name: self._hire(name, reads.get(name[0], ())))
        return {**lanes, **{name: _RayLane(name, lane, pool) for name, lane in heavy.items()}}

    def close(self) -> None:
        """Stop the cluster that was started here, or leave the one that was there before."""
        if self._connected:
            import ray

            ray.shutdown()
            self._connected = False

    def _connect(self) -> None:
        if self._connected:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        import ray

        logging.getLogger("ray").setLevel(logging.CRITICAL)
        ray._private.worker._worker_logs_enabled = False  # or Ray writes into stdout when a worker dies
        address = self._config.ray_address
        own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _STORE_BYTES, "_node_ip_address": "127.0.0.1"}
        with tempfile.TemporaryDirectory(prefix="bclust-ray-") as folder, _signals_kept():
            _stage(self._context.root, Path(folder))
            try:
                _check_reachable(address)
                ray.init(
                    address or "local", runtime_env={"working_dir": folder}, log_to_driver=False, configure_logging=False,
                    **({} if address else own),
                )  # fmt: skip
            except Exception as error:
                place = f"at {address}" if address else "on this machine"
                raise FunctionError(
                    f"no Ray cluster can be used {place}: {_first_line(error)}",
                    hint="ray status shows a running one; calls: {ray_address: null} starts one here",
                ) from error
        self._connected = True

    def _size(self) -> int:
        """How many workers fit into the nodes that are alive."""
        import ray

        config = self._config
        if config.ray_workers:
            return config.ray_workers
        wanted = {"CPU": config.ray_cpus_per_worker, "GPU": config.ray_gpus_per_worker}
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        size = sum(min(int(node.get(kind, 0) / n) for kind, n in wanted.items() if n) for node in nodes)
        if not size:
            needed = " and ".join(f"{n:g} {kind}" for kind, n in wanted.items() if n)
            raise FunctionError(
                f"none of the {len(nodes)} nodes of the Ray cluster has {needed} for a worker",
                hint="lower ray_cpus_per_worker or ray_gpus_per_worker; ray_workers: N waits for nodes that are still to come",
            )
        return size

    def _hire(self, name: LaneName, reads: Sequence[str]) -> Any:
        """Ask the cluster for one more worker; it may have to wait for room."""
        import ray

        options = ray.remote(Worker).options(  # type: ignore[attr-defined]
            num_cpus=self._config.ray_cpus_per_worker, num_gpus=self._config.ray_gpus_per_worker, max_restarts=0
        )
        context = self._context
        return options.remote(*name, context.root, context.seeds, _own_variables(context, reads, name[1]))


class Worker:
    """One process of the cluster, with one lane open. Runs in a copy of the code; ``root`` is used where it is there, too."""

    def __init__(
        self, function: str, lane: str, root: Path, seeds: Mapping[str, Sequence[Mapping[str, Any]]], env: Mapping[str, str]
    ) -> None:
        self._function, self._name, self._root, self._seeds, self._env = function, lane, root, seeds, env
        self._loop = asyncio.new_event_loop()
        self._lane: Lane | None = None

    def open(self) -> CallError | None:
        """Open the lane; an error is given back, not raised, so that it travels as it is."""
        code = Path.cwd()  # Ray's copy of what was staged
        context = Context(self._root if self._root.is_dir() else code, self._seeds, {**os.environ, **self._env})
        try:
            self._lane = load_functions(code)[self._function].target(context).lane(self._name)
        except BclustError as error:
            return CallError(f"a Ray worker cannot open {self._name}: {error}", fatal=True)
        except Exception as error:  # noqa: BLE001 - whatever the project's code raises
            return CallError(f"a Ray worker cannot open {self._name}: {type(error).__name__}: {error}", fatal=True)
        return None

    def answer(self, payloads: Sequence[str]) -> list[Answer | CallError] | CallError:
        """Answer one batch; CallError in place of the list when all of it failed alike."""
        assert self._lane is not None
        try:
            return list(self._loop.run_until_complete(self._lane.answer(payloads)))
        except CallError as error:
            return error
        except Exception as error:  # noqa: BLE001 - a fault in a provider costs its rows, not the worker
            return CallError(f"{type(error).__name__}: {error}")


class _RayLane:
    """A lane whose batches are answered by the pool."""

    heavy = True

    def __init__(self, name: LaneName, inner: Lane, pool: _Pool) -> None:
        self._name, self._inner, self._pool = name, inner, pool
        # the pool counts the time itself, since a batch may have to wait for a worker
        self.limits: Limits = replace(inner.limits, max_concurrency=pool.size, timeout_s=None)

    async def answer(self, payloads: Sequence[str]) -> Sequence[Answer | CallError]:
        return await self._pool.answer(self._name, list(payloads), self._inner.limits.timeout_s)

    def estimate(self, payload: str) -> Estimate:
        return self._inner.estimate(payload)

    def halt(self) -> None:
        """Let go of the batches that no worker has begun."""
        self._pool.halt(self._name)

    async def close(self) -> None:
        await self._pool.close()


# --- the pool --------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Job:
    """One batch until it is answered, and how many workers were lost while they had it."""

    lane: LaneName
    payloads: list[str]
    timeout_s: float | None
    done: asyncio.Future[Sequence[Answer | CallError]]
    losses: int = 0

    def settle(self, result: Sequence[Answer | CallError] | CallError) -> None:
        if self.done.done():
            return
        if isinstance(result, CallError):
            self.done.set_exception(result)
        else:
            self.done.set_result(result)


@dataclass
class _Hired:
    lane: LaneName
    actor: Any


class _Pool:
    """So many workers, each with one lane open at a time, that take the batches of several lanes.

    A worker stays with its lane while that has batches waiting, and only takes a batch once it is ready for it: a worker that
    the cluster has no room for holds nothing up.
    """

    def __init__(self, size: int, hire: Callable[[LaneName], Any]) -> None:
        self.size = size
        self._hire = hire
        self._waiting: dict[LaneName, deque[_Job]] = {}
        self._serving: Counter[LaneName] = Counter()  # workers per lane, those that are being started included
        self._halted: set[LaneName] = set()
        self._suspects: set[str] = set()  # payloads of batches that were taken for the cause of a loss
        self._ready = 0
        self._stillborn = 0  # workers lost in a row before they were ready
        self._slots: list[asyncio.Task[None]] = []

    async def answer(self, lane: LaneName, payloads: list[str], timeout_s: float | None) -> Sequence[Answer | CallError]:
        """Answer one batch. Raises CallError."""
        loop = asyncio.get_running_loop()
        if not self._slots:
            self._changed = asyncio.Event()
            self._idle_since = loop.time()
            self._slots = [loop.create_task(self._slot()) for _ in range(self.size)]
        job = _Job(lane, payloads, timeout_s, loop.create_future())
        self._put(job)
        while not job.done.done():
            await asyncio.wait([job.done], timeout=_LOOK)
            if not self._ready and loop.time() - self._idle_since > _PATIENCE:
                self._refuse(lane, CallError(f"no Ray worker could be had in {_PATIENCE:.0f} s: see ray status", fatal=True))
        return job.done.result()

    def halt(self, lane: LaneName) -> None:
        """Give back the batches of this lane that wait for a worker."""
        self._halted.add(lane)
        self._refuse(lane, CallError("stopped", unmade=True))

    async def close(self) -> None:
        """End all workers."""
        slots, self._slots = self._slots, []
        for slot in slots:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)

    # --- one worker after another in one slot -------------------------------------------------------------------

    async def _slot(self) -> None:
        worker: _Hired | None = None
        try:
            while True:
                lane = await self._lane_to_serve(worker)
                if worker is None:
                    worker = await self._hired(lane)
                elif worker.lane != lane or not await self._serve(worker):
                    self._dismiss(worker)
                    worker = None
        finally:
            if worker is not None:
                self._dismiss(worker)

    async def _lane_to_serve(self, worker: _Hired | None) -> LaneName:
        """The worker's own lane if it has batches waiting, else the one with the fewest workers of those that have."""
        while True:
            waiting = [lane for lane, jobs in self._waiting.items() if jobs]
            if worker is not None and worker.lane in waiting:
                return worker.lane
            if waiting:
                return min(waiting, key=self._serving.__getitem__)
            self._changed.clear()
            await self._changed.wait()

    async def _hired(self, lane: LaneName) -> _Hired | None:
        """A worker with this lane open; None where it was lost before, or cannot open it."""
        self._serving[lane] += 1
        actor = None
        try:
            actor = self._hire(lane)
            refusal = await actor.open.remote()
        except Exception as error:  # noqa: BLE001 - Ray's many words for: there is no worker
            self._stillborn += 1
            refusal = None
            if self._stillborn >= self.size + _MOST_LOSSES:
                refusal = CallError(f"Ray workers cannot be started: {_first_line(error)}", fatal=True)
        except BaseException:
            _kill(actor)
            raise
        else:
            if refusal is None:
                self._stillborn = 0
                self._ready += 1
                return _Hired(lane, actor)
        self._serving[lane] -= 1
        _kill(actor)
        if refusal is not None:
            self._refuse(lane, refusal)
        await asyncio.sleep(_LOOK)
        return None

    def _dismiss(self, worker: _Hired) -> None:
        _kill(worker.actor)
        self._serving[worker.lane] -= 1
        self._ready -= 1
        self._idle_since = asyncio.get_running_loop().time()

    async def _serve(self, worker: _Hired) -> bool:
        """Let the worker answer the next batch of its lane; False when it is no longer of use."""
        jobs = self._waiting[worker.lane]
        if not jobs:
            return True
        job = jobs.popleft()
        try:
            async with asyncio.timeout(job.timeout_s):
                job.settle(await worker.actor.answer.remote(job.payloads))
        except TimeoutError:
            job.settle(CallError(f"no answer within {job.timeout_s:g} s", retry=True))
        except Exception as error:  # noqa: BLE001 - the worker catches what its lane raises: this is a loss, in Ray's many words
            self._lost(job, error)
        else:
            return True
        return False

    # --- what becomes of a batch --------------------------------------------------------------------------------

    def _put(self, job: _Job, *, first: bool = False) -> None:
        if job.lane in self._halted:
            job.settle(CallError("stopped", unmade=True))
            return
        jobs = self._waiting.setdefault(job.lane, deque())
        jobs.insert(0 if first else len(jobs), job)
        self._changed.set()

    def _lost(self, job: _Job, error: Exception) -> None:
        """Run the batch again elsewhere, unless it seems to be what ends the workers: then it is halved by whoever asked."""
        job.losses += 1
        known = all(payload in self._suspects for payload in job.payloads)
        if job.losses < (1 if known else _MOST_LOSSES):
            self._put(job, first=True)
            return
        self._suspects.update(job.payloads)
        job.settle(CallError(f"Ray workers were lost while they computed this: {_first_line(error)}"))

    def _refuse(self, lane: LaneName, error: CallError) -> None:
        for job in self._waiting.pop(lane, ()):
            job.settle(error)


# --- what a worker is given ------------------------------------------------------------------------------------


def _stage(root: Path, folder: Path) -> None:
    """Copy the code that workers need: this package and the project's functions, no data and no answers."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "starter")
    shutil.copytree(Path(__file__).parent, folder / "bclust", ignore=ignore)
    shutil.copytree(root / "udfs", folder / "udfs", ignore=ignore)


def _own_variables(context: Context, reads: Sequence[str], lane: str) -> dict[str, str]:
    """The environment variables that the lane's own rows name (``..._env: NAME``): no other secret leaves this machine."""
    rows = [row for seed in reads for row in context.rows(seed) if lane in row.values()]
    names = {str(value) for row in rows for key, value in row.items() if key.endswith("_env") and value}
    return {name: context.env[name] for name in sorted(names) if name in context.env}


def _check_reachable(address: str | None) -> None:
    """Raises OSError where nobody listens: Ray itself would try for many minutes."""
    if address is None or "://" in address:
        return
    import ray

    found = ray._private.services.canonicalize_bootstrap_address(address)  # type: ignore[attr-defined]
    if found:
        host, _, port = found.rpartition(":")
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself when it starts; a build has its own way to stop."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _kill(actor: Any) -> None:
    if actor is not None:
        import ray

        with contextlib.suppress(Exception):  # it may be dead, and the cluster with it
            ray.kill(actor)


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
