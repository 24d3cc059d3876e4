"""Every command that the documentation shows exists, with its options; the tutorial's are run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from bclust.cli.main import app
from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks, and its inline code, that call bclust."""
    text = page.read_text(encoding="utf-8")
    lines = [
        line
        for block in re.findall(r"^```(?:bash|sh|console)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        for line in block.splitlines()
    ]
    lines += re.findall(r"`(bclust [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    found = []
    for line in lines:
        for part in re.split(r"&&|;(?=\s)", re.sub(r"\s+#.*$", "", line)):
            words = part.strip().removeprefix("$ ").removeprefix(".venv/bin/")
            if words.count('"') % 2:  # the SQL goes on in the next lines
                words = words.partition('"')[0]
            if words.startswith("bclust "):
                found.append(words)
    return found


def every_command() -> list[tuple[str, str]]:
    found = [(page.relative_to(ROOT).as_posix(), command) for page in PAGES for command in dict.fromkeys(commands(page))]
    return [
        (page, command) for page, command in found if not re.search(r"\.\.\.|\||\bCOMMAND\b|\bSEL\b", command)
    ]  # those are patterns


@pytest.mark.parametrize(("page", "command"), every_command(), ids=lambda value: value[:60])
def test_a_command_in_the_documentation_can_be_called_like_that(page: str, command: str) -> None:
    words = shlex.split(command)[1:]
    current = typer.main.get_command(app)
    while hasattr(current, "commands"):
        name = words.pop(0)
        if name.startswith("-"):
            assert name in ("--help", "-h")
            return
        assert name in current.commands, f"{page}: bclust has no command {name}"
        current = current.commands[name]
    options = {option for parameter in current.params for option in getattr(parameter, "opts", [])} | {"--help", "-h"}
    for word in words:
        if re.match(r"--?[a-zA-Z]", word):
            assert word.split("=")[0] in options, f"{page}: bclust {current.name} has no option {word}"


def test_the_tutorial_runs_from_a_new_project_to_its_finding(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    own_project = text[text.index("## 3.") : text.index("## 7.")] if "## 7." in text else text[text.index("## 3.") :]
    blocks = re.findall(r"^```\n(.*?)^```", own_project, re.DOTALL | re.MULTILINE)
    script = "\n".join(b for b in blocks if "bclust report" not in b)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    outcome = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
    assert "patience" in outcome.stdout


def test_every_command_is_documented() -> None:
    reference = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    for name in typer.main.get_command(app).commands:
        assert f"## bclust {name}" in reference


def test_every_key_of_the_seed_systems_configuration_has_its_place() -> None:
    page = (ROOT / "docs" / "from-the-seed-system.md").read_text(encoding="utf-8")
    keys = """
        random_state client embedding_model batch_size max_retries initial_sleep_time other_params statements_system_message
        statements_prompt_template max_desc_length awareness_task approval_prompt_template visualize_at_end plot_dim marker_size font_size
        legend_font_size alpha main_clustering_algorithm n_clusters_ratio min_clusters max_clusters theme_identification_model_name
        theme_identification_system_message theme_identification_prompt theme_identification_temperature theme_identification_max_tokens
        theme_identification_max_total_tokens perplexity learning_rate n_iter init run_only models datasets n_statements reuse_data
        new_generation hide_plots test_mode skip_sections
    """
    missing = [key for key in keys.split() if f"`{key}" not in page and f"{key}`" not in page]
    assert not missing
    for flag in ("--run", "--skip", "--run-only", "--list-sections"):
        assert flag in page
