"""`executor: ray` on a real cluster of three nodes on this machine: nodes that die, workers that die, Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bclust.warehouse.database import open_published
from tests.conftest import ROOT

pytest.importorskip("ray")
pytest.importorskip("torch")

WORDS = ["[UNK]", "<s>", "</s>", "Yes", "No", "I", "like", "the", "number", "and", ".", *(f"n{i}" for i in range(60))]
PROMPTS = [f"I like the number n{i} " + "and n1 " * (i % 7) for i in range(40)]

# Workers of Ray are nice by 15, which on a machine that has other work to do means that they are not served at all.
RAY = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "HF_HUB_OFFLINE": "1"}

# Writes down who begins and who ends which prompt. While the file `hold` is there, every worker stops in its second batch.
WRITTEN_DOWN = """
    import os, time

    begun = 0

    def note(context, what, texts):
        with (context.root / "computed.txt").open("a") as file:
            file.write("".join(f"{what} {os.getpid()} {text}\\n" for text in texts))

    def begin(context, texts):
        global begun
        begun += 1
        note(context, "begins", texts)
        while begun > 1 and (context.root / "hold").exists():
            time.sleep(0.02)
"""
LOCAL_MODEL = """
    from udfs._note import begin, note
    from udfs.providers.transformers import Provider as Transformers

    class Provider(Transformers):
        def __init__(self, context, *, model: str, device: str = "cpu"):
            super().__init__(context, model=model, device=device)
            self._context = context
        def complete_batch(self, chats):
            begin(self._context, [c.prompt for c in chats])
            answers = super().complete_batch(chats)
            note(self._context, "ends", [c.prompt for c in chats])
            return answers
"""
ECHO = """
    import os, signal
    from bclust.functions import Answer, CallError, Limits
    from udfs._note import begin, note

    class Provider:
        limits = Limits(max_concurrency=1, batch_size=4, timeout_s=None, max_retries=0)
        free, heavy = True, True
        def __init__(self, context, *, key_env: str | None = None):
            self._context, self._key_env = context, key_env
        def identity(self):
            return {"provider": "echo"}
        def complete_batch(self, chats):
            begin(self._context, [c.prompt for c in chats])
            if any("poison" in c.prompt for c in chats):
                os.kill(os.getpid(), signal.SIGKILL)
            note(self._context, "ends", [c.prompt for c in chats])
            found = self._context.env.get(self._key_env, "no key") if self._key_env else ""
            return [CallError("refused") if "bad" in c.prompt else Answer(f"{c.prompt}!{found}") for c in chats]
        async def close(self):
            pass
