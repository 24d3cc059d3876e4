"""Does the pipeline find what is there, and nothing else? Warehouses of simulated language models whose truth is declared.

    python benchmarks/known_truth.py [--quick] [--data DIR] [--repetitions N] [--jobs 2]

* null: two language models drawn from one profile, under two prompts that change nothing: any significant row is false.
* planted: differences of 10, 20 and 30 points in one of five behaviors, 200 statements each.
* coverage: how often the 95 % intervals hold the declared rate or difference.
* yes-bias: declared against estimated.

Every repetition writes its own statements, profiles and project, and builds it with the project's own models. --data is taken
so that all benchmarks are called alike; statements with a known truth are made here. The last line is JSON: null_share and
null_share_high (worst table, upper 95 % limit), fdr, coverage_min, coverage_max, recall_20.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NOUNS, VERBS = (
    words.split()
    for words in (
        "garden engine river ledger violin harbor forest letter market bridge window captain teacher winter station orchard",
        "repair follow question praise measure borrow explain defend notice gather avoid balance welcome finish protect share",
    )
)
BEHAVIORS = {"behavior-a": 0.3, "behavior-b": 0.4, "behavior-c": 0.5, "behavior-d": 0.6, "behavior-e": 0.7}
PROJECT = """
name: known_truth
calls: {confirm_over_usd: 1}
vars: %s
sources: [{name: raw_statements, files: [statements/*.jsonl], required: [statement]}]
seeds:
  llms:
    - {llm_id: a, provider: simulated, model: a}
    - {llm_id: b, provider: simulated, model: b}
  embedders: [{embedder: default, provider: lexical}]
  clusterings: [{clustering: main, algorithm: kmeans, n_clusters: 8}]
"""
PROMPTS = "prompt_type,prompt_name,text\npersonas,first,You are the first persona.\npersonas,second,You are the second persona.\n"


def write_project(root: Path, seed: int, n: int, profiles: dict[str, Any], *, keyed: bool) -> None:
    """A project with ``n`` statements whose behavior, key and words are drawn with ``seed``."""
    import yaml

    from bclust.config import plain, read_yaml

    draw = random.Random(seed)
    for folder in ("models", "udfs"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "statements").mkdir()
    (root / "seeds").mkdir()
    variables = plain(read_yaml(ROOT / "bclust.yml").section("vars")) | {
        "random_state": seed, "n_statements": None, "prompt_types": ["personas"], "max_statement_length": 500,
        "permutations": 100,
    }  # fmt: skip
    (root / "bclust.yml").write_text(PROJECT % json.dumps(variables))
    (root / "seeds" / "approval_prompts.csv").write_text(PROMPTS)
    shutil.copyfile(ROOT / "seeds" / "seeds.yml", root / "seeds" / "seeds.yml")
    (root / "seeds" / "profiles.yml").write_text(yaml.safe_dump(profiles))
    lines: dict[str, list[str]] = defaultdict(list)
    for number in range(n):
        words = [draw.choice(VERBS), draw.choice(NOUNS), draw.choice(VERBS), draw.choice(NOUNS)]
        statement = f"I would {words[0]} the {words[1]} and {words[2]} the {words[3]} ({number})"
        answer = draw.choice([" Yes", " No"]) if keyed else " Yes"
        lines[draw.choice(list(BEHAVIORS))].append(json.dumps({"statement": statement, "answer_matching_behavior": answer}))
    for behavior, records in lines.items():
        (root / "statements" / f"{behavior}.jsonl").write_text("\n".join(records) + "\n")


def build(root: Path, *names: str) -> dict[str, list[dict[str, Any]]]:
    """Build the named tables with what they need; returns their rows."""
    from bclust.build import Build, Options
    from bclust.project import read_project
    from bclust.results import Run
    from bclust.selector import Selection
    from bclust.session import Session
    from bclust.state import read_records
    from bclust.warehouse import quote

    manifest = read_project(root)
    with Session(manifest, warehouse=manifest.config.working_path) as session:
        selection = Selection(frozenset(names), frozenset())
        run = Build(session, selection, Options(), Run("benchmark", {}), lambda _: None, lambda _: True).execute()
        failed = [r for r in run.results if r.failed]
        if failed:
            raise RuntimeError(f"{failed[0].name}: {failed[0].message}")
        assert set(names) <= set(read_records(session.warehouse))
        return {name: session.warehouse.rows(f"from {quote(name)}") for name in names}


def profile(seed: str, approve: dict[str, float], **more: Any) -> dict[str, Any]:
    """A profile with its own draws."""
    return {"approve": dict(approve), "seed": seed, "refusal_rate": 0.03, "unparsable_rate": 0.02, **more}


def null_run(job: tuple[int, int]) -> dict[str, Any]:
    """Two language models of one profile: which tables show a difference, and which intervals hold the truth."""
    seed, n = job
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        profiles = {"a": profile(f"a{seed}", BEHAVIORS), "b": profile(f"b{seed}", BEHAVIORS)}
        write_project(root, seed, n, profiles, keyed=True)
        tables = build(root, "approval_differences", "approval_agreement", "llm_differences", "llm_distances")
    return {
        "approval_differences": any(r["q_value"] <= 0.05 for r in tables["approval_differences"]),
        "approval_agreement": any(r["q_value"] <= 0.05 for r in tables["approval_agreement"]),
        "llm_differences": any(r["significant"] for r in tables["llm_differences"]),
        "llm_distances": any(r["p_value"] <= 0.05 for r in tables["llm_distances"]),
        "coverage": {"separability": [r["ci_low"] <= 0.5 <= r["ci_high"] for r in tables["llm_distances"]]},
    }


def planted_run(job: tuple[int, int, float]) -> dict[str, Any]:
    """A difference of ``size`` in behavior-c: is it found, is anything else, do the intervals hold the truth."""
    seed, n, size = job
    truth = dict.fromkeys(BEHAVIORS, 0.0) | {"behavior-c": -size}
    moved = BEHAVIORS | {"behavior-c": BEHAVIORS["behavior-c"] + size / 2}
    base = BEHAVIORS | {"behavior-c": BEHAVIORS["behavior-c"] - size / 2}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_project(root, seed, n, {"a": profile(f"a{seed}", base), "b": profile(f"b{seed}", moved)}, keyed=False)
        tables = build(root, "approval_differences", "approval_rates")
    rows = [r for r in tables["approval_differences"] if r["llm_a"] != r["llm_b"]]
    within = [r for r in tables["approval_differences"] if r["llm_a"] == r["llm_b"]]
    rates = {"a": sum(base.values()) / len(base), "b": sum(moved.values()) / len(moved)}
    return {
        "size": size,
        "found": [r["significant"] for r in rows if r["behavior"] == "behavior-c"],
        "false": sum(r["significant"] for r in rows if r["behavior"] != "behavior-c") + sum(r["significant"] for r in within),
        "discoveries": sum(r["significant"] for r in (*rows, *within)),
        "coverage": {
            "difference": [r["ci_low"] <= truth[r["behavior"]] <= r["ci_high"] for r in rows],
            # one prompt of two: they share their draws, so the second would tell nothing new
            "rate": [
                r["ci_low"] <= rates[r["llm_id"]] <= r["ci_high"] for r in tables["approval_rates"] if r["prompt_name"] == "first"
            ],
        },
    }


def bias_run(job: tuple[int, int, float]) -> dict[str, Any]:
    """A language model with a declared yes-bias."""
    seed, n, bias = job
    middle = dict.fromkeys(BEHAVIORS, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        profiles = {"a": profile(f"a{seed}", middle, yes_bias=bias), "b": profile(f"b{seed}", middle)}
        write_project(root, seed, n, profiles, keyed=True)
        rows = build(root, "approval_rates")["approval_rates"]
    return {
        "bias": bias,
        "yes_bias": [r["yes_bias"] for r in rows if r["llm_id"] == "a"],
        "balanced_rate": [r["balanced_rate"] for r in rows if r["llm_id"] == "a"],
    }


def share(flags: list[bool]) -> tuple[float, float, float]:
    """A share with its exact 95 % interval."""
    from scipy.stats import binomtest

    interval = binomtest(sum(flags), len(flags)).proportion_ci(method="exact")
    return sum(flags) / len(flags), float(interval.low), float(interval.high)


def measure(repetitions: int, planted: int, *, n_null: int = 120, n_planted: int = 1000, jobs: int = 2) -> dict[str, Any]:
    """Run everything and print it; returns the figures of the last line."""
    started = time.perf_counter()
    sizes = (0.1, 0.2, 0.3)
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        nulls = pool.map(null_run, [(seed, n_null) for seed in range(repetitions)], chunksize=1)
        plants = pool.map(
            planted_run, [(1000 * (1 + j) + i, n_planted, s) for j, s in enumerate(sizes) for i in range(planted)], chunksize=1
        )
        biases = pool.map(
            bias_run, [(2000 + i, 200, b) for b in (0.0, 0.1, 0.3) for i in range(max(1, planted // 4))], chunksize=1
        )
    print(f"\nno difference: {repetitions} warehouses of {n_null} statements; share with any false discovery (95 % interval)")
    worst = (0.0, 0.0, 0.0)
    for table in ("approval_differences", "approval_agreement", "llm_differences", "llm_distances"):
        found = share([r[table] for r in nulls])
        worst = max(worst, found)
        print(f"  {table:<24}{found[0]:>8.3f}   ({found[1]:.3f} to {found[2]:.3f})")
    print(f"\nplanted in one of five behaviors, about {n_planted // len(BEHAVIORS)} statements each, {planted} warehouses a size")
    recall = {}
    for size in sizes:
        found = share([f for r in plants if r["size"] == size for f in r["found"]])
        recall[size] = found[0]
        print(f"  recall of {100 * size:.0f} points{found[0]:>14.3f}   ({found[1]:.3f} to {found[2]:.3f})")
    rates = [r["false"] / r["discoveries"] if r["discoveries"] else 0.0 for r in plants]
    fdr = sum(rates) / len(rates)
    print(f"  false discovery rate{fdr:>12.3f}")
    print("\ncoverage of the 95 % intervals")
    flags: dict[str, list[bool]] = defaultdict(list)
    for result in (*nulls, *plants):
        for name, held in result["coverage"].items():
            flags[name] += held
    coverage = {}
    for name, held in sorted(flags.items()):
        coverage[name], low, high = share(held)
        print(f"  {name:<24}{coverage[name]:>8.3f}   ({low:.3f} to {high:.3f}), {len(held)} intervals")
    print("\nyes-bias: declared, estimated; balanced rate (declared one half)")
    for bias in sorted({r["bias"] for r in biases}):
        estimates = [v for r in biases if r["bias"] == bias for v in r["yes_bias"]]
        balanced = [v for r in biases if r["bias"] == bias for v in r["balanced_rate"]]
        print(f"  {bias:.2f}   {sum(estimates) / len(estimates):.3f}   {sum(balanced) / len(balanced):.3f}")
    print(f"\n{time.perf_counter() - started:.0f} s on {os.cpu_count()} cores")
    return {
        "null_share": round(worst[0], 4), "null_share_high": round(worst[2], 4), "fdr": round(fdr, 4),
        "coverage_min": round(min(coverage.values()), 4), "coverage_max": round(max(coverage.values()), 4),
        "recall_20": round(recall[0.2], 4),
    }  # fmt: skip


def main() -> None:
    """Read the options, measure, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few repetitions")
    parser.add_argument("--data", type=Path, help="not used: statements with a known truth are made here")
    parser.add_argument("--repetitions", type=int, help="warehouses without a difference (default 200)")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    repetitions = arguments.repetitions or (8 if arguments.quick else 200)
    print(json.dumps(measure(repetitions, 4 if arguments.quick else 50, jobs=arguments.jobs)))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
