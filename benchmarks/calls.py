"""How fast paid calls are made, against the plain SDK and inspect-ai on the same server, and how fast stored answers come back.

    python benchmarks/calls.py [--quick] [--data DIR] [--calls N] [--pairs N] [--inspect-python PYTHON]

The server of the tests runs in a process of its own and answers after 100 to 200 ms. Each comparison is made in pairs that take
turns, in fresh processes, and the median of the pairs' ratios counts, since machines are noisy. A ratio is a throughput of ours
divided by that of the peer:

* sdk: calls at 64 connections, against the openai SDK in plain asyncio with a semaphore of 64.
* filtered: as many calls after a filter that keeps one row in ten, 1 % of the answers taking 4 s; peer: the SDK, same questions.
* adaptive: a server that answers 429 above 48 in flight, against our own best fixed concurrency.
* inspect: inspect-ai, if it can be imported here or by --inspect-python (it may live in an environment of its own).
* collect and replay: what 200,000 stored answers add to a query, and the memory that they take.

--data is taken so that all benchmarks are called alike; the questions are made here. The last line is JSON: sdk_ratio,
filtered_ratio, inspect_ratio (null: inspect-ai is absent), adaptive_ratio, collect_replay_s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._processes import last_json, server  # noqa: E402 - found by the line above

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
CONNECTIONS = 64
MAX_TOKENS = 16
INSPECT = """
import json, sys, time
from inspect_ai import Task, eval as run
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, get_model
from inspect_ai.solver import generate
n, connections, url, logs = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
model = get_model("openai/m", base_url=url, api_key="none", responses_api=False)
config = dict(max_connections=connections, max_tokens=16, temperature=0)
task = Task(dataset=[Sample(input=f"question {i}") for i in range(n)], solver=generate(), config=GenerateConfig(**config))
began = time.perf_counter()
[log] = run(task, model=model, display="none", log_dir=logs, max_samples=connections, max_connections=connections)
seconds = time.perf_counter() - began
assert log.status == "success", log.error
print(json.dumps({"seconds": seconds, "answered": len(log.samples)}))
"""


# --- what is measured, each in a process of its own ------------------------------------------------------------


def run_ours(n: int, concurrency: int, url: str, keep: int) -> dict[str, Any]:
    """``n`` calls through SQL, the call store and back: those of every ``keep``-th of ``n * keep`` rows."""
    import openai  # noqa: F401 - the import is no part of what is timed, as with the SDK alone

    with tempfile.TemporaryDirectory() as folder:
        desk, con = open_project(Path(folder), url, concurrency)
        query = f"select llm('question ' || i, 'm').text as answer from range({n * keep}) as t(i) where i % {keep} = 0"
        began = time.perf_counter()
        con.execute(f"create or replace table answers as {query}")
        summary = desk.answer(on_event=lambda _: None, stop=threading.Event())
        desk.start_pass()
        con.execute(f"create or replace table answers as {query}")
        seconds = time.perf_counter() - began
        [(answered,)] = con.execute("select count(answer) from answers")
        close_project(desk, con)
    return {"seconds": seconds, "answered": answered, "failed": summary.failed, "retries": summary.retries}


def run_sdk(n: int, concurrency: int, url: str, keep: int) -> dict[str, Any]:
    """The same questions through the SDK alone, as one would write it by hand."""
    import openai

    async def ask_all() -> list[str | None]:
        gate = asyncio.Semaphore(concurrency)
        async with openai.AsyncOpenAI(api_key="none", base_url=url) as client:

            async def ask(i: int) -> str | None:
                async with gate:
                    response = await client.chat.completions.create(
                        model="m", messages=[{"role": "user", "content": f"question {i}"}], temperature=0, max_tokens=MAX_TOKENS
                    )
                return response.choices[0].message.content

            return await asyncio.gather(*(ask(i) for i in range(0, n * keep, keep)))

    began = time.perf_counter()
    answers = asyncio.run(ask_all())
    return {"seconds": time.perf_counter() - began, "answered": sum(answer is not None for answer in answers)}


def run_replay(n: int) -> dict[str, Any]:
    """A query over ``n`` stored answers, collected and replayed, against the same query over a table; and its memory."""
    with tempfile.TemporaryDirectory() as folder:
        desk, con = open_project(Path(folder), "http://127.0.0.1:9/v1", CONNECTIONS)
        fill(desk, n)
        con.execute(
            f"create table questions as select 'question ' || i as prompt, repeat('answer ', 30) as text from range({n}) as t(i)"
        )
        began = time.perf_counter()
        con.execute("create or replace table answers as select prompt, text from questions")
        plain = time.perf_counter() - began
        before = peak_mib(reset=True)
        began = time.perf_counter()
        for _ in range(2):  # what collects finds all, what replays finds it again
            desk.start_pass()
            con.execute("create or replace table answers as select prompt, llm(prompt, 'm').text as text from questions")
        seconds = time.perf_counter() - began - 2 * plain
        [(answered,)] = con.execute("select count(text) from answers")
        memory = peak_mib() - before
        close_project(desk, con)
    return {"seconds": seconds, "answered": answered, "peak_mib": memory, "plain": plain}


def open_project(folder: Path, url: str, concurrency: int) -> tuple[Any, Any]:
    """A desk over an empty store, and a database in which llm() is its."""
    from bclust.calls.desk import CallDesk
    from bclust.calls.store import CallStore
    from bclust.functions import Context
    from bclust.project.registry import load_functions
    from bclust.warehouse.database import Warehouse

    row = {"llm_id": "m", "provider": "openai", "model": "m", "base_url": url, "temperature": 0, "max_tokens": MAX_TOKENS}
    row |= {"max_concurrency": concurrency, "max_retries": 20}
    context = Context(folder, seeds={"llms": [row], "embedders": []}, env={})
    desk = CallDesk(CallStore(folder / "calls.sqlite"), context)
    function = load_functions(ROOT)["llm"]
    con = Warehouse(folder / "warehouse.duckdb")
    con.register(function, desk.arrow_function(function))
    return desk, con


def close_project(desk: Any, con: Any) -> None:
    con.close()
    desk.store.close()


def fill(desk: Any, n: int) -> None:
    """Store ``n`` answers as if they had been given, each of 210 characters."""
    from bclust.calls.store import Call, call_key
    from bclust.functions import Answer
    from bclust.project.registry import load_functions

    function = load_functions(ROOT)["llm"]
    assert function.target is not None
    caller = function.target(desk.context)
    for i in range(n):
        payload = caller.request(f"question {i}", "m", None, 0, None, None, False, None).payload
        call = Call(call_key("llm", function.version, payload), "llm", function.version, "m", payload)
        desk.store.put(call, Answer("answer " * 30, "stop", 5, 30, 0.0, latency_ms=1.0), lambda: None)
    desk.store.flush()


def peak_mib(*, reset: bool = False) -> float:
    """The largest resident memory of this process since the last reset, MiB (Linux; nan elsewhere)."""
    with contextlib.suppress(OSError):
        if reset:
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    return float("nan")


# --- pairs -----------------------------------------------------------------------------------------------------


def fresh(kind: str, *arguments: Any) -> dict[str, Any]:
    """Measure in a process of its own."""
    return last_json([sys.executable, str(Path(__file__)), "--one", json.dumps([kind, *arguments])], ONE_THREAD)


def against_sdk(n: int, pairs: int, keep: int, **behavior: Any) -> float:
    """Throughput of ours over the SDK's, the median of ``pairs``."""
    ratios = []
    with server(latency_ms=[100, 200], **behavior) as url:
        for pair in range(pairs):
            order = ("ours", "sdk") if pair % 2 else ("sdk", "ours")
            seconds = {kind: _complete(fresh(kind, n, CONNECTIONS, url, keep), n)["seconds"] for kind in order}
            ratios.append(seconds["sdk"] / seconds["ours"])
            print(f"  ours {n / seconds['ours']:6.0f} /s   sdk {n / seconds['sdk']:6.0f} /s   ratio {ratios[-1]:.2f}", flush=True)
    return statistics.median(ratios)


