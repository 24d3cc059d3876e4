"""How far does one machine go? The whole evaluation, from files to the published warehouse, at 10,000 to 1,000,000 responses.

    python benchmarks/scale.py [--quick] [--data DIR] [--rows N ...] [--keep DIR]

For each size a project is made in a temporary folder: four simulated language models (their answers take no waiting, only the
processor's time, which is counted), so N/4 statements, and two personas: N responses and 2 N approvals. Statements are those
of --data (a folder laid out as anthropics/evals) or the project's own, numbered once more where there are too few. `bclust
build` runs as users run it; then once more with nothing new; then with 1 % more statements. Seconds are those of the nodes as
the build records them, tests with the node that they follow; memory is the most that the process held while a node of the stage
ran (files that it has mapped count); bytes are the blocks of the tables in the warehouse. The growth
exponent of a stage is log(time ratio) / log(size ratio) between two sizes, where it takes at least a second at the smaller one.
The last line is JSON: rows, seconds, peak_gib, exponent_max, rebuild_s, one_percent_share (of the first build's seconds).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
SIZES, QUICK = (10_000, 100_000, 1_000_000), (2_000, 10_000)
LLMS = ("cautious", "cautious_twin", "bold", "bolder")
PERSONAS = ("careful_librarian", "restless_founder")
STAGES = {  # the first pattern that fits a node's name says where its time goes
    "read statements": r"raw_|statements$|llms|subjects|embedders|clustering|approval_prompts|detectable",
    "responses (calls)": r"responses$",
    "approvals (calls)": r"approvals$",
    "embeddings": r".*(embedder_fits|embeddings)$",
    "clusters": r".*(cluster_fits|clusters)$",
    "maps": r".*map(_fits)?$",
    "themes and trees": r".*(theme|keywords|tree).*",
    "comparisons": r".*",
}


class Outcome(NamedTuple):
    """One `bclust build`: seconds of the process and of each stage, the same for most memory in GiB, and its last line."""

    seconds: float
    stages: dict[str, float]
    peak_gib: float
    peaks: dict[str, float]
    last: str


class Ran(NamedTuple):
    """One command: its seconds, most memory in GiB, memory in GiB by the clock, and what it said last."""

    seconds: float
    peak_gib: float
    memory: list[tuple[float, float]]
    last: str


def texts(data: Path | None) -> list[tuple[str, str]]:
    """Statements and their behaviors, the behaviors taking turns."""
    folder = data / "persona" if data else ROOT / "seeds" / "statements"
    files = sorted(folder.glob("*.jsonl"))
    found = []
    for file in files:
        records = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        found += [(i, r["statement"], file.stem, r.get("answer_matching_behavior")) for i, r in enumerate(records)]
    if not found:
        raise SystemExit(f"no *.jsonl in {folder}: --data takes a folder laid out as github.com/anthropics/evals")
    seen: dict[str, tuple[str, str]] = {}
    for _, text, behavior, answer in sorted(found):
        if len(text) < 140:
            seen.setdefault(text, (behavior, str(answer)))
    return [(text, json.dumps([behavior, answer])) for text, (behavior, answer) in seen.items()]


def write_statements(folder: Path, name: str, known: list[tuple[str, str]], start: int, stop: int) -> None:
    """Statements number ``start`` to ``stop`` as one JSONL file per behavior and call."""
    by_behavior: dict[str, list[str]] = {}
    for i in range(start, stop):
        again, at = divmod(i, len(known))
        text, labels = known[at]
        behavior, answer = json.loads(labels)
        record = {"statement": f"{text} ({again + 1})" if again else text, "answer_matching_behavior": answer}
        by_behavior.setdefault(behavior, []).append(json.dumps(record))
    for behavior, lines in by_behavior.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{behavior}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_project(folder: Path) -> None:
    """The starter with four simulated language models, two personas, and every statement taken."""
    bclust(folder.parent, "init", folder.name)
    shutil.rmtree(folder / "seeds" / "statements")
    settings = yaml.safe_load((folder / "bclust.yml").read_text(encoding="utf-8"))
    settings["vars"] |= {"n_statements": None, "prompt_types": ["personas"], "wordings": ["approve"]}
    settings["sources"][0]["files"] = ["seeds/statements/*/*.jsonl"]
    settings["seeds"]["llms"] = [
        *({"llm_id": name, "provider": "simulated", "model": name} for name in LLMS),
        {"llm_id": "namer", "provider": "simulated", "model": "namer", "role": "helper"},
    ]
    settings["targets"] = {"demo": {}}
    (folder / "bclust.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    with (folder / "seeds" / "profiles.yml").open("a", encoding="utf-8") as file:
        file.write("\nbolder:\n  same_as: bold\n  seed: bolder\n")
    prompts = (folder / "seeds" / "approval_prompts.csv").read_text(encoding="utf-8").splitlines()
    kept = [line for line in prompts if line.startswith("prompt_type") or line.split(",")[1] in PERSONAS]
    (folder / "seeds" / "approval_prompts.csv").write_text("\n".join(kept) + "\n", encoding="utf-8")


@contextlib.contextmanager
def working_folder(keep: Path | None) -> Iterator[Path]:
    """A new folder that is gone afterwards, or ``keep``."""
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
    else:
        with tempfile.TemporaryDirectory() as temporary:
            yield Path(temporary)


def memory_of(pid: int) -> float:
    """GiB that a process holds now."""
    with contextlib.suppress(OSError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**30
    return 0.0


def bclust(folder: Path, *arguments: str) -> Ran:
    """Run the command line. Exits with its output where it fails."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    memory = []
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "bclust", *arguments], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
        pid = 0
        while not pid:
            memory.append((time.time(), memory_of(process.pid)))
            time.sleep(0.05)
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise SystemExit(f"bclust {' '.join(arguments)} ended with {process.returncode}:\n{printed[-3000:]}")
    last = [line for line in printed.splitlines() if line.startswith("Done.")]
    return Ran(seconds, usage.ru_maxrss / 2**20, memory, last[-1] if last else "")


