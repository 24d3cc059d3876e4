"""The page about the runner's rooms draws what is checked, and names each file."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs/design/rooms.md").read_text(encoding="utf-8")


def _layers() -> list[set[str]]:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["name"] == "bclust flows one way")
    return [set(re.findall(r"\w+", layer)) for layer in layers]


def test_each_arrow_goes_from_a_layer_to_the_next_and_none_is_missing():
    drawn = set(re.findall(r"^    (\w+) --> (\w+)$", PAGE, re.MULTILINE))
    layers = _layers()
    assert drawn == {(above, below) for some, others in pairwise(layers) for above in some for below in others}


def test_each_room_and_file_is_on_the_page_and_in_its_room_s_docstring():
    for room in (path.parent for path in (ROOT / "bclust").glob("*/__init__.py")):
        row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{room.name}/` |"))
        said = set(re.findall(r"`(\w+)\.py`", row))
        files = {path.stem for path in room.glob("*.py")} - {"__init__"}
        assert said == files, room.name
        assert files <= set(re.findall(r"``(\w+)``", (room / "__init__.py").read_text(encoding="utf-8"))), room.name


def test_a_room_s_init_imports_nothing():
    for path in (ROOT / "bclust").glob("*/__init__.py"):
        assert "import " not in path.read_text(encoding="utf-8"), path
