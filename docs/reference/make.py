"""Write the reference pages from the code: python docs/reference/make.py [--check]

cli.md comes from the commands themselves, tables.md and functions.md from the project's own manifest. With --check
nothing is written, and a page that is not up to date is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

import typer.main  # noqa: E402 - the path comes first

from bclust.cli.main import app  # noqa: E402
from bclust.project.manifest import Manifest  # noqa: E402
from bclust.project.reading import MODEL_CONFIG_KEYS, read_project  # noqa: E402

HEADER = "<!-- written by docs/reference/make.py; do not edit -->\n\n"


def cli_page() -> str:
    """Every command with its arguments and options."""
    lines = ["# Commands", "", "`bclust COMMAND --help` says the same. Exit codes: 0 ok; 1 a node or test failed, nothing was",
             "selected, or the budget refused; 2 usage or a bad project; 130 Ctrl-C.", ""]  # fmt: skip
    group = typer.main.get_command(app)
    for name, command in _commands(group, ()):
        lines += [f"## bclust {name}", "", str(command.help).strip(), ""]
        rows = [_option(parameter) for parameter in command.params if parameter.name != "help"]
        if rows:
            lines += ["| option | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines)


def _commands(group: object, path: tuple[str, ...]) -> Iterator[tuple[str, object]]:
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        if hasattr(command, "commands"):
            yield from _commands(command, (*path, name))
        else:
            yield " ".join([*path, name]), command


def _option(parameter: object) -> str:
    names = getattr(parameter, "opts", [])
    is_option = any(n.startswith("-") for n in names)
    shown = ", ".join(f"`{n}`" for n in names) if is_option else f"`{str(parameter.name).upper()}`"  # type: ignore[attr-defined]
    default = getattr(parameter, "default", None)
    note = f" (default {default})" if is_option and default not in (None, False, (), []) and not callable(default) else ""
    return f"| {shown} | {getattr(parameter, 'help', '') or ''}{note} |"


def settings_page() -> str:
    """Every key of bclust.yml: the starter's own file, whose comments explain it, and what is allowed where."""
    from bclust.project import config

    def listed(keys: tuple[str, ...]) -> str:
        return ", ".join(f"`{key}`" for key in keys)

    starter = (ROOT / "bclust.yml").read_text(encoding="utf-8").rstrip()
    lines = [
        "# bclust.yml", "", "An unknown key is an error that says which one was meant.", "",
        f"- at the top: {listed(config.TOP_KEYS)}", f"- in a target: {listed(config.TARGET_KEYS)}",
        f"- in `calls`: {listed(config.CALLS_KEYS)}",
        f"- in a model's `config`: {listed(MODEL_CONFIG_KEYS)}", "", "The file of a new project:", "", "```yaml", starter, "```",
    ]  # fmt: skip
    return "\n".join(lines)


def tables_page(manifest: Manifest) -> str:
    """Every table: what a row is, its columns, what it is made of and which sections it belongs to."""
    lines = ["# Tables", "", "In building order. Each is a table of the warehouse; `bclust show NAME` prints rows.", ""]
    for name in manifest.graph.order:
        node = manifest.nodes[name]
        lines += [f"## {name}", "", " ".join(node.description.split()) or "(no description)", ""]
        facts = [f"a {node.kind}", f"reads {', '.join(f'`{n}`' for n in node.depends_on)}" if node.depends_on else ""]
        facts += [f"calls {', '.join(f'`{n}`' for n in node.functions)}" if node.functions else ""]
        facts += [f"variables {', '.join(f'`{n}`' for n in node.variables)}" if node.variables else ""]
        facts += [f"tags {', '.join(f'`{n}`' for n in node.tags)}" if node.tags else ""]
        lines += ["; ".join(f for f in facts if f) + ".", ""]
        if node.columns:
            lines += ["| column | meaning |", "|---|---|"]
            lines += [f"| `{c.name}` | {' '.join(c.description.split())} |" for c in node.columns] + [""]
    return "\n".join(lines)


def functions_page(manifest: Manifest) -> str:
    """Every function that SQL can call."""
    lines = ["# Functions", "", "`call`: one request, one stored answer. `column`: a whole column in one value.",
             "`scalar`: per row. `macro`: SQL. Named and default arguments work in all of them.", ""]  # fmt: skip
    for function in manifest.functions.values():
        signature = f" `{function.signature}`" if function.signature else ""
        lines += [f"## {function.name}", "", f"{function.kind}{signature}", "", function.description, ""]
        if function.macro_sql:
            lines += ["```sql", function.macro_sql, "```", ""]
    return "\n".join(lines)


def main() -> None:
    """Write or check the pages."""
    manifest = read_project(ROOT)
    pages = {
        "cli.md": cli_page(),
        "bclust-yml.md": settings_page(),
        "tables.md": tables_page(manifest),
        "functions.md": functions_page(manifest),
    }
    stale = []
    for name, text in pages.items():
        path = Path(__file__).parent / name
        page = HEADER + text.rstrip() + "\n"
        if not path.is_file() or path.read_text(encoding="utf-8") != page:
            stale.append(name)
            if "--check" not in sys.argv:
                path.write_text(page, encoding="utf-8")
    if stale and "--check" in sys.argv:
        sys.exit(f"docs/reference is out of date: {', '.join(stale)}; run: make docs")


if __name__ == "__main__":
    main()
