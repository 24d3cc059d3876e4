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
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bclust.calls.ray_pool import LaneName, Pool, first_line
from bclust.errors import BclustError, FunctionError
from bclust.functions import Answer, CallError, Context
from bclust.project.registry import load_functions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bclust.functions import Estimate, Lane, Limits
    from bclust.project.config import CallsConfig

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
        pool = Pool(self._size(), lambda name: self._hire(name, reads.get(name[0], ())), _end)
        return {**lanes, **{name: _RayLane(name, lane, pool) for name, lane in heavy.items()}}

    def close(self) -> None:
        """Stop the cluster that was started here, or leave the one that was there before."""
        if self._connected:
            _ray().shutdown()
            self._connected = False

    def _connect(self) -> None:
        if self._connected:
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        ray = _ray()
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
                    f"no Ray cluster can be used {place}: {first_line(error)}",
                    hint="ray status shows a running one; calls: {ray_address: null} starts one here",
                ) from error
        self._connected = True

    def _size(self) -> int:
        """How many workers fit into the nodes that are alive."""
        config = self._config
        if config.ray_workers:
            return config.ray_workers
        wanted = {"CPU": config.ray_cpus_per_worker, "GPU": config.ray_gpus_per_worker}
        nodes = [node["Resources"] for node in _ray().nodes() if node["Alive"]]
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
        options = (
            _ray()
            .remote(Worker)
            .options(num_cpus=self._config.ray_cpus_per_worker, num_gpus=self._config.ray_gpus_per_worker, max_restarts=0)
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

    def __init__(self, name: LaneName, inner: Lane, pool: Pool) -> None:
        self._name, self._inner, self._pool = name, inner, pool
        # the pool counts the time itself, since a batch may have to wait for a worker; all workers load their model at once
        self.limits: Limits = replace(inner.limits, max_concurrency=pool.size, timeout_s=None, first_alone=False)

    async def answer(self, payloads: Sequence[str]) -> Sequence[Answer | CallError]:
        return await self._pool.answer(self._name, list(payloads), self._inner.limits.timeout_s)

    def estimate(self, payload: str) -> Estimate:
        return self._inner.estimate(payload)

    def halt(self) -> None:
        """Let go of the batches that no worker has begun."""
        self._pool.halt(self._name)

    async def close(self) -> None:
        await self._pool.close()


# --- what a worker is given ------------------------------------------------------------------------------------


def _stage(root: Path, folder: Path) -> None:
    """Copy the code that workers need: this package and the project's functions, no data and no answers."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "starter")
    shutil.copytree(Path(__file__).parent.parent, folder / "bclust", ignore=ignore)
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
    found = _ray()._private.services.canonicalize_bootstrap_address(address)
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


def _end(actor: Any) -> None:
    if actor is not None:
        with contextlib.suppress(Exception):  # it may be dead, and the cluster with it
            _ray().kill(actor)


def _ray() -> Any:
    """The package, imported on use: it takes half a second."""
    import ray

    return ray