def adaptive(n: int, pairs: int) -> float:
    """Our throughput where more than 48 in flight are refused, over that of our best fixed concurrency."""
    ratios = []
    with server(latency_ms=[100, 200], max_in_flight=48) as url:
        for _ in range(pairs):
            fixed = {c: n / _complete(fresh("ours", n, c, url, 1), n)["seconds"] for c in (32, 40, 48)}
            ours = _complete(fresh("ours", n, CONNECTIONS, url, 1), n)
            best = max(fixed, key=lambda c: fixed[c])
            ratios.append(n / ours["seconds"] / fixed[best])
            print(
                f"  ours {n / ours['seconds']:6.0f} /s ({ours['retries']} retries)   best fixed ({best}) {fixed[best]:6.0f} /s   "
                f"ratio {ratios[-1]:.2f}",
                flush=True,
            )
    return statistics.median(ratios)


def against_inspect(n: int, pairs: int, python: str) -> float | None:
    """Throughput of ours over inspect-ai's; None where it is absent."""
    if subprocess.run([python, "-c", "import inspect_ai"], capture_output=True, check=False).returncode:
        print(f"  inspect-ai is absent from {python}: install it into an environment of its own, and name that: --inspect-python")
        return None
    ratios = []
    with server(latency_ms=[100, 200]) as url:
        for _ in range(pairs):
            with tempfile.TemporaryDirectory() as logs:
                command = [python, "-c", INSPECT, str(n), str(CONNECTIONS), url, logs]
                theirs = _complete(last_json(command, ONE_THREAD), n)["seconds"]
            ours = _complete(fresh("ours", n, CONNECTIONS, url, 1), n)["seconds"]
            ratios.append(theirs / ours)
            print(f"  ours {n / ours:6.0f} /s   inspect {n / theirs:6.0f} /s   ratio {ratios[-1]:.2f}", flush=True)
    return statistics.median(ratios)


