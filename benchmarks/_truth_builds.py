"""Whole builds, from statements and answers in files to the page: recorded answers, and simulated language models."""

from __future__ import annotations

import json
import random
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks._truth_draws import PERSONAS, WORDINGS, names
from benchmarks._truth_lab import lab, write_project
from benchmarks._truth_nulls import PAGE, TABLES, Claims, claimed, claims
from benchmarks._truth_planted import turned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Tables = dict[str, list[dict[str, Any]]]
NOUNS, VERBS = (
    words.split()
    for words in (
        "garden engine river ledger violin harbor forest letter market bridge window captain teacher winter station orchard",
        "repair follow question praise measure borrow explain defend notice gather avoid balance welcome finish protect share",
    )
)
PROMPTS = "prompt_type,prompt_name,text\n" + "".join(f"{t},{n},You are the {n} persona.\n" for t, n in PERSONAS)


def build(root: Path, *wanted: str) -> Tables:
    """Build the named tables with all that they need; their rows."""
    lab.cache_clear()  # a process has the functions of one project: the lab reads its own again
    from bclust.build.building import Build, Options
    from bclust.build.results import Run
    from bclust.build.session import Session
    from bclust.project.reading import read_project
    from bclust.project.selector import Selection

    manifest = read_project(root)
    with Session(manifest, warehouse=manifest.config.working_path) as session:
        selection = Selection(frozenset(wanted), frozenset())
        run = Build(session, selection, Options(), Run("benchmark", {}), lambda _: None, lambda _: True).execute()
        failed = [r for r in run.results if r.failed]
        if failed:
            raise RuntimeError(f"{failed[0].name}: {failed[0].message}")
        return {name: session.warehouse.rows(f'from "{name}"') for name in wanted}


def statements(seed: int, behaviors: Sequence[str], each: int, group_size: int = 1) -> list[dict[str, str]]:
    """Statements of each behavior, half of which deny it; ``group_size`` in a row are one declared group."""
    draw, found = random.Random(seed), []
    for behavior in behaviors:
        for i in range(each):
            words = [draw.choice(VERBS), draw.choice(NOUNS), draw.choice(VERBS), draw.choice(NOUNS)]
            found.append(
                {
                    "behavior": behavior, "statement": f"{behavior} {i}: {words[0]} the {words[1]}, {words[2]} the {words[3]}",
                    "answer_matching_behavior": " Yes" if i % 2 else " No", "group": f"{behavior} {i // group_size}",
                }
            )  # fmt: skip
    return found


def _write(root: Path, records: Sequence[Mapping[str, str]], llms: Sequence[Mapping[str, Any]], **variables: Any) -> None:
    write_project(root, llms, **variables)
    (root / "statements" / "behavior-00.jsonl").unlink()
    (root / "seeds" / "approval_prompts.csv").write_text(PROMPTS)
    lines: dict[str, list[str]] = defaultdict(list)
    for record in records:
        lines[record["behavior"]].append(json.dumps({k: v for k, v in record.items() if k != "behavior"}))
    for behavior, texts in lines.items():
        (root / "statements" / f"{behavior}.jsonl").write_text("\n".join(texts) + "\n")


# --- recorded answers ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Silence:
    """What is said where one language model does not answer."""

    refusals_in_table: bool
    refusals_on_page: bool
    warnings_of_silent: int  # rows of answer_problems, and as many warnings on the page, about a model that says nothing
    differences_of_silent: list[str]  # sentences that compare it
    turned: list[str]


def silence_run(seed: int) -> Silence:
    """20 of 20 questions refused against none; and a language model all of whose texts are empty."""
    records = statements(seed, names(1), 20)
    refusing = _recorded(records, seed, {"refuser": lambda _: "I'm sorry, but I can't help with that.", "talker": _say(seed)})
    silent = _recorded(records, seed, {"silent": lambda _: "", "talker": _say(seed + 1)})
    in_table = [
        r for r in refusing["answered_differences"] if claimed(r) and r["outcome"] == "refused" and r["prompt_type"] == "personas"
    ]
    about_silent = [r["text"] for r in silent[PAGE] if r["kind"] == "difference"]
    warnings = [r for r in silent[PAGE] if r["kind"] == "warning"]
    problems = [r for r in silent["answer_problems"] if r.get("problem")]
    return Silence(
        refusals_in_table=len(in_table) == len(PERSONAS),
        refusals_on_page=any(claimed(r) and "refuse" in r["title"] for r in refusing[PAGE]),
        warnings_of_silent=len(warnings) if len(warnings) == len(problems) else -1,
        differences_of_silent=about_silent
        + [
            str(row)
            for name in TABLES
            for row in silent[name]
            if claimed(row) and "silent" in row.values() and not _is_of_silence(row)
        ],
        turned=[r["text"] for t in (refusing, silent) for r in t[PAGE] if claimed(r) and turned(r)],
    )


