"""Can the paid calls of a model be planned? Refused is what would ask for more, or other, once answers are there.

A plan runs a model with every missing answer NULL. So no call, and no choice of rows that a call is made for, may depend on
another call's answer. Macros are looked through.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlglot import exp

from bclust.errors import Location, ProjectError
from bclust.project.sql import VOLATILE, canonical, function_name, parse, position
from bclust.project.sql_macros import IN_MACRO, expanded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_CHOICES = ("where", "having", "qualify")
_BRANCHES = exp.Coalesce | exp.Case | exp.If | exp.Connector
_ON_ANSWER = "the second call depends on the first answer"


def check_calls(text: str, paid: Collection[str], where: Location, macros: Mapping[str, str] | None = None) -> None:
    """Refuse shapes in which a look-up pass would ask for more, or other, than the model needs. ``macros`` are texts, by name.

    Raises:
        ProjectError: with the line of the call and "split this model".
    """
    tree = expanded(parse(text, where), macros or {}, paid, where)
    calls = [node for node in tree.find_all(exp.Func) if function_name(node) in paid]
    if not calls:
        return
    for node in tree.find_all(exp.Func, exp.TableSample):
        if isinstance(node, exp.TableSample) or function_name(node) in VOLATILE:
            name = "sample" if isinstance(node, exp.TableSample) else _said(node)
            _refuse(node, where, f"{name} gives other rows each time, so its calls cannot be planned")
    for with_ in tree.find_all(exp.With):
        if with_.recursive:
            _refuse(with_, where, "a recursive query cannot hold a paid call")
    for call in calls:
        _check_call(call, paid, where)
    _Scopes(paid, where).read(tree, {})


def _check_call(call: exp.Expr, paid: Collection[str], where: Location) -> None:
    """What stands around a call, up to the query that it is in."""
    parent, inside = call.parent, call
    while parent is not None and not isinstance(parent, exp.Query):
        if isinstance(parent, exp.Func) and function_name(parent) in paid:
            _refuse(call, where, f"{_said(call)} inside {_said(parent)}: {_ON_ANSWER}")
        if isinstance(parent, exp.Coalesce) and inside is not parent.this:
            _refuse(call, where, f"{_said(call)} as a fallback in coalesce() would be asked for every row")
        if isinstance(parent, _BRANCHES) and len({canonical(c) for c in _calls(parent, paid)}) > 1:
            _refuse(call, where, f"{_said(call)} under a condition on another answer")
        if isinstance(parent, exp.Limit | exp.Offset):
            _refuse(call, where, f"{_said(call)} in a LIMIT")
        inside, parent = parent, parent.parent


def _calls(tree: exp.Expr, paid: Collection[str]) -> list[exp.Expr]:
    return [node for node in tree.find_all(exp.Func) if function_name(node) in paid]


@dataclass(frozen=True)
class _Answered:
    """The calls that a query rests on, written alike, and the columns of it that follow from their answers, in lower case."""

    calls: frozenset[str] = frozenset()
    columns: frozenset[str] = frozenset()

    def __or__(self, other: _Answered) -> _Answered:
        return _Answered(self.calls | other.calls, self.columns | other.columns)


@dataclass
class _Level:
    """What stands in one SELECT itself, not in the queries within: by where it stands."""

    sources: list[exp.Expr] = field(default_factory=list)
    within: list[tuple[str, exp.Query]] = field(default_factory=list)
    choices: list[exp.Expr] = field(default_factory=list)
    calls: list[exp.Expr] = field(default_factory=list)


class _Scopes:
    """Goes through the queries of a statement from the inside out."""

    def __init__(self, paid: Collection[str], where: Location) -> None:
        self.paid, self.where = paid, where

    def read(self, query: exp.Expr, known: Mapping[str, _Answered]) -> _Answered:
        """What a query rests on; ``known`` are the CTEs that it sees. Raises ProjectError for what cannot be planned."""
        with_ = query.args.get("with_")
        for cte in with_.expressions if with_ else ():
            found = self.read(cte.this, known)
            if cte.args["alias"].columns and found.calls:
                found = _Answered(found.calls, frozenset(c.name.lower() for c in cte.args["alias"].columns))
            known = {**known, cte.alias.lower(): found}
        if isinstance(query, exp.SetOperation):
            found = self.read(query.left, known) | self.read(query.right, known)
        elif isinstance(query, exp.Select):
            found = self._select(query, known)
        else:
            found = self.read(query.this, known) if isinstance(query.this, exp.Query) else self._table(query.this, known)
        limit = query.args.get("limit")
        if limit is not None and found.calls:
            _refuse(limit, self.where, "a LIMIT above a paid call asks for rows that it then throws away")
        return found

    def _table(self, table: exp.Expr | None, known: Mapping[str, _Answered]) -> _Answered:
        """What one table of FROM rests on; a function that is given the names of tables reads them."""
        if not isinstance(table, exp.Table):
            return _Answered()
        given = (
            [a.name for a in table.this.expressions if isinstance(a, exp.Literal)]
            if isinstance(table.this, exp.Func)
            else [table.name]
        )
        found = _Answered()
        for name in given:
            found |= known.get(name.lower(), _Answered())
        return found

    def _select(self, query: exp.Select, known: Mapping[str, _Answered]) -> _Answered:
        level = _Level()
        for key, value in _children(query):
            if key != "with_":
                self._sort(value, key, level)
        below = _Answered()
        for source in level.sources:
            below |= self._table(source, known)
        beside = _Answered()  # queries in expressions
        choices_within = False
        for key, inner in level.within:
            found = self.read(inner, known)
            if key in ("from_", "laterals"):
                below |= found
            else:
                beside |= found
                choices_within |= key in _CHOICES and bool(found.calls)
        own = level.calls
        if own and (below.calls or beside.calls):
            _refuse(own[0], self.where, f"{_said(own[0])} over rows that hold another call's answer")
        columns = self._columns(query, below)
        calls = below.calls | beside.calls | {canonical(call) for call in own}
        names = below.columns | columns
        chosen = choices_within or any(_calls(c, self.paid) or _names(c) & names for c in level.choices)
        if chosen and len(calls) > 1:
            _refuse(own[0] if own else query, self.where, "a paid call under a condition on another answer")
        return _Answered(calls, columns)

    def _sort(self, node: exp.Expr, key: str, level: _Level) -> None:
        """Put what stands below ``node`` where it belongs."""
        if isinstance(node, exp.Query):
            level.within.append((key, node))
            return
        if isinstance(node, exp.Table):
            level.sources.append(node)
        if isinstance(node, exp.Func) and function_name(node) in self.paid:
            level.calls.append(node)
        if isinstance(node, exp.Where | exp.Having | exp.Qualify):
            level.choices.append(node)
        for inner, value in _children(node):
            below = key
            if isinstance(node, exp.Join):
                below = "from_" if inner == "this" else "where"
                if inner != "this":
                    level.choices.append(value)
            self._sort(value, below, level)

    def _columns(self, query: exp.Select, below: _Answered) -> frozenset[str]:
        """The columns of a SELECT that follow from answers. Refuses a call of what another call answered, by its name."""
        answered: set[str] = set()
        aliases: set[str] = set()  # of answers: DuckDB lets later expressions use them, unless a column has that name
        for shown in query.expressions:
            calls, names = _calls(shown, self.paid), _names(shown)
            for call in calls:
                used = {column.parts[0].name.lower() for column in call.find_all(exp.Column)} & aliases
                if used:
                    _refuse(call, self.where, f"{_said(call)} of {min(used)}: {_ON_ANSWER}")
            if shown.is_star:
                answered |= below.columns
            if calls or names & (below.columns | aliases):
                answered.add(shown.alias_or_name.lower())
                if shown.alias and shown.alias.lower() not in names:
                    aliases.add(shown.alias.lower())
        return frozenset(answered)


def _children(node: exp.Expr) -> Iterator[tuple[str, exp.Expr]]:
    for key, value in node.args.items():
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, exp.Expr):
                yield key, child


def _names(tree: exp.Expr) -> set[str]:
    """The names of all columns in an expression, and of the tables (or structs) that they are taken from, in lower case."""
    found = {part.name.lower() for column in tree.find_all(exp.Column) for part in column.parts}
    return found | ({tree.name.lower()} if isinstance(tree, exp.Identifier) else set())


def _said(node: exp.Expr) -> str:
    macro = node.meta.get(IN_MACRO)
    return f"{function_name(node)}()" + (f", called by the macro {macro}," if macro else "")


def _refuse(node: exp.Expr, where: Location, reason: str) -> None:
    line, column = position(node)
    raise ProjectError(
        reason.replace(",:", ":"),
        where=Location(where.path, line or where.line, column),
        hint="split this model: make the calls in one model, and choose or ask further in the next",
    )
