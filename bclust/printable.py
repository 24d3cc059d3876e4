"""Text that language models and data sets wrote, made harmless where it leaves the tables.

A terminal obeys what is printed on it: a text can set its title, write to the clipboard, clear the screen, or turn around the
order of what stands beside it. Tables keep every character as it came, and so does Parquet. What is printed, and CSV, has a mark
in its place, and JSON its escape.
"""

from __future__ import annotations

import json
import re
from typing import Any

# C0 but for tab and newline, DEL, C1; marks that reorder what is around them (Unicode UAX 9); line and paragraph separators
_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ud800-\udfff"
MARK = "\ufffd"
_CONTROL = re.compile(f"[{_CONTROLS}]")
_LINE_END = re.compile("\r\n?|\x85|\u2028|\u2029")


def printable(text: str) -> str:
    r"""The text with a mark for each character that steers a terminal; line ends of all kinds become newlines.

    >>> printable("a\x1b[2Jb\r\nc")
    'a\ufffd[2Jb\nc'
    """
    return _CONTROL.sub(MARK, _LINE_END.sub("\n", text))


def json_text(value: Any, indent: int | None = None) -> str:
    r"""A value as JSON for people: letters of all scripts as they are, and the escape of each character that steers.

    >>> json_text({"a": "\x1b\u202eé"})
    '{"a": "\\u001b\\u202eé"}'
    """
    return escaped(json.dumps(value, ensure_ascii=False, default=str, indent=indent))


def escaped(text: str) -> str:
    """JSON with the escape of each character that steers: in JSON, they stand within texts only."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}" if found[0] != "\r" else "\r", text)
