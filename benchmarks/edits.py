"""Is the plan what the build then does? A random walk of edits of a project, and after each a plan and a build.

    python benchmarks/edits.py [--n 200] [--seed 0] [--verbose]

The project is the one that `bclust init` hands out, with few statements; language models and embedders are loopback servers of
this process, which count. Each step makes one to three edits (a language model, a persona, a wording, a template, samples, the
number of statements, a macro, settings of themes, clusterings, sources, views ...), chooses what is built and how (also: refused,
stopped by --max-calls, with questions that fail, --full-refresh, --refresh-calls, --no-upstream), and compares

* what the plan says of each table with what the build does: reused or built, and its new calls, per language model, exactly;
  where they are known only later, that they are at most as many as was said, and none where none were said;
* the build's calls with the servers' count, and with the new rows of the call store;
* what the servers' tokens cost with the price that was announced, and whether it was asked when more than `confirm_over_usd`
  could be spent since it was last asked, and only then.

The last line is JSON: edits, builds, wrong (what differed, with the step), planned, made, counted, asked, reused_exactly, bounds.
Exit code 1 where anything differed.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

sys.path.insert(0, str(Path(__file__).parent.parent))

from bclust.build.building import Build, Options
from bclust.build.plan import make_plan
from bclust.build.results import Run, Status
from bclust.build.session import Session
from bclust.cli.steps import reading
from bclust.errors import BudgetError
from bclust.project.reading import read_project
from bclust.project.selector import Facts, select
from tests.functional.loopback import Behavior, Loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bclust.build.results import NodePlan, Plan, Result

ROOT = Path(__file__).parent.parent
COPIED = ("models", "udfs", "seeds", "tests/data", "tests/generic", "reports")
USD_PER_MTOK, CONFIRM_OVER_USD = 1000.0, 2.0
FAILS = "unspeakable"  # a word that the servers refuse, while they are told to
SELECTIONS = (
    ("approvals", "responses"),
    ("approvals",),
    ("approval_statements", "response_embeddings"),
    ("statement_cluster_themes",),
    ("response_cluster_themes",),
    ("statement_cluster_themes", "approval_rates", "responses"),
    ("tag:personas_evaluation",),
    ("response_theme_answers+", "statement_embeddings"),
)
LIGHT = SELECTIONS[:4]
MACRO = """create or replace macro react_as(p, who, sys, n, t) as ({body})\n"""
DIRECT = "llm(p, who, system := sys, sample := n, truth := t)"
LLM_CALL = "llm(\n            prompt, llm_id, system := system_message, sample := sample,\n            truth :="
MACRO_CALL = "react_as(\n            prompt, llm_id, system_message, sample,\n            "


@dataclass
class Study:
    """A project on disk, and what is written there."""

    root: Path
    gpt: Loopback
    embedder: Loopback
    draw: random.Random
    config: dict[str, Any] = field(default_factory=dict)
    prompts: list[dict[str, str]] = field(default_factory=list)
    statements: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    views: set[str] = field(default_factory=set)
    through_macro: bool = False
    macro: str = DIRECT
    made: int = 0  # numbers for new names

    @classmethod
    def start(cls, root: Path, gpt: Loopback, embedder: Loopback, draw: random.Random) -> Study:
        """The project that everybody gets, made small."""
        for name in COPIED:
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        study = cls(root, gpt, embedder, draw)
        config = yaml.safe_load((ROOT / "bclust.yml").read_text(encoding="utf-8"))
        del config["targets"], config["default_target"]
        config["calls"]["confirm_over_usd"] = CONFIRM_OVER_USD
        config["vars"] |= {
            "n_statements": 9, "prompt_types": ["personas"], "min_clusters": 2, "stability_resamples": 0, "permutations": 20,
            "map_method": "pca", "map_params": None, "wordings": ["approve"],
        }  # fmt: skip
        simulated = [
            {"llm_id": "cautious", "provider": "simulated", "model": "cautious"},
            {"llm_id": "namer", "provider": "simulated", "model": "namer", "role": "helper"},
        ]
        config["seeds"]["llms"] = [study.language_model("gpt"), *simulated]
        study.config = config
        with (root / "seeds" / "approval_prompts.csv").open(encoding="utf-8") as file:
            study.prompts = list(csv.DictReader(file))[:1]
        for path in sorted((root / "seeds" / "statements").glob("*.jsonl")):
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            path.unlink()
            if len(study.statements) < 3:
                study.statements[path.name] = lines[:6]
        study.write()
        return study

    def language_model(self, name: str, **settings: Any) -> dict[str, Any]:
        """A row of the seed llms, asked at the loopback server."""
        return {
            "llm_id": name, "provider": "openai", "model": name, "base_url": self.gpt.url, "temperature": 0, "max_tokens": 8,
            "max_concurrency": 8, "usd_per_mtok_in": USD_PER_MTOK, "usd_per_mtok_out": USD_PER_MTOK,
        } | settings  # fmt: skip

    def new_name(self, of: str) -> str:
        """A name that was never used."""
        self.made += 1
        return f"{of}{self.made}"

    @property
    def asked_here(self) -> list[dict[str, Any]]:
        """The rows of llms that are asked at the loopback server."""
        return [row for row in self.config["seeds"]["llms"] if row["provider"] == "openai"]

    def write(self) -> None:
        """Put it on disk."""
        (self.root / "bclust.yml").write_text(yaml.safe_dump(self.config, sort_keys=False), encoding="utf-8")
        with (self.root / "seeds" / "approval_prompts.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["prompt_type", "prompt_name", "text"])
            writer.writeheader()
            writer.writerows(self.prompts)
        folder = self.root / "seeds" / "statements"
        for path in folder.glob("*.jsonl"):
            path.unlink()
        for name, lines in self.statements.items():
            (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        path = self.root / "models" / "staging" / "_models.yml"
        models = yaml.safe_load((ROOT / "models" / "staging" / "_models.yml").read_text(encoding="utf-8"))
        for model in models["models"]:
            if model["name"] in self.views:
                model["config"] = {**model.get("config", {}), "materialized": "view"}
        path.write_text(yaml.safe_dump(models, sort_keys=False), encoding="utf-8")
        text = (ROOT / "models" / "responses" / "responses.sql").read_text(encoding="utf-8")
        assert LLM_CALL in text, "responses.sql calls llm() otherwise: mend LLM_CALL"
        text = text.replace(LLM_CALL, MACRO_CALL) if self.through_macro else text
        (self.root / "models" / "responses" / "responses.sql").write_text(text, encoding="utf-8")
        (self.root / "udfs" / "react_as.sql").write_text(MACRO.format(body=self.macro), encoding="utf-8")

    def stored(self) -> int:
        """Answers in the call store."""
        path = self.root / ".bclust" / "calls.sqlite"
        if not path.exists():
            return 0
        with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as store:
            [(n,)] = store.execute("select count(*) from answers").fetchall()
        store.close()
        return int(n)


# --- edits -----------------------------------------------------------------------------------------------------


def add_llm(s: Study) -> None:
    name = s.new_name("gpt")
    s.config["seeds"]["llms"].insert(0, s.language_model(name))


def remove_llm(s: Study) -> None:
    rows = s.config["seeds"]["llms"]
    if len(s.asked_here) > 1:
        rows.remove(s.draw.choice(s.asked_here))


def rename_llm(s: Study) -> None:
    s.draw.choice(s.asked_here)["llm_id"] = s.new_name("renamed")


def change_temperature(s: Study) -> None:
    s.draw.choice(s.asked_here)["temperature"] = s.draw.choice([0, 0.5, 1])


def change_max_tokens(s: Study) -> None:
    s.draw.choice(s.asked_here)["max_tokens"] = s.draw.choice([8, 12, 20])


def change_speed(s: Study) -> None:
    s.draw.choice(s.asked_here)["max_concurrency"] = s.draw.choice([4, 8, 16])


def simulated_comes_or_goes(s: Study) -> None:
    rows = s.config["seeds"]["llms"]
    found = [row for row in rows if row["llm_id"] == "bold"]
    if found:
        rows.remove(found[0])
    else:
        rows.append({"llm_id": "bold", "provider": "simulated", "model": "bold"})


def add_persona(s: Study) -> None:
    name = s.new_name("persona")
    s.prompts.append({"prompt_type": "personas", "prompt_name": name, "text": f"You are {name}."})


def add_prompt_of_a_type_that_is_not_asked(s: Study) -> None:
    name = s.new_name("other")
    s.prompts.append({"prompt_type": "unused", "prompt_name": name, "text": f"You are {name}."})


def change_persona(s: Study) -> None:
    s.draw.choice(s.prompts)["text"] = f"You are {s.new_name('changed')}."


def remove_persona(s: Study) -> None:
    asked = [p for p in s.prompts if p["prompt_type"] == "personas"]
    if len(asked) > 1:
        s.prompts.remove(s.draw.choice(asked))


def wordings(s: Study) -> None:
    s.config["vars"]["wordings"] = s.draw.choice([["approve"], ["object"], ["approve", "object"]])


def approval_template(s: Study) -> None:
    s.config["vars"]["approval_prompt_template"] = f"{s.new_name('Would you approve, ')}? {{statement}} (yes / no):"


def reaction_template(s: Study) -> None:
    s.config["vars"]["statements_prompt_template"] = f"{s.new_name('React ')}: {{statement}}"


def system_message(s: Study) -> None:
    s.config["vars"]["statements_system_message"] = s.draw.choice(["You are here.", "You are there.", ""])


def samples(s: Study) -> None:
    s.config["vars"]["samples"] = s.draw.choice([1, 1, 2])


def n_statements(s: Study) -> None:
    s.config["vars"]["n_statements"] = s.draw.choice([8, 9, 10, 12])


def random_state(s: Study) -> None:
    s.config["vars"]["random_state"] = s.draw.choice([1, 42])


def statistics_setting(s: Study) -> None:
    s.config["vars"]["margin"] = s.draw.choice([0.1, 0.2])


def new_source(s: Study) -> None:
    name = s.new_name("source")
    lines = [{"statement": f"{name} says {i}.", "answer_matching_behavior": "Yes"} for i in range(s.draw.choice([1, 3]))]
    s.statements[f"{name}.jsonl"] = lines


def remove_source(s: Study) -> None:
    if len(s.statements) > 2:
        del s.statements[s.draw.choice(sorted(s.statements))]


def remove_row(s: Study) -> None:
    lines = s.statements[s.draw.choice(sorted(s.statements))]
    if len(lines) > 1:
        lines.pop(s.draw.randrange(len(lines)))


def change_row(s: Study) -> None:
    s.draw.choice(s.statements[s.draw.choice(sorted(s.statements))])["statement"] = f"{s.new_name('I changed ')} times."


def row_that_fails(s: Study) -> None:
    s.statements[min(s.statements)].append({"statement": f"{FAILS} {s.new_name('')}", "answer_matching_behavior": "No"})


def label_alone(s: Study) -> None:
    s.draw.choice(s.statements[min(s.statements)])["label_confidence"] = s.draw.choice([0.5, 0.9])


def macro_on_the_way(s: Study) -> None:
    s.through_macro = not s.through_macro


def macro_changes(s: Study) -> None:
    s.macro = s.draw.choice(
        [DIRECT, DIRECT.replace("(p,", "(p || '!',"), f"{DIRECT}  -- a remark\n", DIRECT.replace(", ", ",  ")]
    )


def themes_llm(s: Study) -> None:
    s.config["vars"]["themes_llm"] = s.draw.choice([None, "namer", "namer", s.asked_here[0]["llm_id"], "nobody"])


def judge_llm(s: Study) -> None:
    s.config["vars"]["judge_llm"] = s.draw.choice([None, "namer", s.asked_here[0]["llm_id"]])


def theme_settings(s: Study) -> None:
    key, values = s.draw.choice(
        [
            ("theme_kinds", (["interaction"], ["statement", "interaction"], ["statement", "response", "interaction"])),
            ("theme_max_tokens", (40, 150)),
            ("theme_temperature", (0.0, 0.5)),
            ("theme_system_message", ("", "Be brief.")),
        ]
    )
    s.config["vars"][key] = s.draw.choice(values)


def clusterings(s: Study) -> None:
    row: dict[str, Any] = s.draw.choice(
        [
            {"algorithm": "kmeans", "n_clusters": "auto"},
            {"algorithm": "kmeans", "n_clusters": 5},
            {"algorithm": "agglomerative", "n_clusters": "silhouette"},
            {"algorithm": "hdbscan", "min_cluster_size": 2, "reduce": {"method": "pca", "dims": 3}},
        ]
    )
    others = s.config["seeds"]["clusterings"][: s.draw.choice([0, 1])]
    s.config["seeds"]["clusterings"] = [*others, {"clustering": s.new_name("c"), **row}]


def cluster_settings(s: Study) -> None:
    s.config["vars"]["min_clusters"] = s.draw.choice([2, 3])


def embedders(s: Study) -> None:
    called = {
        "provider": "openai",
        "model": s.draw.choice(["e", "f"]),
        "base_url": s.embedder.url,
        "usd_per_mtok_in": USD_PER_MTOK,
    }
    fitted: dict[str, Any] = {"provider": "lexical"}
    rows = [{"embedder": "default", **s.draw.choice([fitted, called])}]
    s.config["seeds"]["embedders"] = [*rows, {"embedder": "second", **called}] if s.draw.random() < 0.3 else rows


def views(s: Study) -> None:
    s.views ^= {s.draw.choice(["subjects", "wordings", "approval_prompts", "statements"])}


EDITS: tuple[Callable[[Study], None], ...] = (
    add_llm, remove_llm, rename_llm, change_temperature, change_max_tokens, change_speed, simulated_comes_or_goes, add_persona,
    add_prompt_of_a_type_that_is_not_asked, change_persona, remove_persona, wordings, approval_template, reaction_template,
    system_message, samples, n_statements, n_statements, random_state, statistics_setting, new_source, new_source, remove_source,
    remove_row, change_row, row_that_fails, label_alone, macro_on_the_way, macro_changes, themes_llm, judge_llm, theme_settings,
    clusterings, cluster_settings, embedders, views,
)  # fmt: skip


# --- steps -----------------------------------------------------------------------------------------------------


@dataclass
class Step:
    """One plan and the build that followed: what was edited, what was said and done, and what differs."""

    number: int
    edits: list[str]
    how: str
    planned: int = 0
    made: int = 0
    counted: int = 0
    asked: int = 0
    reused_exactly: int = 0
    bounds: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Clerk:
    """Answers when a build asks, and writes down what it was asked."""

    says: bool
    asked: list[float | None] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)  # what the servers had booked by then

    def confirm(self, plan: Plan, cost: float) -> bool:
        """As the command line does: below the limit it is not asked."""
        if not plan.exceeds(CONFIRM_OVER_USD):
            return True
        self.asked.append(plan.most_usd)
        self.costs.append(cost)
        return self.says


def walk(n: int, seed: int, selections: Sequence[tuple[str, ...]] = SELECTIONS) -> Iterator[Step]:
    """Make ``n`` edits, a build of one of the selections after each one to three of them."""
    draw = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        gpt, embedder = (stack.enter_context(Loopback(Behavior(dimensions=8))) for _ in range(2))
        study = Study.start(folder / "study", gpt, embedder, draw)
        yield step(study, 0, [], selections)
        made = 0
        while made < n:
            edits = draw.sample(EDITS, min(draw.choice([1, 1, 1, 2, 3]), n - made))
            for edit in edits:
                edit(study)
            made += len(edits)
            study.write()
            yield step(study, made, [edit.__name__ for edit in edits], selections)


def step(study: Study, number: int, edits: list[str], selections: Sequence[tuple[str, ...]]) -> Step:
    """One plan, one build, and what differs between them."""
    draw = study.draw
    how = draw.choice(["build"] * 7 + ["refuse", "max_calls", "fail", "full_refresh", "refresh_calls", "no_upstream"])
    # with inputs left as they are, a changed embedder would meet what another one has learned
    names = draw.choice(selections if how != "no_upstream" else LIGHT[:2])
    done = Step(number, edits, f"{how} {' '.join(names)}")
    started = time.perf_counter()
    manifest = read_project(study.root)
    selection = select(manifest, list(names), [], Facts(dict, dict))
    refresh = ("llm",) if how == "refresh_calls" else ()
    options = Options(full_refresh=how == "full_refresh", max_calls=draw.randrange(1, 12) if how == "max_calls" else None)
    study.gpt.behavior.poison = FAILS if how == "fail" else None
    with reading(manifest) as session:
        if how == "no_upstream":
            selected = set(selection.nodes)
            built = session.warehouse.tables()
            needed = {p for name in selected for p in manifest.nodes[name].depends_on} - selected
            options = Options(no_upstream=needed <= built)
        before = make_plan(session, selection, full_refresh=options.full_refresh, no_upstream=options.no_upstream)
    for server in (study.gpt, study.embedder):
        server.counts.bodies.clear()
        server.counts.answered.clear()
    stored = study.stored()
    clerk = Clerk(how != "refuse")
    said: list[Plan] = []
    run = Run(f"walk {number} {time.monotonic_ns()}", {})
    with Session(manifest, warehouse=manifest.config.working_path, refresh=refresh) as session:
        build = Build(
            session, selection, options, run, lambda e: said.append(e.plan) if hasattr(e, "plan") else None,
            lambda plan: clerk.confirm(plan, booked(study)),
        )  # fmt: skip
        stopped = ""
        try:
            build.execute()
        except BudgetError as error:
            stopped = error.message
    plan = said[0]
    if not refresh and lines(before) != lines(plan):
        done.wrong.append("the plan alone is not the plan of the build")
    compare(done, plan, run.results, stopped)
    counted = asked_of(study.gpt) + asked_of(study.embedder)
    done.counted, done.asked, done.planned = counted, len(clerk.asked), plan.new
    served = {row["llm_id"] for row in study.asked_here} | {"default", "second"}
    calls = [c for r in run.results for c in r.calls]
    made = sum(c.new + c.failed for c in calls if c.lane in served)
    done.made = sum(c.new + c.failed for c in calls)
    if made != counted:
        done.wrong.append(f"{made} calls are reported, the servers were asked {counted}")
    if not refresh and study.stored() - stored != sum(c.new for c in calls):
        done.wrong.append(f"{sum(c.new for c in calls)} answers are reported, {study.stored() - stored} are new in the store")
    check_money(done, plan, clerk, booked(study), counted, refused=how == "refuse")
    if not stopped and run.ok and not any(c.failed for c in calls):
        check_rest(done, manifest, selection)
    done.seconds = time.perf_counter() - started
    return done


def lines(plan: Plan) -> list[tuple[Any, ...]]:
    """What a plan says, to be compared."""
    return [(n.name, n.action, n.calls, n.at_most, n.waits_for) for n in plan.nodes]


def compare(done: Step, plan: Plan, results: list[Result], stopped: str) -> None:
    """What the plan says of each node, with what became of it."""
    by_name = {r.name: r for r in results if r.resource_type in ("model", "seed", "source")}
    unsure: set[str] = set()
    for node in plan.nodes:
        result = by_name.get(node.name)
        if result is None or result.status is Status.SKIPPED:
            continue
        made = Counter({(c.function, c.lane): c.new + c.failed for c in result.calls if c.new + c.failed})
        said = Counter({(c.function, c.lane): c.new for c in node.calls if c.new})
        if node.action == "reuse":
            if result.status is not Status.REUSED:
                done.wrong.append(f"{node.name}: was to be reused, and is {result.status}")
            done.reused_exactly += 1
        elif node.waits_for:
            unsure.add(node.name)
            done.bounds += 1
            if node.at_most is not None and made.total() > node.at_most:
                done.wrong.append(f"{node.name}: at most {node.at_most} calls were announced, {made.total()} were made")
        elif made != said if not (stopped and result.status is Status.ERROR) else not made <= said:
            done.wrong.append(f"{node.name}: {dict(said)} calls were announced, {dict(made)} were made ({result.status})")
        elif node.calls and result.status is Status.REUSED:
            done.wrong.append(f"{node.name}: was to be built, and is reused")


def check_money(done: Step, plan: Plan, clerk: Clerk, cost: float, counted: int, *, refused: bool) -> None:
    """Nothing costs more than was announced or may go unasked, and nobody is asked for less."""
    later = {n.name for n in plan.nodes if n.waits_for}
    if plan.most_usd is None:
        done.wrong.append("the price is unknown")
        return
    if not later and cost > plan.most_usd + 1e-9:
        done.wrong.append(f"${plan.most_usd:.4f} were announced, the servers booked ${cost:.4f}")
    if plan.most_usd > CONFIRM_OVER_USD and (not clerk.asked or clerk.costs[0] > 0):
        done.wrong.append(f"${plan.most_usd:.4f} were announced, and it was not asked before the first call")
    if any(asked is not None and asked <= CONFIRM_OVER_USD for asked in clerk.asked):
        done.wrong.append("it was asked for less than the limit")
    unasked = (clerk.costs[0] if clerk.costs else cost) if not refused or not clerk.asked else cost
    if unasked > CONFIRM_OVER_USD:
        done.wrong.append(f"${unasked:.4f} were spent before it was asked")
    if refused and clerk.asked and plan.most_usd > CONFIRM_OVER_USD and counted:
        done.wrong.append(f"it was refused, and {counted} calls were made")


def check_rest(done: Step, manifest: Any, selection: Any) -> None:
    """After a build that went well there is nothing to do."""
    if done.how.startswith("no_upstream"):
        return
    with reading(manifest) as session:
        plan = make_plan(session, selection)
    rest: list[NodePlan] = plan.to_build
    if rest or plan.new:
        done.wrong.append(f"after the build, the plan builds {', '.join(n.name for n in rest)} and asks {plan.new}")


def asked_of(server: Loopback) -> int:
    """Questions that arrived: a request for embeddings holds several."""
    return sum(len(body["input"]) if isinstance(body.get("input"), list) else 1 for body in server.counts.bodies)


def booked(study: Study) -> float:
    """US dollars for what the servers answered, by the tokens that they count (four characters are one; an answer is one)."""
    chats = sum(n * (-(-len(text) // 4) + 1) for text, n in study.gpt.counts.answered.items())
    texts = [text for body in study.embedder.counts.bodies for text in body["input"]]
    return (chats + sum(-(-len(text) // 4) for text in texts)) * USD_PER_MTOK / 1e6


def summary(steps: list[Step]) -> dict[str, Any]:
    """The line of JSON."""
    return {
        "edits": sum(len(s.edits) for s in steps),
        "builds": len(steps),
        "wrong": [f"{s.number} ({', '.join(s.edits)}; {s.how}): {w}" for s in steps for w in s.wrong],
        **{
            key: sum(getattr(s, key) for s in steps)
            for key in ("planned", "made", "counted", "asked", "reused_exactly", "bounds")
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--verbose", action="store_true")
    arguments = parser.parse_args()
    steps = []
    for done in walk(arguments.n, arguments.seed):
        steps.append(done)
        if arguments.verbose or done.wrong:
            counts = f"{done.planned} planned, {done.made} made, {done.counted} counted, {done.asked} asked, {done.seconds:.1f} s"
            differs = "".join(f"\n     WRONG {w}" for w in done.wrong)
            print(f"{done.number:>4} {', '.join(done.edits)} | {done.how} | {counts}{differs}", flush=True)
    found = summary(steps)
    print(json.dumps(found))
    sys.exit(1 if found["wrong"] else 0)


if __name__ == "__main__":
    main()