def stage_of(name: str) -> str:
    """The stage that a node belongs to."""
    return next(stage for stage, pattern in STAGES.items() if re.match(pattern, name))


def build(folder: Path) -> Outcome:
    """One build, with what the build recorded of each stage; `plan and publish` is the rest of the process, unit tests too."""
    ran = bclust(folder, "build", "-y")
    results = json.loads((folder / "target" / "run_results.json").read_text(encoding="utf-8"))["results"]
    stages, peaks = dict.fromkeys(STAGES, 0.0), dict.fromkeys(STAGES, 0.0)
    stage = ""
    for result in results:
        kind, *_, name = result["unique_id"].split(".")
        if kind == "unit_test":
            continue
        stage = stage if kind == "test" else stage_of(name)  # tests follow their node
        stages[stage] += float(result["execution_time"] or 0)
        for ran_at in result["timing"]:
            began, ended = (dt.datetime.fromisoformat(ran_at[at]).timestamp() for at in ("started_at", "completed_at"))
            peaks[stage] = max([peaks[stage], *(held for at, held in ran.memory if began <= at <= ended)])
    return Outcome(ran.seconds, stages | {"plan and publish": ran.seconds - sum(stages.values())}, ran.peak_gib, peaks, ran.last)


def sizes_on_disk(folder: Path) -> dict[str, int]:
    """Bytes of each stage's tables in the warehouse, and of the call store."""
    import duckdb

    found = dict.fromkeys(STAGES, 0)
    with duckdb.connect(str((folder / "warehouse.duckdb").resolve()), read_only=True) as con:
        [(block,)] = con.execute("select block_size from pragma_database_size()").fetchall()
        for (name,) in con.execute("select table_name from duckdb_tables() where schema_name = 'main'").fetchall():
            [(blocks,)] = con.execute(
                f"select count(distinct block_id) from pragma_storage_info('{name}') where persistent"
            ).fetchall()
            found[stage_of(name)] += blocks * block
    return found | {"call store": sum(p.stat().st_size for p in (folder / ".bclust").iterdir())}


def exponents(small: Outcome, large: Outcome, ratio: float) -> dict[str, float]:
    """Growth exponents of the stages that take a second at the smaller size."""
    return {
        stage: math.log(large.stages[stage] / seconds) / math.log(ratio)
        for stage, seconds in small.stages.items()
        if seconds >= 1
    }


def main() -> None:
    """Read the options, build, print the tables and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2,000 and 10,000 responses")
    parser.add_argument("--data", type=Path, help="a folder laid out as github.com/anthropics/evals")
    parser.add_argument("--rows", type=int, nargs="+", help="numbers of responses, rising (default 10,000 100,000 1,000,000)")
    parser.add_argument("--keep", type=Path, help="make the projects here and leave them")
    arguments = parser.parse_args()

    known = texts(arguments.data)
    sizes = arguments.rows or (QUICK if arguments.quick else SIZES)
    print(f"{len(known):,} different statements; four language models, {os.cpu_count()} cores; seconds by stage\n")
    first: dict[int, Outcome] = {}
    worst: dict[str, float] = {}
    line: dict[str, Any] = {}
    for rows in sizes:
        with working_folder(arguments.keep) as parent:
            folder = parent / f"scale_{rows}"
            make_project(folder)
            n = rows // len(LLMS)
            write_statements(folder / "seeds" / "statements", "first", known, 0, n)
            first[rows] = build(folder)
            disk = sizes_on_disk(folder)
            again = build(folder)
            write_statements(folder / "seeds" / "statements", "more", known, n, n + max(1, n // 100))
            more = build(folder)
        print(f"{rows:,} responses{'':<12}{'seconds':>10}{'peak GiB':>10}{'disk MiB':>10}{'again':>8}{'+1 %':>8}{'exponent':>10}")
        before = max((size for size in first if size < rows), default=None)
        grown = exponents(first[before], first[rows], rows / before) if before else {}
        for stage, seconds in first[rows].stages.items():
            peak = f"{first[rows].peaks[stage]:>10.1f}" if first[rows].peaks.get(stage) else f"{'':>10}"
            size = f"{disk[stage] / 2**20:>10,.0f}" if stage in disk else f"{'':>10}"
            exponent = f"{grown[stage]:>10.2f}" if stage in grown else ""
            print(f"  {stage:<26}{seconds:>8.1f}{peak}{size}{again.stages[stage]:>8.1f}{more.stages[stage]:>8.1f}{exponent}")
        print(f"  {'call store':<26}{'':>18}{disk['call store'] / 2**20:>10,.0f}")
        total = f"{first[rows].seconds:>8.1f}{first[rows].peak_gib:>10.1f}{sum(disk.values()) / 2**20:>10,.0f}"
        share = more.seconds / first[rows].seconds
        print(f"  {'all':<26}{total}{again.seconds:>8.1f}{more.seconds:>8.1f}   +1 % is {share:.3f} of the first")
        print(f"  {first[rows].last}\n  {again.last}\n  {more.last}\n", flush=True)
        worst |= {stage: max(value, worst.get(stage, value)) for stage, value in grown.items()}
        line = {
            "rows": rows,
            "seconds": round(first[rows].seconds, 1),
            "peak_gib": round(first[rows].peak_gib, 2),
            "exponent_max": round(max(worst.values()), 3) if worst else None,
            "rebuild_s": round(again.seconds, 1),
            "one_percent_share": round(share, 4),
        }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