def _complete(result: dict[str, Any], n: int) -> dict[str, Any]:
    if result["answered"] != n or result.get("failed"):
        raise RuntimeError(f"{result['answered']} of {n} answered, {result.get('failed', 0)} failed")
    return result


def main() -> None:
    """Read the options, measure, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one pair each, 600 calls, 50,000 stored answers")
    parser.add_argument("--data", type=Path, help="not used: questions are made here")
    parser.add_argument("--calls", type=int, help="calls of one run (default 1,500)")
    parser.add_argument("--pairs", type=int, help="pairs of runs (default 3)")
    parser.add_argument("--inspect-python", default=sys.executable, help="a Python that can import inspect_ai")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        kind, *rest = json.loads(arguments.one)
        measured: dict[str, Callable[..., dict[str, Any]]] = {"ours": run_ours, "sdk": run_sdk, "replay": run_replay}
        print(json.dumps(measured[kind](*rest)))
        return
    n, pairs = arguments.calls or (600 if arguments.quick else 1500), arguments.pairs or (1 if arguments.quick else 3)
    load = os.getloadavg()[0]
    print(f"{n} calls, {CONNECTIONS} connections, 100 to 200 ms; {os.cpu_count()} cores, load {load:.1f} before\n\nplain SDK")
    figures: dict[str, float | None] = {"sdk_ratio": against_sdk(n, pairs, 1)}
    print("after a filter that keeps one row in ten, 1 % of answers take 4 s")
    figures["filtered_ratio"] = against_sdk(n, pairs, 10, slow_share=0.01, slow_ms=4000)
    print("a server that refuses more than 48 in flight")
    figures["adaptive_ratio"] = adaptive(n, pairs)
    print("inspect-ai")
    figures["inspect_ratio"] = against_inspect(n, 1 if arguments.quick else min(2, pairs), arguments.inspect_python)
    stored = 50_000 if arguments.quick else 200_000
    replay = _complete(fresh("replay", stored), stored)
    print(f"collect and replay {stored:,} stored answers: {replay['seconds']:.2f} s, peak memory +{replay['peak_mib']:.0f} MiB")
    print(f"load {os.getloadavg()[0]:.1f} after")
    figures["collect_replay_s"] = replay["seconds"]
    print(json.dumps({name: None if value is None else round(value, 3) for name, value in figures.items()}))


if __name__ == "__main__":
    main()