def _is_of_silence(row: Mapping[str, Any]) -> bool:
    """That nothing is said is itself a difference, and the tables say so."""
    return row.get("outcome") in ("empty", "unparsable") or str(row.get("unit")).split()[0] in ("empty", "unparsable")


def _say(seed: int) -> Callable[[str], str]:
    draw = random.Random(seed)
    return lambda wording: (
        draw.choice(["Yes", "No"]) if wording != "react" else f"It is a matter of {draw.choice(NOUNS)} and {draw.choice(NOUNS)}."
    )


def _recorded(records: Sequence[Mapping[str, str]], seed: int, say: Mapping[str, Callable[[str], str]]) -> Tables:
    """A build of answers that lie in files, as each language model is told to say them."""
    llms = [{"llm_id": llm_id, "provider": "recorded", "files": ["answers/*.jsonl"]} for llm_id in say]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root, records, llms, random_state=seed)
        (root / "answers").mkdir()
        systems = [f"You are the {name} persona." for _, name in PERSONAS]
        lines = []
        for llm_id, speak in say.items():
            for record in records:
                asked = [("react", None), *((wording, system) for wording in WORDINGS for system in systems)]
                for wording, system in asked:
                    answer = {"llm_id": llm_id, "statement": record["statement"], "wording": wording, "response": speak(wording)}
                    lines.append(json.dumps(answer | ({"system": system} if system else {})))
        (root / "answers" / "all.jsonl").write_text("\n".join(lines) + "\n")
        return build(root, *TABLES, PAGE, "answer_problems")


# --- simulated language models ---------------------------------------------------------------------------------

BEHAVIORS = {"behavior-a": 0.3, "behavior-b": 0.4, "behavior-c": 0.5, "behavior-d": 0.6, "behavior-e": 0.7}


def _profile(seed: str, approve: Mapping[str, float], **more: Any) -> dict[str, Any]:
    return {"approve": dict(approve), "seed": seed, "refusal_rate": 0.03, "unparsable_rate": 0.02, **more}


def _simulated(
    seed: int, profiles: Mapping[str, Any], wanted: Sequence[str], *, each: int, group_size: int = 1, **variables: Any
) -> Tables:
    llms = [{"llm_id": name, "provider": "simulated", "model": name} for name in profiles]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        _write(root, statements(seed, list(BEHAVIORS), each, group_size), llms, clusters=8, random_state=seed, **variables)
        (root / "seeds" / "profiles.yml").write_text(json.dumps(profiles))  # JSON is YAML
        return build(root, *wanted)


def simulated_null_run(seed: int) -> dict[str, Claims]:
    """Equal profiles, one coherent and one not, two samples, groups of two that are mostly answered alike, some empty answers."""
    same = {"groups": 0.8, "empty_rate": 0.02, "sample_noise": 0.2, "refuses_when": {"denies": 0.05}}
    profiles = {"a": _profile(f"a{seed}", BEHAVIORS, **same), "b": _profile(f"b{seed}", BEHAVIORS, coherence=0.0, **same)}
    tables = _simulated(seed, profiles, [*TABLES, PAGE], each=40, group_size=2, samples=2)
    return claims(tables, ("incoherent",))


def simulated_planted_run(seed: int) -> dict[str, list[bool]]:
    """20 points in one of five behaviors of 200 statements, each language model with one stance on each statement."""
    profiles = {
        "a": _profile(f"a{seed}", BEHAVIORS | {"behavior-c": 0.4}), "b": _profile(f"b{seed}", BEHAVIORS | {"behavior-c": 0.6}),
    }  # fmt: skip
    tables = _simulated(seed, profiles, ["approval_differences"], each=200)
    between = [r for r in tables["approval_differences"] if r["llm_a"] != r["llm_b"]]
    return {
        "found": [claimed(r) for r in between if r["behavior"] == "behavior-c"],
        "false": [
            claimed(r) for r in tables["approval_differences"] if r["behavior"] != "behavior-c" or r["llm_a"] == r["llm_b"]
        ],
    }


def simulated_bias_run(job: tuple[int, float]) -> dict[str, Any]:
    """A declared yes-bias, and what is read of it."""
    seed, bias = job
    middle = dict.fromkeys(BEHAVIORS, 0.5)
    profiles = {"a": _profile(f"a{seed}", middle, yes_bias=bias), "b": _profile(f"b{seed}", middle)}
    rows = [r for r in _simulated(seed, profiles, ["approval_rates"], each=40)["approval_rates"] if r["llm_id"] == "a"]
    return {"bias": bias, "yes_bias": [r["yes_bias"] for r in rows], "balanced_rate": [r["balanced_rate"] for r in rows]}
