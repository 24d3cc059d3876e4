"""A virtual environment per peer, made when it is first asked for: their dependencies conflict with each other and with ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path.home() / ".cache" / "bclust-peers"


class NotInstalledError(Exception):
    """Why a peer could not be installed, in one line."""


@dataclass(frozen=True)
class Peer:
    """What is installed: ``alone`` without what it depends on, and ``packages`` with."""

    name: str
    distribution: str
    packages: tuple[str, ...]
    alone: tuple[str, ...] = ()


# BERTopic comes as its documentation's lightweight installation: vectors are given, so sentence-transformers and torch
# have no work here. No other peer needs them for vectors that are given.
PEERS = {
    peer.name: peer
    for peer in (
        Peer("inspect", "inspect-ai", ("inspect-ai==0.3.285", "openai>=3.54,<4")),
        Peer("kura", "kura", ("kura==0.5.4", "openai")),
        Peer(
            "bertopic",
            "bertopic",
            ("hdbscan", "numpy", "openai", "pandas", "plotly", "pyyaml", "scikit-learn", "tqdm", "umap-learn"),
            alone=("bertopic==0.17.4",),
        ),
        Peer("stringsight", "stringsight", ("stringsight==0.3.7",)),
    )
}


def python_of(peer: Peer, folder: Path) -> Path:
    """The interpreter of a peer's environment. Raises NotInstalledError."""
    home = folder / peer.name
    marker, wanted = home / "installed.json", json.dumps([peer.packages, peer.alone, sys.version_info[:2]])
    python = home / "bin" / "python"
    if marker.exists() and marker.read_text(encoding="utf-8") == wanted:
        return python
    print(f"installing {peer.name} into {home} ...", file=sys.stderr, flush=True)
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    for packages in (["--no-deps", *peer.alone] if peer.alone else [], list(peer.packages)):
        if packages:
            _install(python, packages)
    marker.write_text(wanted, encoding="utf-8")
    return python


def version_of(peer: Peer, python: Path) -> str:
    """The installed version of the peer."""
    code = f"import importlib.metadata; print(importlib.metadata.version({peer.distribution!r}))"
    return subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def _install(python: Path, packages: list[str]) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    try:
        outcome = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200, check=False)
    except subprocess.TimeoutExpired:
        raise NotInstalledError("pip took more than 20 minutes") from None
    if outcome.returncode:
        errors = [line for line in outcome.stderr.splitlines() if line.startswith("ERROR")]
        raise NotInstalledError((errors or outcome.stderr.splitlines() or ["pip failed and said nothing"])[-1])
