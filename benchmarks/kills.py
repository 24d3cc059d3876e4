"""Builds that are killed at every moment: is an answer that arrived ever asked again, and does anything get lost?

    python benchmarks/kills.py [--n 200] [--quick] [--seed N]

Each build asks two language models (the interfaces of OpenAI and Anthropic) and an embedder of servers on this machine, which
count what they are asked; every seventh try fails. A build is ended by SIGKILL, SIGTERM, SIGHUP or two SIGINT, somewhere from 0
to 4 s after a moment that is drawn:

* collect: a line says that the statements are there, and questions are collected.
* call: a server has its first request.
* replay: the servers have answered everything, and the answers become tables.
* publish: the last table is there, and readers get a new file.
* refresh: as call, of a build with --refresh-calls.

Then the same command is run to its end, and the tables and the servers' counts are compared with a run that nothing disturbed.
For every ten kills two builds run at the same time on one store, undisturbed: of two targets, or twice of one.

An answer counts as received when the process has read it from its socket. That is known from the kernel: the process is stopped
(SIGSTOP) before it is killed, and the answers that a server had sent in full are looked up in /proc/net/tcp: what has left the
queue of the server's socket and is not in the receive queue of the process's was read. Of a signal that can be caught, answers
under way may still arrive, and are counted where the server sent them in full before the process was gone.

The last line is JSON: kills, after_first_request, in_publish_or_replay, asked_again_after_received, rows_differ, pairs,
asked_twice_by_two_builds.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))

from bclust.project.literals import quote
from bclust.warehouse.database import open_published
from tests.functional.loopback import Behavior, Loopback

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parent.parent
SIGNALS = ("SIGKILL", "SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
MOMENTS = ("collect", "call", "call", "replay", "publish", "refresh")
SELECTED = ("-s", "responses approvals approval_rates response_embeddings")
STATEMENTS = 20
LOCALHOST = "0100007F"
OWN = ("latency_ms", "responded_at", "answered_at", "params")  # of a run, and of its servers: their addresses


class Counting(Loopback):
    """A server that knows on which connection each answer was last sent in full."""

    def __init__(self, behavior: Behavior) -> None:
        super().__init__(behavior)
        self.sent: dict[int, str] = {}  # the port of the client -> what was answered

    async def _request(self, path: str, headers: dict[str, str], body: dict[str, Any], writer: asyncio.StreamWriter) -> bool:
        before = self.counts.answered.copy()
        goes_on = await super()._request(path, headers, body, writer)
        for asked in self.counts.answered - before:
            self.sent[writer.get_extra_info("peername")[1]] = asked
        return goes_on


@dataclass
class Rounds:
    """What has been seen so far."""

    kills: Counter[str] = field(default_factory=Counter)
    after_first_request: int = 0
    asked_again: list[str] = field(default_factory=list)
    rows_differ: list[str] = field(default_factory=list)
    pairs: int = 0
    twice_by_two: int = 0
    ended_before: int = 0


class Study:
    """A small study in a folder of its own, with servers of its own."""

    def __init__(self, blank: Path, folder: Path, stack: contextlib.ExitStack, *, faults: bool) -> None:
        shutil.copytree(blank, folder)
        self.folder = folder
        share = {"fault_share": 0.15, "faults": ("429", "500", "reset"), "retry_after": 0.1} if faults else {}
        behavior = {"latency_ms": (20, 250), **share}
        self.servers = [stack.enter_context(Counting(Behavior(**behavior))) for _ in range(2)]  # type: ignore[arg-type]
        self.servers.append(stack.enter_context(Counting(Behavior(dimensions=4, latency_ms=(20, 100)))))
        config = yaml.safe_load((folder / "bclust.yml").read_text())
        config["vars"] |= {"prompt_types": ["personas"], "themes_llm": None, "judge_llm": None, "n_statements": STATEMENTS}
        common = {
            "max_concurrency": 8, "initial_sleep_s": 0.05, "max_retries": 12, "temperature": 0, "max_tokens": 8,
            "usd_per_mtok_in": 0, "usd_per_mtok_out": 0,
        }  # fmt: skip
        config["seeds"]["llms"] = [
            {"llm_id": "gpt", "provider": "openai", "model": "g", "base_url": self.servers[0].url} | common,
            {"llm_id": "claude", "provider": "anthropic", "model": "c", "base_url": self.servers[1].anthropic_url}
            | {"api_key_env": "KILLS_KEY"}
            | common,
        ]
        config["seeds"]["embedders"] = [
            {"embedder": "default", "provider": "openai", "model": "e", "base_url": self.servers[2].url, "usd_per_mtok_in": 0}
        ]
        config["targets"] = {"one": {}, "two": {"warehouse": "two.duckdb"}}
        config["default_target"] = "one"
        (folder / "bclust.yml").write_text(yaml.safe_dump(config, sort_keys=False))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A build in a process of its own, whose output is read."""
        return subprocess.Popen(
            [sys.executable, "-m", "bclust", "build", "-y", *SELECTED, *arguments],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "KILLS_KEY": "none", "COLUMNS": "200", "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def build(self, *arguments: str) -> str:
        """A build that nothing disturbs; what it said."""
        process = self.start(*arguments)
        said = process.communicate(timeout=300)[1]
        if process.returncode:
            raise RuntimeError(said)
        return said

    def tables(self, file: str = "warehouse.duckdb") -> dict[str, list[str]]:
        """All rows of all published tables, but for times and addresses."""
        with open_published(self.folder / file) as warehouse:
            found = {}
            for name in warehouse.tables():
                left_out = [c for c in warehouse.columns(quote(name)) if c in OWN]
                chosen = f"* exclude ({', '.join(left_out)})" if left_out else "*"
                found[name] = sorted(str(row) for row in warehouse.rows(f"select {chosen} from {quote(name)}"))
            return found

    @property
    def asked(self) -> int:
        return sum(server.counts.requests for server in self.servers)

    def delivered(self) -> Counter[str]:
        """How often each question was answered in full."""
        return Counter({f"{i} {a}": n for i, server in enumerate(self.servers) for a, n in server.counts.answered.items()})

    def received(self) -> set[str]:
        """What has been read from its socket by the process that is stopped now."""
        sent = [dict(server.sent) for server in self.servers]  # first: what is sent after the queues were seen is in none of them
        queues = _queues()
        found = set()
        for i, server in enumerate(self.servers):
            for port, asked in sent[i].items():
                sending = queues.get((server.port, port), (0, 0))[0]
                unread = queues.get((port, server.port), (0, 0))[1]
                if not sending and not unread:
                    found.add(f"{i} {asked}")
        return found


def _queues() -> dict[tuple[int, int], tuple[int, int]]:
    """Of each connection on this machine (its own port, the other's): bytes not yet sent and acknowledged, and not yet read."""
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        (own, own_port), (_, other_port) = (w.split(":") for w in words[1:3])
        if own == LOCALHOST:
            sending, unread = words[4].split(":")
            found[int(own_port, 16), int(other_port, 16)] = int(sending, 16), int(unread, 16)
    return found


def _watch(process: subprocess.Popen[str], lines: list[str]) -> threading.Thread:
    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)  # noqa: PERF402 - each line is seen when it comes

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _moment(study: Study, moment: str, lines: list[str], of: int) -> Callable[[], bool]:
    """Whether the moment has come."""
    before, answered = study.asked, sum(study.delivered().values())
    return {
        "collect": lambda: any(" statements " in line for line in lines),
        "call": lambda: study.asked > before,
        "refresh": lambda: study.asked > before,
        "replay": lambda: sum(study.delivered().values()) - answered >= of,
        "publish": lambda: any("approval_rates " in line or "response_embeddings " in line for line in lines),
    }[moment]


