"""Members of families that a package brings: found by entry points, named by their packages, behind the project's own files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bclust import functions
from bclust.project import registry
from tests.conftest import ROOT

ECHO = '''
"""Echo: repeats the prompt."""
from bclust.functions import Answer, Limits

class Provider:
    free = True
    def __init__(self, context, *, model): self.model, self.limits = model, Limits()
    def identity(self): return {"provider": "echo", "model": self.model}
    async def complete(self, chat): return Answer(chat.prompt, finish_reason="stop")
    async def close(self): pass
'''


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder like site-packages with one package in it, which adds the provider echo."""
    folder = tmp_path / "site"
    (folder / "talkers-1.5.dist-info").mkdir(parents=True)
    (folder / "talkers-1.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: talkers\nVersion: 1.5\n")
    (folder / "talkers-1.5.dist-info" / "entry_points.txt").write_text(
        "[bclust.providers]\necho = talkers.echo\nlame = talkers.lame\n"
    )
    (folder / "talkers").mkdir()
    (folder / "talkers" / "__init__.py").write_text("")
    (folder / "talkers" / "echo.py").write_text(ECHO)
    (folder / "talkers" / "lame.py").write_text("import no_such_package_anywhere\n")
    return folder


def run(packages: Path, code: str) -> str:
    outcome = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"],
        env={"PYTHONPATH": str(packages), "PATH": ""}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return outcome.stdout + outcome.stderr


def test_an_installed_provider_answers(packages: Path) -> None:
    said = run(packages, """
import asyncio, pathlib
from bclust.functions import Context, member, members
from udfs.providers import Chat
assert "echo" in members("providers") and "openai" in members("providers")
provider = member("providers", "echo").Provider(Context(pathlib.Path(".")), model="any")
print(asyncio.run(provider.complete(Chat("hello"))).value)
""")  # fmt: skip
    assert said == "hello\n"


def test_what_it_lacks_is_said_with_its_package(packages: Path) -> None:
    said = run(packages, "from bclust.functions import member\nmember('providers', 'lame')")
    assert "lame of the package talkers 1.5 needs the package no_such_package_anywhere" in said
    said = run(packages, "from bclust.functions import member\nmember('providers', 'ecko')")
    assert "there is no 'ecko' in udfs/providers/" in said and "did you mean echo" in said


def test_a_file_of_the_project_wins_and_another_version_is_another_function(
    packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(packages))
    functions.installed.cache_clear()
    try:
        assert functions.versions("providers") == {"echo": "talkers 1.5", "lame": "talkers 1.5"}
        with_echo = registry.source_hash(ROOT / "udfs" / "llm.py", ("providers",))
        metadata = packages / "talkers-1.5.dist-info" / "METADATA"
        metadata.write_text(metadata.read_text().replace("1.5", "1.6"))
        functions.installed.cache_clear()
        assert registry.source_hash(ROOT / "udfs" / "llm.py", ("providers",)) != with_echo
        own = tmp_path / "udfs"
        (own / "providers").mkdir(parents=True)
        (own / "providers" / "echo.py").write_text("")
        monkeypatch.setattr(functions, "_package_folder", lambda: own)
        assert functions.versions("providers") == {"lame": "talkers 1.6"}
    finally:
        functions.installed.cache_clear()
