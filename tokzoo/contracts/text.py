"""Text that others wrote, made fit to be shown."""

import json
import os
from typing import Any, TextIO

PIPED = 200
"""Letters of a line where nobody says how many there may be."""


def counted(count: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str, longest: int | None = None) -> str:
    r"""Text as a terminal may be given it, up to ``longest`` characters of it.

    Line ends stay. Whatever else moves the cursor, changes colours, reverses the reading or cannot be encoded is shown
    as its escape.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if longest is not None and len(text) > longest:
        text = f"{text[:longest]}…"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


def json_text(value: Any) -> str:
    """Indented JSON; what is no visible character is escaped."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return text if text.isascii() else "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def line_width(stream: TextIO) -> int | None:
    """Letters of a line written to a stream; None: as many as its terminal has, or as the variable COLUMNS says."""
    return None if stream.isatty() or os.environ.get("COLUMNS", "").isdecimal() else PIPED


def duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``.

    >>> duration(720)
    '12 min'
    """
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 1 else "1 s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