def one_round(study: Study, draw: random.Random, seen: Rounds, clean: dict[str, list[str]], questions: int) -> None:
    """Kill one build, finish it, compare."""
    name, moment = draw.choice(SIGNALS), draw.choice(MOMENTS)
    if moment == "refresh":
        study.build()
    again = ("--refresh-calls", "llm") if moment == "refresh" else ()
    lines: list[str] = []
    delivered_first = study.delivered()
    process = study.start(*again)
    reader = _watch(process, lines)
    come = _moment(study, moment, lines, questions)
    until = time.monotonic() + 60
    while not come() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    wait = draw.uniform(0, 0.4) if moment in ("replay", "publish") else draw.uniform(0, 4) ** 2 / 4
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(wait)
    if process.poll() is not None:
        seen.ended_before += 1
        received: set[str] = set()
    else:
        asked_before = study.asked > 0
        received = _end(process, name, study)
        seen.kills[f"{name} {moment}"] += 1
        seen.after_first_request += asked_before
    reader.join(5)
    while any(server.counts.in_flight for server in study.servers):
        time.sleep(0.005)
    delivered = study.delivered()
    study.build()
    twice = study.delivered() - delivered
    new = {asked for asked in received if moment != "refresh" or delivered[asked] > delivered_first[asked]}
    seen.asked_again += sorted(asked for asked in new if twice[asked] > 0)
    found = study.tables()
    seen.rows_differ += [f"{name} {moment}: {table}" for table in clean if found.get(table) != clean[table]]


