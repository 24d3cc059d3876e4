"""Text that a language model or a data set wrote, made harmless before it is shown.

Plotly turns ``<a href>`` in a label into a live link and Streamlit's markdown fetches images, so no such text reaches
either as it is: labels and HTML are escaped here, and long texts are shown with ``st.text`` or in table cells.
"""

from __future__ import annotations

import difflib
import html
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import SupportsFloat

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|<>$:~^&=])")


def plain(text: object, width: int | None = None) -> str:
    """One line without control or bidirectional-override characters, cut to ``width`` characters.

    >>> plain("a\\u202e b\\n c", 3)
    'a b…'
    """
    cleaned = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in str(text) if not _steers(c))
    words = " ".join(cleaned.split())
    return words if width is None or len(words) <= width else words[:width].rstrip() + "…"


def _steers(char: str) -> bool:
    """Whether a character reorders the text around it."""
    return char in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def label(text: object, width: int = 40) -> str:
    """A text as a plotly label: one short line, escaped (but not quotes: plotly would show ``&quot;``).

    >>> label("<a href='x'>y</a>")
    "&lt;a href='x'&gt;y&lt;/a&gt;"
    """
    return html.escape(plain(text, width), quote=False)


def wrapped(text: object, width: int = 60, lines: int = 4) -> str:
    """A text as a plotly hover label: escaped, broken into lines, long words cut."""
    rows: list[str] = [""]
    for word in plain(text, width * lines).split(" "):
        for piece in [word[i : i + width] for i in range(0, len(word), width)]:
            if rows[-1] and len(rows[-1]) + 1 + len(piece) > width:
                rows.append(piece)
            else:
                rows[-1] = f"{rows[-1]} {piece}".strip()
    return "<br>".join(html.escape(row, quote=False) for row in rows[:lines])


def markdown(text: object, width: int | None = 80) -> str:
    """A text for a place that reads Markdown (widget labels, captions): every sign that could mean something is escaped.

    >>> markdown("gpt_4 [x](y)")
    'gpt\\\\_4 \\\\[x\\\\]\\\\(y\\\\)'
    """
    # a word joiner, which nobody sees, since bare addresses become links even where they are escaped
    unlinked = re.sub(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", "\u2060", plain(text, width))
    return _MARKDOWN.sub(r"\\\1", unlinked)


def word_diff(text: str, other: str) -> str:
    """``text`` as escaped HTML in which the words that ``other`` lacks are marked."""
    mine, theirs = re.findall(r"\S+|\s+", text), re.findall(r"\S+|\s+", other)
    pieces = []
    for kind, i, j, _, _ in difflib.SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes():
        piece = html.escape("".join(mine[i:j]))
        pieces.append(f"<mark>{piece}</mark>" if kind in ("replace", "delete") and piece.strip() else piece)
    return "".join(pieces)


def percent(value: float | None, digits: int = 0) -> str:
    """A share as people read it.

    >>> percent(0.256)
    '26 %'
    """
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def dollars(usd: SupportsFloat | None, unpriced: object) -> str:
    """What was paid; a price that nobody knows is said, never taken for nothing.

    >>> dollars(1.5, 0), dollars(1.5, 3), dollars(0.0, 3), dollars(None, 3)
    ('$1.50', '$1.50 and unknown', 'unknown', 'unknown')
    """
    known = f"${float(usd or 0):,.2f}"
    if unpriced:
        return f"{known} and unknown" if usd else "unknown"
    return known


def interval(rate: float | None, low: float | None, high: float | None, digits: int = 0) -> str:
    """A share with its interval.

    >>> interval(0.5, 0.41, 0.59)
    '50 % (41 to 59)'
    """
    if rate is None or low is None or high is None:
        return percent(rate, digits)
    return f"{percent(rate, digits)} ({100 * low:.{digits}f} to {100 * high:.{digits}f})"


def points(value: float | None, digits: int = 0) -> str:
    """A difference of two shares, in percentage points.

    >>> points(-0.123)
    '-12 points'
    """
    return "–" if value is None else f"{100 * value:+.{digits}f} points"


def units(n_statements: int, n_groups: int) -> str:
    """How many statements are behind a number, and how many groups of near-duplicates they make.

    >>> units(120, 120), units(120, 96)
    ('120 statements', '120 statements in 96 groups')
    """
    return f"{n_statements:,} statements" + (f" in {n_groups:,} groups" if n_groups < n_statements else "")


def small(value: float | None) -> str:
    """A p- or q-value.

    >>> small(0.0001), small(0.042)
    ('< 0.001', '0.042')
    """
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
