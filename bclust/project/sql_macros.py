"""Looking through macros: a statement as DuckDB binds it, with the bodies of macros in the place of their calls.

Pure functions over sqlglot's syntax tree, for checks alone: what is made here is never executed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokenizer_core import TokenType

from bclust.errors import Location, ProjectError
from bclust.project.sql import VOLATILE, function_name, position

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

IN_MACRO = "in_macro"  # the key in a node's ``meta`` under which stands from which macro it comes
_WORDS = re.compile(r'("?)\b_?(\w+)\1\s*\(')


@dataclass(frozen=True)
class Macro:
    """A macro as a tree. ``parameters`` have their default, or None."""

    parameters: Mapping[str, exp.Expr | None]
    body: exp.Expr


def called(macro: str) -> set[str]:
    """The names that are called in the text of a macro, in lower case; that of a function's raw form counts as its own."""
    return {name.lower() for _, name in _WORDS.findall(macro)}


def leading_to(names: Collection[str], macros: Mapping[str, str]) -> set[str]:
    """The macros (given by their text) that call one of these functions, themselves or through other macros."""
    found: set[str] = set()
    while True:
        more = {m for m, text in macros.items() if m not in found and called(text) & ({*names} | found)}
        if not more:
            return found
        found |= more


def expanded(tree: exp.Expr, macros: Mapping[str, str], paid: Collection[str], where: Location) -> exp.Expr:
    """A copy of the tree in which macros are replaced by their bodies: table macros, and those that a paid call goes through.

    A function that is called behind a dot is called in front of it.

    Raises:
        ProjectError: a macro through which a paid call goes cannot be read.
    """
    deciding = leading_to({*paid, *VOLATILE}, macros)
    return _expanded(tree.copy(), macros, deciding, paid, where, ())


def _expanded(
    tree: exp.Expr,
    macros: Mapping[str, str],
    deciding: Collection[str],
    paid: Collection[str],
    where: Location,
    within: tuple[str, ...],
) -> exp.Expr:
    holder = exp.Paren(this=tree)  # so that the root has a parent, too
    _unchain(holder, {*macros, *paid})
    for call in reversed(list(holder.find_all(exp.Func))):  # what stands deeper comes first
        name = function_name(call)
        if name not in macros or name in within:
            continue
        is_table = isinstance(call.parent, exp.Table)
        if not is_table and name not in deciding and not any(function_name(f) in paid for f in call.find_all(exp.Func)):
            continue
        macro = _macro(macros[name])
        if macro is None:
            if name not in deciding:
                continue
            line, column = position(call)
            raise ProjectError(
                f"{name}() leads to a paid call, and how cannot be read",
                where=Location(where.path, line or where.line, column),
                hint=f"write udfs/{name}.sql as one macro with one body",
            )
        body = _placed(macro, name, call)
        body = _expanded(body, macros, deciding, paid, where, (*within, name))
        if is_table:
            table = call.parent
            assert table is not None
            query = body.this if isinstance(body, exp.Subquery) else body
            table.replace(exp.Subquery(this=query, alias=table.args.get("alias")))
        else:
            call.replace(exp.Paren(this=body))
    tree = holder.this
    tree.pop()
    return tree


def _unchain(tree: exp.Expr, names: Collection[str]) -> None:
    """``text.f(more)`` becomes ``f(text, more)``."""
    for dot in reversed(list(tree.find_all(exp.Dot))):
        call, first = dot.expression, dot.this
        if isinstance(call, exp.Anonymous) and function_name(call) in names:
            first = exp.column(first.copy()) if isinstance(first, exp.Identifier) else first.copy()
            call = call.copy()
            call.set("expressions", [first, *call.expressions])
            dot.replace(call)


@lru_cache(maxsize=512)
def _macro(text: str) -> Macro | None:
    """The macro that a file declares; None where it has several bodies, or sqlglot cannot read it."""
    try:
        tokens = sqlglot.tokenize(text, read="duckdb")
        start = next(i for i, token in enumerate(tokens) if token.token_type is TokenType.L_PAREN)
        groups, end = _groups(tokens, start)
        parameters = {
            name: _parsed(f"select {default}") if default else None for name, default in (_parameter(text, g) for g in groups)
        }
        is_table = tokens[end + 2].text.lower() == "table"
        body = text[tokens[end + 2 + is_table].start :].rstrip().rstrip(";")
        parsed = _parsed(body, one=False) if is_table else _parsed(f"select {body}")
    except (ParseError, TokenError, StopIteration, IndexError, ValueError):
        return None
    return Macro(parameters, parsed)


def _groups(tokens: Sequence[sqlglot.Token], start: int) -> tuple[list[list[sqlglot.Token]], int]:
    """The tokens between a parenthesis and its end, split at commas; and where the end is."""
    groups: list[list[sqlglot.Token]] = [[]]
    depth = 0
    for i, token in enumerate(tokens[start:], start):
        opens = token.token_type in (TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE)
        closes = token.token_type in (TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE)
        depth += opens - closes
        if depth == 0:
            return [g for g in groups if g], i
        if depth == 1 and token.token_type is TokenType.COMMA:
            groups.append([])
        elif i > start:
            groups[-1].append(token)
    raise ValueError


def _parameter(text: str, tokens: Sequence[sqlglot.Token]) -> tuple[str, str]:
    """The name of a parameter and the text of its default."""
    whole = text[tokens[0].start : tokens[-1].end + 1]
    return tokens[0].text.lower(), whole.partition(":=")[2].strip()


def _parsed(sql: str, *, one: bool = True) -> exp.Expr:
    """A query, or where it is ``select EXPRESSION`` that expression. Raises ParseError or ValueError."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    if not isinstance(tree, exp.Query) or (one and len(tree.selects) != 1):
        raise ValueError(sql)
    return tree.selects[0] if one else tree


def _placed(macro: Macro, name: str, call: exp.Expr) -> exp.Expr:
    """The body of a macro with the arguments of a call in it; what goes wrong there is shown at the call."""
    given = _arguments(macro, call)
    line, column = position(call)
    body = macro.body.copy()
    for node in body.walk():
        node.meta.update({"line": line, "col": column, IN_MACRO: name} if line else {IN_MACRO: name})
    holder = exp.Paren(this=body)
    for used in list(holder.find_all(exp.Column)):
        first, *rest = used.parts
        argument = given.get(first.name.lower())
        if argument is not None and not isinstance(used.this, exp.Star):
            value: exp.Expr = argument.copy() if isinstance(argument, exp.Literal) else exp.Paren(this=argument.copy())
            for field in rest:
                value = exp.Dot(this=value, expression=field.copy())
            used.replace(value)
    for table in list(holder.find_all(exp.Table)):
        of = table.this.expressions[0] if function_name(table.this) == "query_table" and table.this.expressions else None
        if isinstance(of, exp.Literal) and of.is_string:
            table.set("this", exp.to_identifier(of.name))
    body = holder.this
    body.pop()
    return body


def _arguments(macro: Macro, call: exp.Expr) -> dict[str, exp.Expr]:
    """What each parameter stands for in a call, by position and by name (``:=``)."""
    values = call.expressions if isinstance(call, exp.Anonymous) else [v for v in call.iter_expressions() if v is not None]
    found = {name: default for name, default in macro.parameters.items() if default is not None}
    names = list(macro.parameters)
    for i, value in enumerate(values):
        if isinstance(value, exp.PropertyEQ | exp.Kwarg):
            found[value.name.lower()] = value.expression
        elif i < len(names):
            found[names[i]] = value
    return found