def one_pair(study: Study, target: str, seen: Rounds, clean: dict[str, list[str]]) -> None:
    """Two builds at once on one store, of which the second may have to wait for the first if both are of one target."""
    pair = [study.start("-t", name) for name in ("one", target)]
    for process in pair:
        said = process.communicate(timeout=300)[1]
        if process.returncode and "another build" not in said:
            raise RuntimeError(said)
    seen.pairs += 1
    seen.twice_by_two += sum(n - 1 for n in study.delivered().values())
    for file in ("warehouse.duckdb", *(["two.duckdb"] if target == "two" else [])):
        found = study.tables(file)
        seen.rows_differ += [f"two builds, {file}: {table}" for table in clean if found.get(table) != clean[table]]


def _end(process: subprocess.Popen[str], name: str, study: Study) -> set[str]:
    """Send the signal; what the process had received."""
    if name == "SIGKILL":
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.02)
        received = study.received()
        process.kill()
        process.wait(30)
        return received
    received = study.received()
    process.send_signal(getattr(signal, name))
    if name == "SIGINT":
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.3)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    process.wait(120)
    return received


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, kill, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200, help="how many builds are killed (default 200)")
    parser.add_argument("--quick", action="store_true", help="six of them")
    parser.add_argument("--data", type=Path, help="not used: the statements are those of the starter")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    draw, seen = random.Random(options.seed), Rounds()
    n = 6 if options.quick else options.n
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        subprocess.run(
            [sys.executable, "-m", "bclust", "init", "blank"],
            cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True,
        )  # fmt: skip
        undisturbed = Study(folder / "blank", folder / "clean", stack, faults=False)
        undisturbed.build()
        clean, questions = undisturbed.tables(), sum(undisturbed.delivered().values())
        number = 0
        while sum(seen.kills.values()) < n:
            with contextlib.ExitStack() as own:
                study = Study(folder / "blank", folder / f"round-{number}", own, faults=number % 11 > 0)
                if number % 11:
                    one_round(study, draw, seen, clean, questions)
                else:
                    one_pair(study, ("one", "two")[number % 2], seen, clean)
            shutil.rmtree(study.folder)
            number += 1
    for kind, count in sorted(seen.kills.items()):
        print(f"  {kind:<24} {count:>4}")
    print(f"  builds that had ended before they were killed {seen.ended_before}")
    for what in (*seen.asked_again[:10], *seen.rows_differ[:10]):
        print(f"  ! {what}")
    late = sum(n for kind, n in seen.kills.items() if kind.split()[1] in ("replay", "publish"))
    print(
        json.dumps(
            {
                "kills": sum(seen.kills.values()), "after_first_request": seen.after_first_request,
                "in_publish_or_replay": late, "asked_again_after_received": len(seen.asked_again),
                "rows_differ": len(seen.rows_differ), "pairs": seen.pairs, "asked_twice_by_two_builds": seen.twice_by_two,
            }
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
