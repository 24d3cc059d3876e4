"""bclust beside its peers on the same work: who takes longer, and who asks the language model more often.

    python benchmarks/peers.py [--quick] [--data DIR] [--pairs N] [--envs DIR] [--only PEER ...]

About 2,000 answers of three language models to persona statements exist already, and so do their MiniLM vectors; every side
is handed both, and asks the same loopback server, which answers after 100 to 200 ms. Calls are counted there. Each peer is
installed into an environment of its own on first use (installing is not timed) and driven by a script of benchmarks/_peers/.

* inspect: calls alone, as in benchmarks/calls.py.
* kura, BERTopic: group the answers, name each group. equal: k-means, as many groups and names on both sides. shipped: BERTopic
  groups by HDBSCAN; kura also summarises every answer and groups groups, from our number of groups.
* StringSight: group, name, compare the language models. It also asks which group each answer belongs to that its HDBSCAN left
  out. shipped: it extracts behaviors from every answer first.
* seed: what the earlier system did to answers, as plain scikit-learn with its settings: four clusterings, three names per
  cluster one after the other, Ward's tree, t-SNE.

Both sides are commands in fresh processes, from start to exit, which take turns. `seconds` are those of the command; in
brackets those without the start and the imports (ours imports on use, so some remain in it); `cpu s` are processor seconds,
which other work on the machine changes less. Ours starts from stored answers and vectors, and each build ends with data tests
and a published warehouse. A ratio is the peer's seconds over ours, above 1 where bclust is faster; the median of the pairs
counts. The row "everything" is bclust alone: three names per cluster, judged on unseen members, two clusterings, tree, map,
paired differences. The last line is JSON: for each peer its ratio on equal work, null where it could not be installed or run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks._peers import ours  # noqa: E402 - found by the line above
from benchmarks._peers.environments import FOLDER, PEERS, NotInstalledError, python_of, version_of  # noqa: E402
from benchmarks._peers.ours import Build, Measured, Study  # noqa: E402
from benchmarks._processes import children_cpu, last_json, requests, server  # noqa: E402
from benchmarks.calls import against_inspect  # noqa: E402

LATENCY_MS = (100, 200)
LIMIT_S = 180  # kura sometimes waits for the 600 s of its client's time limit
Ratios = dict[str, float | None]


@dataclass(frozen=True)
class Work:
    """One comparison: what a peer's script is told, and the builds that do the same."""

    peer: str
    mode: str
    builds: list[Build]


WORKS = (
    Work("kura", "equal", ours.NAMES),
    Work("kura", "shipped", ours.NAMES),
    Work("bertopic", "equal", ours.NAMES),
    Work("bertopic", "shipped", ours.NAMES),
    Work("stringsight", "equal", ours.COMPARED),
    Work("stringsight", "shipped", ours.COMPARED),
    Work("seed", "equal", ours.SEED),
)
HEAD = f"{'peer':<13}{'work':<9}" + "".join(
    f"{name:>{width}}"
    for name, width in {
        "seconds": 15,
        "of bclust": 15,
        "ratio": 8,
        "cpu s": 8,
        "bclust's": 11,
        "calls": 8,
        "bclust's ": 11,
    }.items()
)


def run_peer(work: Work, python: Path, study: Study, url: str) -> tuple[Measured, dict[str, Any]]:
    """One run of a peer's script, and what it says of it. Raises RuntimeError where it fails or names too little."""
    script = ROOT / "benchmarks" / "_peers" / f"run_{work.peer}.py"
    told = {"folder": str(study.files), "url": url, "mode": work.mode, "n_clusters": study.n_clusters}
    with tempfile.TemporaryDirectory() as scratch:
        before, cpu, began = requests(url), children_cpu(), time.perf_counter()
        said = last_json([str(python), str(script), json.dumps(told)], {"PYTHONPATH": ""}, Path(scratch), LIMIT_S)
        seconds = time.perf_counter() - began
    if said["named"] < said["clusters"] or not said["clusters"]:
        raise RuntimeError(f"{said['named']} of {said['clusters']} clusters were named")
    return Measured(seconds, said["seconds"], children_cpu() - cpu, requests(url) - before), said


