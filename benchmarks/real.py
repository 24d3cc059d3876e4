"""Real language models, small enough for this machine: are their answers read rightly, wherever they run?

    python benchmarks/real.py [--weights DIR] [--llama-server FILE] [--models NAME ...] [--only PART ...] [--statements 60]

The weights come as packages (``_real_weights.py``) and are kept in ``--weights``; so are the answers, so that a run that was cut
off goes on. Parts:

* local: the target ``local_model_run`` with two real folders of weights, built ten times from nothing.
* served: each model through transformers and through llama.cpp's server, temperature 0, all prompts, both wordings. Where the
  texts of the two agree the decisions must; every question has a row, with an answer or an error.
* read: of each model, 100 answers drawn at random, for reading by hand (``--read FILE`` writes them); what was read is in
  ``_decisions_read.csv``, and is compared with what the parser says today.
* names: clusters of statements and responses named by each model, which judges itself: accepted names that are echoes or debris.
* time: the time left that a build of a slow model says, against what it then takes.
* replicates: one model twice at temperature 0.7: the noise floor, and findings between the two.

Last line JSON: local_builds, same_text, decisions_differ_where_texts_agree, unaccounted, read, read_wrong, names, names_bad,
time_left_worst, noise_floor, replicate_findings.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))

from bclust.warehouse.database import open_published
from benchmarks._real_weights import PACKAGES, gguf, served, unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parent.parent
READ = Path(__file__).parent / "_decisions_read.csv"
PARTS = ("local", "served", "read", "names", "time", "replicates")
SHORT = {"max_tokens": 24, "temperature": 0, "usd_per_mtok_in": 0, "usd_per_mtok_out": 0}
PAIRS = """
select a.llm_id as here, a.answer as text, b.answer as other, a.decision as decision, b.decision as other_decision, a.wording
from approvals as a join approvals as b using (statement_id, prompt_type, prompt_name, wording, sample)
where a.llm_id not like '%-served' and b.llm_id = a.llm_id || '-served'
"""


class Study:
    """A project in a folder of its own, whose store is kept."""

    def __init__(self, folder: Path, llms: Sequence[dict[str, Any]], **variables: Any) -> None:
        self.folder = folder
        if not (folder / "bclust.yml").is_file():
            folder.parent.mkdir(parents=True, exist_ok=True)
            self._run("init", folder.name, cwd=folder.parent)
        config = yaml.safe_load((folder / "bclust.yml").read_text(encoding="utf-8"))
        config["vars"] |= {"themes_llm": None, "judge_llm": None, "random_state": 7} | variables
        config["seeds"]["llms"] = list(llms)
        config["targets"] = {name: target for name, target in config["targets"].items() if name == "local_model_run"} | {
            "real": {}
        }
        config["default_target"] = "real"
        (folder / "bclust.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")

    def build(self, *arguments: str, on_line: Callable[[str], None] = lambda _: None) -> tuple[int, str]:
        """A build; its exit status and what it said. ``on_line`` sees each line when it comes."""
        process = self._start("build", "-y", *arguments, cwd=self.folder)
        said = []
        assert process.stderr is not None
        for line in process.stderr:
            on_line(line)
            said.append(line)
        return process.wait(), "".join(said)

    def rows(self, sql: str, target: str | None = None) -> list[tuple[Any, ...]]:
        with open_published(self.folder / (f"warehouse.{target}.duckdb" if target else "warehouse.duckdb")) as warehouse:
            return [tuple(row.values()) for row in warehouse.rows(sql)]

    def _run(self, *arguments: str, cwd: Path) -> None:
        if self._start(*arguments, cwd=cwd).wait():
            raise RuntimeError(f"bclust {' '.join(arguments)} failed")

    def _start(self, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "bclust", *arguments],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )


def local(options: argparse.Namespace) -> dict[str, Any]:
    """Ten builds of the target with two folders of weights; how many ended well, with an answer in every row."""
    rows = [
        {"llm_id": name, "provider": "transformers", "model": str(unpacked(name, options.weights))}
        | SHORT
        | {"temperature": 0.01}
        for name in options.models[:2]
    ]
    well = 0
    for number in range(options.builds):
        folder = options.weights / "studies" / f"local-{os.getpid()}-{number}"
        study = Study(folder, rows)
        config = yaml.safe_load((folder / "bclust.yml").read_text(encoding="utf-8"))
        target = config["targets"]["local_model_run"]
        target["vars"]["n_statements"], target["seeds"]["llms"] = options.local_statements, rows
        target["seeds"].pop("embedders", None)
        (folder / "bclust.yml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
        status, said = study.build("-t", "local_model_run", "-s", "responses approvals", "--vars", "{prompt_types: [personas]}")
        [(asked, failed)] = study.rows(
            "select count(*), count(error) from (select error from responses union all by name select error from approvals)",
            "local_model_run",
        )
        ended = status == 0 and failed == 0 and asked == len(rows) * options.local_statements * (1 + 4 * 2)
        well += ended
        print(f"  build {number}: {'well' if ended else said[-500:]}  {asked} answers", flush=True)
    return {"local_builds": f"{well} of {options.builds}"}


def both_ways(options: argparse.Namespace) -> dict[str, Any]:
    """Each model through transformers and through a server."""
    totals = {"same_text": 0, "decisions_differ_where_texts_agree": 0, "unaccounted": 0}
    pairs = 0
    for name in options.models:
        file = gguf(name, options.weights)
        here = {"llm_id": name, "provider": "transformers", "model": str(file), "batch_size": 16} | SHORT
        with contextlib.ExitStack() as stack:
            rows = [here]
            if options.llama_server:
                url = stack.enter_context(served(file, options.llama_server))
                there = {
                    "llm_id": f"{name}-served",
                    "provider": "openai",
                    "model": name,
                    "base_url": url,
                    "identity": f"llama.cpp {name}",
                }
                rows.append(there | SHORT | {"max_concurrency": 1, "timeout_s": 600})
            study = Study(options.weights / "studies" / f"served-{name}", rows, n_statements=options.statements)
            status, said = study.build("-s", "responses approvals approval_statements")
        [(asked, unaccounted, n_statements)] = study.rows(
            "select count(*), count(*) filter (answer is null and error is null), count(distinct statement_id) from approvals"
        )
        missing = len(rows) * n_statements * 8 * 2 - asked
        found = study.rows(PAIRS)
        same = [row for row in found if row[1] == row[2]]
        apart = [row for row in same if row[3] != row[4]]
        decided = dict(study.rows("select decision, count(*) from approvals where llm_id not like '%-served' group by all"))
        print(f"  {name}: build {status}, {asked} answers, {decided}")
        print(f"    {len(found)} pairs, {len(same)} of equal text, {len(apart)} of these decided otherwise", flush=True)
        if status:
            print(said[-1000:])
        pairs += len(found)
        totals["same_text"] += len(same)
        totals["decisions_differ_where_texts_agree"] += len(apart)
        totals["unaccounted"] += unaccounted + abs(missing)
    return {"pairs": pairs} | totals


def read(options: argparse.Namespace) -> dict[str, Any]:
    """Write answers for reading, and compare what was read with what the parser says."""
    if options.read:
        with options.read.open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file)
            lines.writerow(["model", "wording", "finish_reason", "answer", "decision"])
            for name in options.models:
                study = Study(options.weights / "studies" / f"served-{name}", [], n_statements=options.statements)
                lines.writerows(study.rows(
                    "select llm_id, wording, finish_reason, answer, decision from approvals where llm_id not like '%-served' "
                    "and answer is not null order by md5(statement_id || prompt_name || wording || llm_id) limit 100"
                ))  # fmt: skip
    from udfs.decision import _row

    with READ.open(encoding="utf-8", newline="") as file:
        by_hand = list(csv.DictReader(file))
    wrong: dict[str, list[str]] = {}
    for row in by_hand:
        said = _row(row["answer"], row["wording"], None, row["finish_reason"])
        if said != row["by_hand"]:
            wrong.setdefault(row["model"], []).append(f"{row['answer']!r} ({row['wording']}): {said}, by hand {row['by_hand']}")
    for name in sorted({row["model"] for row in by_hand}):
        n = sum(row["model"] == name for row in by_hand)
        print(f"  {name}: {len(wrong.get(name, []))} of {n} wrong", *wrong.get(name, []), sep="\n    ", flush=True)
    worst = max((len(w) / sum(r["model"] == name for r in by_hand) for name, w in wrong.items()), default=0.0)
    return {"read": len(by_hand), "read_wrong": sum(map(len, wrong.values())), "read_wrong_worst_share": round(worst, 3)}


def names(options: argparse.Namespace) -> dict[str, Any]:
    """Clusters named by weak models. Bad: in the words of one of its texts (six in a row), no word, a list mark, a sentence."""
    n, bad, asked = 0, [], 0
    for name in options.models:
        file = gguf(name, options.weights)
        row = {"llm_id": name, "provider": "transformers", "model": str(file), "batch_size": 16} | SHORT
        asks = {"themes_llm": name, "judge_llm": name, "theme_kinds": ["statement", "response"], "judge_max_tokens": 4}
        study = Study(options.weights / "studies" / f"names-{name}", [row], n_statements=options.statements, **asks)
        status, said = study.build("-s", "+statement_cluster_themes +response_cluster_themes")
        if status:
            print(said[-1000:])
        texts = [
            text.lower() for (text,) in study.rows("select statement from statements union all select response from responses")
        ]
        how = "theme_source, unconfirmed_theme, theme_error"
        given = study.rows(
            f"select statement_theme, {how} from statement_cluster_themes union all "
            f"select coalesce(response_theme, statement_theme), {how} from response_cluster_themes"
        )
        asked += len(given)
        for theme, source, unconfirmed, error in given:
            print(f"    {name}: {theme!r} ({source}){f', not confirmed: {unconfirmed!r}' if unconfirmed else ''} {error or ''}")
            if source == "keywords" or theme is None:
                continue
            n += 1
            if _is_bad(theme, texts):
                bad.append(theme)
    for theme in bad:
        print(f"  ! {theme!r}")
    return {"names_asked": asked, "names": n, "names_bad": len(bad)}


def _is_bad(theme: str, texts: Sequence[str]) -> bool:
    words = theme.lower().split()
    echo = any(" ".join(words[i : i + 6]) in text for i in range(max(1, len(words) - 5)) for text in texts if len(words) >= 6)
    return echo or not re.search(r"[^\W\d_]{3}", theme) or bool(re.match(r"\W|\d", theme)) or len(words) > 12


def time_left(options: argparse.Namespace) -> dict[str, Any]:
    """What a build says is left, from a tenth of the calls on, against what was left."""
    name = options.models[-1]
    row = {"llm_id": name, "provider": "transformers", "model": str(gguf(name, options.weights)), "batch_size": 8} | SHORT
    row["max_tokens"] = 48
    study = Study(options.weights / "studies" / f"time-{os.getpid()}", [row], n_statements=options.statements)
    said: list[tuple[float, float, float]] = []

    def look(line: str) -> None:
        found = re.search(r"responses\s+\S+\s+([\d,]+)/([\d,]+) .*?((?:\d+h )?(?:\d+m )?[\d.]+\s?s|\d+\s?min) left", line)
        if found:
            done, total = (int(found[i].replace(",", "")) for i in (1, 2))
            said.append((time.monotonic(), done / total, _seconds(found[3])))

    study.build("-s", "responses", on_line=look)
    ended = time.monotonic()
    errors = [abs(left - (ended - at)) / (ended - at) for at, share, left in said if 0.1 <= share < 0.95 and ended - at > 2]
    print(f"  {name}: {len(errors)} times said, errors {[round(e, 2) for e in errors]}", flush=True)
    return {"time_left_worst": round(max(errors), 3) if errors else None}


def _seconds(said: str) -> float:
    units = {"h": 3600.0, "min": 60.0, "m": 60.0, "s": 1.0}
    return sum(float(n) * units[unit] for n, unit in re.findall(r"([\d.]+)\s?(h|min|m|s)", said))


def replicates(options: argparse.Namespace) -> dict[str, Any]:
    """One model twice at temperature 0.7."""
    name = options.models[0]
    row = {"provider": "transformers", "model": str(gguf(name, options.weights)), "batch_size": 16} | SHORT | {"temperature": 0.7}
    rows = [{"llm_id": "one", **row}, {"llm_id": "again", **row, "replicate": 1}]
    study = Study(options.weights / "studies" / f"replicates-{name}", rows, n_statements=options.statements)
    status, said = study.build("-s", "+findings +noise_floor")
    if status:
        print(said[-1000:])
    [floor] = study.rows("select share, ci_low, ci_high, n_decisions from noise_floor")
    found = study.rows("select kind, text from findings order by position")
    for kind, text in found:
        print(f"    {kind}: {text}")
    between = [text for kind, text in found if kind == "difference" and ("one" in text and "again" in text)]
    return {"noise_floor": [round(x, 4) for x in floor[:3]], "replicate_findings": len(between)}


MEASURES = {"local": local, "served": both_ways, "read": read, "names": names, "time": time_left, "replicates": replicates}


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options, measure, print the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--weights", type=Path, default=Path("target/real"), help="where weights and answers are kept (default target/real)"
    )
    parser.add_argument("--llama-server", help="llama.cpp's server; without one, models run in transformers alone")
    parser.add_argument("--models", nargs="+", choices=PACKAGES, default=list(PACKAGES))
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--statements", type=int, default=60)
    parser.add_argument("--builds", type=int, default=10, help="of local_model_run (default 10)")
    parser.add_argument("--local-statements", type=int, default=3, help="in each of them (default 3)")
    parser.add_argument("--read", type=Path, help="a CSV file of answers for reading by hand")
    parser.add_argument("--quick", action="store_true", help="one model, four statements, two builds")
    parser.add_argument("--data", type=Path, help="not used: the statements are those of the starter")
    options = parser.parse_args(arguments)
    options.weights = options.weights.resolve()
    if options.quick:
        options.models, options.statements, options.builds = options.models[:2], 4, 2
    figures: dict[str, Any] = {}
    for part in options.only:
        print(part, flush=True)
        figures |= MEASURES[part](options)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
