"""What stands out, as the table ``findings`` says it (``response_findings`` in a run that asks for no approvals): the Overview,
the HTML report and the short text all read it here."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reports import _queries as q
from reports._choices import settings
from reports._texts import points

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reports._warehouse import Warehouse

# What the kinds of findings are headed by, in the order of the table.
HEADINGS = {
    "warning": "What spoils a comparison",
    "difference": "What differs",
    "noise": "How far one language model differs from itself",
    "none": "What is not shown",
}


@dataclass(frozen=True)
class Finding:
    """One sentence of the table: a claim, its evidence, where to see it, and up to three statements to read (id, text)."""

    position: int
    kind: str
    title: str
    detail: str
    page: str
    link: Mapping[str, str]
    statements: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Findings:
    """The sentences that are shown, what they were chosen from, and how many the choice of language models hides."""

    shown: list[Finding] = field(default_factory=list)
    family: str = ""
    hidden: int = 0

    def of(self, kind: str) -> list[Finding]:
        """The sentences of one kind."""
        return [finding for finding in self.shown if finding.kind == kind]


def findings_query(warehouse: Warehouse) -> str:
    """The query of what stands out."""
    known = (table for table in ("findings", "response_findings") if warehouse.has(table))
    return q.findings(next(known, "findings"))


def findings(warehouse: Warehouse, llms: Sequence[str]) -> Findings:
    """The sentences about these language models alone.

    Raises:
        WarehouseError: they are not built.
    """
    rows = warehouse.frame(findings_query(warehouse)).to_dicts()
    shown = [_finding(row) for row in rows if set(row["llm_ids"] or ()) <= set(llms)]
    n = max((row["n_candidates"] or 0 for row in rows), default=0)
    return Findings(shown, _family(warehouse, n) if n else "", len(rows) - len(shown))


def _finding(row: Mapping[str, Any]) -> Finding:
    link = {key: str(value) for key, value in json.loads(row["link"] or "{}").items()}
    title = row["title"].rstrip(".") + "."
    return Finding(row["position"], row["kind"], title, row["detail"] or "", row["page"], link, row["statements"])


def _family(warehouse: Warehouse, n: int) -> str:
    """What the sentences were chosen from, and what their words mean."""
    known = settings(warehouse)
    return (
        f"Chosen from {n:,} comparisons at a false discovery rate of {known.fdr:g}; the intervals allow for the choice. Two are "
        f"called alike only where the whole interval lies within {points(known.margin).removeprefix('+')} of no difference. What "
        "is not shown may still be there."
    )


def hidden_words(hidden: int) -> str:
    """How many sentences the choice of language models hides; "" for none."""
    if not hidden:
        return ""
    return f"{hidden:,} more {'is' if hidden == 1 else 'are'} about language models that are not chosen in the sidebar."