def compare(work: Work, python: Path, study: Study, url: str, pairs: int) -> float:
    """Print a line per pair; the median of the ratios."""
    ratios = []
    for pair in range(pairs):
        if pair % 2:
            mine, (theirs, said) = study.measure(work.builds), run_peer(work, python, study, url)
        else:
            (theirs, said), mine = run_peer(work, python, study, url), study.measure(work.builds)
        ratios.append(theirs.seconds / mine.seconds)
        steps = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in said.get("steps", {}).items())
        print(
            f"{work.peer:<13}{work.mode:<9}{_seconds(theirs):>15}{_seconds(mine):>15}{ratios[-1]:>8.2f}"
            f"{theirs.cpu:>8.1f}{mine.cpu:>11.1f}{theirs.calls:>8,}{mine.calls:>11,}"
            f"   {said['clusters']} clusters{f': {steps}' if steps else ''}",
            flush=True,
        )
    return statistics.median(ratios)


def _seconds(measured: Measured) -> str:
    return f"{measured.seconds:.1f} ({measured.inside:.1f})"


def environments(wanted: list[str], folder: Path) -> tuple[dict[str, Path], dict[str, str], dict[str, str]]:
    """Interpreters, versions, and why a peer has none, by peer."""
    pythons, versions, missing = {"seed": Path(sys.executable)}, {}, {}
    for name in (name for name in PEERS if name in wanted):
        try:
            pythons[name] = python_of(PEERS[name], folder)
            versions[name] = version_of(PEERS[name], pythons[name])
        except NotInstalledError as error:
            missing[name] = f"not installed: {error}"
    return pythons, versions, missing


def compare_all(
    works: list[Work], pythons: dict[str, Path], missing: dict[str, str], study: Study, url: str, pairs: int
) -> Ratios:
    """The table: a row per pair, or why there is none. Each side has one run before, which does not count."""
    ratios: Ratios = {}
    if works:
        study.measure(ours.NAMES)
    warm = {"seed"}
    for work in works:
        if work.peer in missing:
            print(f"{work.peer:<13}{work.mode:<9}  {missing[work.peer]}", flush=True)
            continue
        try:
            if work.peer not in warm:
                run_peer(work, pythons[work.peer], study, url)
                warm.add(work.peer)
            found = compare(work, pythons[work.peer], study, url, pairs)
        except RuntimeError as error:
            print(f"{work.peer:<13}{work.mode:<9}  failed: {str(error).strip().splitlines()[-1]}", flush=True)
            continue
        if work.mode == "equal":
            ratios[work.peer] = found
    return ratios


def main() -> None:
    """Read the options, install, measure, print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about 360 answers, one pair, 600 calls against inspect-ai")
    parser.add_argument("--data", type=Path, help="a folder laid out as github.com/anthropics/evals")
    parser.add_argument("--pairs", type=int, help="pairs of runs per row (default 2)")
    parser.add_argument("--envs", type=Path, default=FOLDER, help=f"where the peers' environments are kept (default {FOLDER})")
    parser.add_argument("--only", nargs="+", choices=[*PEERS, "seed"], help="these peers alone")
    arguments = parser.parse_args()
    pairs = arguments.pairs or (1 if arguments.quick else 2)
    wanted = arguments.only or [*PEERS, "seed"]

    pythons, versions, missing = environments(wanted, arguments.envs)
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    print(f"{_text(versions)}\n")
    ratios: Ratios = dict.fromkeys(["inspect", "kura", "bertopic", "stringsight", "seed"])
    if "inspect" in missing:
        print(f"inspect: {missing['inspect']}")
    elif "inspect" in wanted:
        n = 600 if arguments.quick else 1500
        print(f"inspect: {n} calls at 64 connections, without start and imports on both sides")
        ratios["inspect"] = against_inspect(n, pairs, str(pythons["inspect"]))
    works = [work for work in WORKS if work.peer in wanted]
    behavior = {"latency_ms": LATENCY_MS, "dimensions": 384}
    with tempfile.TemporaryDirectory() as folder, server("benchmarks._peers.server", **behavior) as url:
        study = Study(Path(folder) / "work", arguments.data, 120 if arguments.quick else 680, url)
        print(f"\n{study.n:,} answers of {len(ours.SPOKEN)} language models, {study.n_clusters} clusters where it is a choice")
        print(HEAD)
        ratios |= compare_all(works, pythons, missing, study, url, pairs)
        whole = study.measure(ours.EVERYTHING)
        print(f"{'everything':<22}{'':>15}{_seconds(whole):>15}{'':>16}{whole.cpu:>11.1f}{'':>8}{whole.calls:>11,}")
    print(f"\nload {os.getloadavg()[0]:.1f} after")
    print(json.dumps({name: None if ratio is None else round(ratio, 2) for name, ratio in ratios.items()}))


def _text(versions: dict[str, str]) -> str:
    from importlib.metadata import version

    own = {name: version(name) for name in ("bclust", "scikit-learn", "openai")}
    return ", ".join(f"{name} {number}" for name, number in (own | versions).items())


if __name__ == "__main__":
    main()