"""
PROJECT = {
    "udfs/_note.py": WRITTEN_DOWN,
    "udfs/providers/local_model.py": LOCAL_MODEL,
    "udfs/providers/echo.py": ECHO,
    "models/answers.sql": "select text, llm_id, a.text as answer, a.error as error, a.output_tokens as n\n"
    "from (select text, llm_id, llm(text, llm_id, temperature := 0, max_tokens := 5) as a from texts cross join llms)",
    "models/vectors.sql": "select text, embedder, v.vector as vector, v.error as error\n"
    "from (select text, embedder, embed(text, embedder) as v from texts cross join embedders)",
}


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Study:
    """A project in a folder, built by a process of its own."""

    def __init__(self, root: Path, write: Callable[[dict[str, str]], object], texts: list[str], calls: str, llms: str) -> None:
        self.root = root
        self.started: list[subprocess.Popen[str]] = []
        shutil.copytree(ROOT / "udfs", root / "udfs", ignore=shutil.ignore_patterns("__pycache__"))
        rows = "".join(f"            - {{text: '{text}'}}\n" for text in texts)
        config = f"""
        name: study
        calls: {{{calls}}}
        seeds:
          texts:
{rows}
          llms:
            {llms}
          embedders:
            - {{embedder: tiny, provider: transformers, model: tiny, device: cpu, batch_size: 16}}
        """
        write({**PROJECT, "bclust.yml": config})

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        environment = os.environ | RAY | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"} | variables
        process = subprocess.Popen(
            [sys.executable, "-m", "bclust", *arguments], cwd=self.root, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self.started.append(process)
        return process

    def run(self, *arguments: str, **variables: str) -> Ran:
        return ended(self.start(*arguments, **variables))

    def rows(self, table: str) -> list[dict[str, Any]]:
        with open_published(self.root / "warehouse.duckdb") as warehouse:
            return warehouse.rows(f"from {table} order by all")

    def notes(self, what: str) -> list[tuple[int, str]]:
        """(process, prompt) of each computation that was begun or ended."""
        path = self.root / "computed.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        found = [line.split(" ", 2) for line in lines]
        return [(int(pid), prompt) for noted, pid, prompt in found if noted == what]

    def hold(self) -> None:
        """From now on every worker stops in its second batch."""
        (self.root / "hold").touch()

    def let_go(self) -> None:
        (self.root / "hold").unlink()

    def held(self) -> set[int]:
        """The workers that stand in a batch after they have ended one."""
        begun, ended_ = (Counter(pid for pid, _ in self.notes(what)) for what in ("begins", "ends"))
        return {pid for pid, n in begun.items() if 0 < ended_[pid] < n}


def ended(process: subprocess.Popen[str]) -> Ran:
    out, err = process.communicate(timeout=1200)
    return Ran(process.returncode, out, err)


def until(found: Callable[[], Any], seconds: float = 300) -> Any:
    """Wait until something is there, and return it."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return value


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised Llama of some 50,000 parameters, with its tokenizer; its hidden states serve as vectors."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("model") / "tiny"
    fast.save_pretrained(folder)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Ray cluster of three nodes with one CPU each, started before any build and left running by all.

    Each node has a loopback address of its own; Ray takes 127.0.0.1 for a name of the machine's outer address.
    """
    import ray
    from ray.cluster_utils import Cluster

    os.environ.update(RAY)  # nodes hand their environment to their workers
    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    head = {**size, "include_dashboard": False, "node_ip_address": "127.0.0.2"}
    made = Cluster(initialize_head=True, head_node_args=head)
    try:
        for address in ("127.0.0.3", "127.0.0.4"):
            made.add_node(**size, node_ip_address=address)
        yield made
    finally:
        made.shutdown()
        ray.shutdown()


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Callable[..., Study]]:
    """Make a project in a folder of that name; a build that a failed test leaves behind is ended."""
    made: list[Study] = []

    def make(name: str, texts: list[str], calls: str, llms: str, model: Path | None = None) -> Study:
        def write(files: dict[str, str]) -> None:
            for file, text in files.items():
                path = tmp_path / name / file
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(textwrap.dedent(text).lstrip("\n"))

        if model:
            shutil.copytree(model, tmp_path / name / "tiny")
        made.append(Study(tmp_path / name, write, texts, calls, llms))
        return made[-1]

    yield make
    for process in (process for study in made for process in study.started if process.poll() is None):
        process.kill()


def lose_node(cluster: Any, worker: int) -> None:
    """Kill the node on which that process works, unless it is the head: then the process alone."""
    status = Path(f"/proc/{worker}/status").read_text()
    parent = int(status.split("PPid:")[1].split()[0])
    node = next(n for n in cluster.list_all_nodes() if n.all_processes["raylet"][0].process.pid == parent)
    if node is cluster.head_node:
        os.kill(worker, signal.SIGKILL)
    else:
        cluster.remove_node(node, allow_graceful=False)
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def test_a_node_that_dies_changes_nothing_and_local_and_ray_results_are_equal(
    cluster: Any, study: Callable[..., Study], tiny: Path
) -> None:
    llms = "- {llm_id: small, provider: local_model, model: tiny, batch_size: 4}"
    local = study("local", PROMPTS, "executor: local", llms, tiny)
    spread = study("ray", PROMPTS, f"executor: ray, ray_address: '{cluster.address}'", llms, tiny)
    assert spread.run("plan") == local.run("plan")
    assert local.run("build").code == 0

    spread.hold()
    build = spread.start("build")
    until(lambda: len(spread.held()) == 3)
    worker = min(spread.held())
    lose_node(cluster, worker)
    spread.let_go()
    code, out, err = ended(build)

    assert (code, out) == (0, "")
    assert "calls 80 new, 0 cached, 0 failed" in err
    assert spread.rows("answers") == local.rows("answers")
    vectors = spread.rows("vectors")
    assert vectors == local.rows("vectors")
    assert all(row["error"] is None and row["n"] for row in spread.rows("answers"))

    begun, ended_ = Counter(p for _, p in spread.notes("begins")), Counter(p for _, p in spread.notes("ends"))
    lost = {p for pid, p in spread.notes("begins") if pid == worker and (pid, p) not in spread.notes("ends")}
    assert len(lost) == 4
    assert {p for p, n in begun.items() if n > 1} == lost
    assert ended_ == Counter(PROMPTS)  # what was answered was computed once

    assert spread.run("build", "--full-refresh").code == 0
    assert len(spread.notes("ends")) == len(PROMPTS)
    assert spread.rows("vectors") == vectors  # from the store: nothing is computed again


def test_ctrl_c_keeps_what_was_answered_and_the_next_build_computes_only_the_rest(
    cluster: Any, study: Callable[..., Study]
) -> None:
    made = study("stopped", PROMPTS, f"executor: ray, ray_address: '{cluster.address}'", "- {llm_id: e, provider: echo}")
    made.hold()
    build = made.start("build", "--select", "answers")
    until(made.held)
    os.killpg(build.pid, signal.SIGINT)
    assert build.stderr
    until(lambda: "calls in flight are being stored" in build.stderr.readline())
    made.let_go()
    assert ended(build).code == 130
    before = [p for _, p in made.notes("begins")]
    assert len(before) < len(PROMPTS)
    code, _, err = made.run("build", "--select", "answers")
    assert code == 0, err
    assert f"calls {len(PROMPTS) - len(before)} new, {len(before)} cached, 0 failed" in err
    assert Counter(p for _, p in made.notes("begins")) == Counter(PROMPTS)


def test_a_batch_that_kills_its_workers_costs_one_row_and_a_lane_is_given_its_own_variables_only(
    study: Callable[..., Study],
) -> None:
    texts = [*(f"text {i}" for i in range(6)), "poison", "bad"]
    llms = "- {llm_id: e, provider: echo, key_env: THE_KEY}"
    made = study("poisoned", texts, "executor: ray, ray_workers: 1", llms)
    code, out, err = made.run("build", "--select", "answers", "-y", THE_KEY="shown-by-the-lane")
    assert (code, out) == (0, ""), err
    rows = {row["text"]: row for row in made.rows("answers")}
    assert "Ray workers were lost" in rows.pop("poison")["error"]
    assert rows.pop("bad")["error"] == "refused"
    assert {row["answer"] for row in rows.values()} == {f"text {i}![secret]" for i in range(6)}  # it came, and was not stored
    assert Counter(p for _, p in made.notes("begins"))["poison"] == 5  # thrice in its batch, then in its halves


def test_a_cluster_that_is_not_there_is_said_before_anything_is_computed(study: Callable[..., Study]) -> None:
    made = study("nowhere", ["a text"], "executor: ray, ray_address: '127.0.0.2:1'", "- {llm_id: e, provider: echo}")
    code, _, err = made.run("build", "--select", "answers")
    assert code == 1
    assert "no Ray cluster can be used at 127.0.0.2:1" in err
    assert "calls: {ray_address: null} starts one here" in err
    assert made.notes("begins") == []
