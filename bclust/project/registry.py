"""The folder udfs/ is the registry: every public file in it is one function that SQL can call."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import inspect
import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bclust.errors import Location, ProjectError
from bclust.functions import Spec, versions
from bclust.project.sql import check_table_macro
from bclust.project.sql_types import parse_signature

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from bclust.project.sql_types import Signature


@dataclass(frozen=True)
class Function:
    """One function of the project."""

    name: str
    kind: str  # scalar | column | call | macro
    path: Path
    source_hash: str
    description: str = ""
    signature: Signature | None = None
    spec: Spec | None = None
    target: Any = None
    macro_sql: str | None = None

    @property
    def version(self) -> int:
        return self.spec.version if self.spec else 1

    @property
    def reads(self) -> tuple[str, ...]:
        return self.spec.reads if self.spec else ()

    def create_sql(self) -> str:
        """The statement that gives SQL the named and default arguments of this function."""
        if self.macro_sql is not None:
            return self.macro_sql
        assert self.signature is not None
        parameters = ", ".join(p.name + (f" := {p.default}" if p.default else "") for p in self.signature.parameters)
        arguments = ", ".join(f"to_json({p.name})" if p.type == "JSON" else p.name for p in self.signature.parameters)
        return f"create or replace macro {self.name}({parameters}) as _{self.name}({arguments})"


def load_functions(root: Path) -> dict[str, Function]:
    """Read ``root/udfs``: every public file is one function. Returns them by name; {} without the folder."""
    folder = root / "udfs"
    if not folder.is_dir():
        return {}
    _use_package(folder)
    functions: dict[str, Function] = {}
    for path in sorted([*folder.glob("*.py"), *folder.glob("*.sql")]):
        if path.name.startswith("_"):
            continue
        if path.stem in functions:
            raise ProjectError(f"the function {path.stem} is declared twice: {functions[path.stem].path.name} and {path.name}")
        functions[path.stem] = _load_macro(path) if path.suffix == ".sql" else _load_python(path)
    return functions


def _use_package(folder: Path) -> None:
    """Make ``udfs`` mean this project's folder (a process may open several projects, one after another)."""
    for name in [n for n in sys.modules if n == "udfs" or n.startswith("udfs.")]:
        del sys.modules[name]
    root = str(folder.parent.resolve())
    if root in sys.path:
        sys.path.remove(root)
    sys.path.insert(0, root)
    importlib.invalidate_caches()


def _load_macro(path: Path) -> Function:
    text = path.read_text(encoding="utf-8")
    head = re.search(rf"create\s+or\s+replace\s+macro\s+{re.escape(path.stem)}\s*\(", text, re.IGNORECASE)
    if not head:
        raise ProjectError(
            f"{path.name} must define the macro {path.stem}",
            where=Location(path, 1),
            hint=f"write: create or replace macro {path.stem}(...) as ...",
        )
    query = re.search(r"\)\s*as\s+table\b", text[head.end() :], re.IGNORECASE)
    if query:
        check_table_macro(text[head.end() + query.end() :], Location(path, 1))
    comment = re.match(r"\s*--\s*(.+)", text)
    return Function(
        path.stem, "macro", path, "", description=comment.group(1).strip() if comment else "", macro_sql=text.strip().rstrip(";")
    )


def _load_python(path: Path) -> Function:
    try:
        module = importlib.import_module(f"udfs.{path.stem}")
    except SyntaxError as error:
        raise ProjectError(f"syntax error: {error.msg}", where=Location(path, error.lineno)) from error
    except ModuleNotFoundError as error:
        raise ProjectError(f"cannot import {error.name}", where=Location(path), hint=f"pip install {error.name}") from error
    except Exception as error:
        raise ProjectError(f"fails when it is imported: {type(error).__name__}: {error}", where=Location(path)) from error
    declared = [v for v in vars(module).values() if isinstance(getattr(v, "__bclust__", None), Spec)]
    declared = [v for v in declared if getattr(v, "__module__", None) == module.__name__]
    if len(declared) != 1:
        raise ProjectError(
            f"{path.name} declares {len(declared)} functions; it must declare one",
            where=Location(path, 1),
            hint="decorate one function with @scalar, @column or @call from bclust.functions; helpers go in _names.py",
        )
    spec: Spec = declared[0].__bclust__
    try:
        signature = parse_signature(spec.signature)
    except ValueError as error:
        raise ProjectError(f"bad signature: {error}", where=Location(path)) from error
    doc = inspect.getdoc(declared[0]) or ""
    return Function(
        path.stem,
        spec.kind,
        path,
        source_hash(path, spec.uses),
        description=doc.split("\n\n")[0].replace("\n", " "),
        signature=signature,
        spec=spec,
        target=declared[0],
    )


def source_hash(path: Path, uses: Iterable[str] = ()) -> str:
    """Hash of what the code does: its syntax tree without docstrings, with the project files it imports.

    Of members of a family that are installed, it is their versions.
    """
    folder = path.parent
    todo = [path, *(p for family in uses for p in sorted((folder / family).glob("*.py")))]
    seen: dict[str, str] = {}
    while todo:
        file = todo.pop()
        name = file.relative_to(folder).as_posix()
        if name in seen or not file.is_file():
            continue
        imports, seen[name] = _code(file.read_text(encoding="utf-8"), folder, file.parent.relative_to(folder).parts)
        todo.extend(imports)
    seen |= {f"{family}:{name}": version for family in uses for name, version in versions(family).items()}
    return hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()


@functools.cache
def _code(text: str, folder: Path, package: tuple[str, ...]) -> tuple[list[Path], str]:
    """Which project files a file of a package (a folder below udfs/) imports, and what it does; functions share many files."""
    tree = ast.parse(text)
    nodes = list(ast.walk(tree))
    _drop_docstrings(nodes)
    return _project_imports(nodes, folder, package), ast.dump(tree)


def _project_imports(nodes: Iterable[ast.AST], folder: Path, package: tuple[str, ...]) -> list[Path]:
    modules: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = ("udfs", *package)[: len(package) + 2 - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            modules += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    paths = [folder.joinpath(*module.split(".")[1:]) for module in modules if module.split(".")[0] == "udfs"]
    return [candidate for p in paths for candidate in (p.with_suffix(".py"), p / "__init__.py") if candidate.is_file()]


def _drop_docstrings(nodes: Iterable[ast.AST]) -> None:
    for node in nodes:
        if isinstance(node, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
                node.body = node.body[1:]
