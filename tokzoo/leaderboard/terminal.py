"""A table on a terminal: as wide as it is, in as many blocks as that takes. A number is never cut."""

import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.text import Text

from tokzoo.leaderboard.rows import Table
from tokzoo.leaderboard.values import plain
from tokzoo.leaderboard.words import Words, title, words

if TYPE_CHECKING:
    from rich.console import Console

GAP = 2
"""Blanks between columns."""

KEYS = 2
"""Columns that every block begins with: rank and recipe."""

RECIPE = KEYS - 1
LEAST_RECIPE = 24
"""Letters of a recipe's name that stay in one line, however narrow the terminal."""


@dataclass(frozen=True, slots=True)
class Block:
    """Columns that are printed side by side, with the width of each."""

    columns: Sequence[int]
    widths: Sequence[int]


def print_tables(tables: Iterable[Table], console: "Console") -> None:
    """Tables and their notes, one after the other."""
    for place, table in enumerate(tables):
        if place:
            console.print()
        _print(table, console)


def _print(table: Table, console: "Console") -> None:
    values = plain(table)
    shown = words(values)
    # Text, not markup: names come from files anyone may have written.
    console.print(Text(title(values), style="italic"))
    for block in blocks(shown, console.width):
        console.print()
        console.print(_rich(shown, block), crop=False)
    if values["notes"]:
        console.print()
    for note in values["notes"]:
        text = textwrap.fill(note, console.width, break_long_words=False, break_on_hyphens=False)
        console.print(Text(text, style="dim"), soft_wrap=True)


def blocks(shown: Words, room: int) -> list[Block]:
    """How the columns are laid out in ``room`` letters.

    Whole where there is room; else with headings in several lines and a narrower recipe; else in several blocks.
    """
    columns = range(len(shown.headings))
    content = [max((cell_len(row[i]) for row in shown.rows), default=0) for i in columns]
    natural = [max(cell_len(heading), content[i]) for i, heading in enumerate(shown.headings)]
    if _width(natural) <= room:
        return [Block(columns, natural)]
    narrow = [max(content[i], *map(cell_len, _parts(heading))) for i, heading in enumerate(shown.headings)]
    left = room - _width(narrow) + narrow[RECIPE]
    narrow[RECIPE] = min(narrow[RECIPE], left if left >= LEAST_RECIPE else max(LEAST_RECIPE, room // 3))
    found: list[list[int]] = [[]]
    for i in columns[KEYS:]:
        if found[-1] and _width([narrow[j] for j in (*range(KEYS), *found[-1], i)]) > room:
            found.append([])
        found[-1].append(i)
    return [Block(chosen, [narrow[i] for i in chosen]) for chosen in ([*range(KEYS), *more] for more in found)]


def _parts(heading: str) -> list[str]:
    """The parts of a heading that stay whole; an arrow stays with the word before it."""
    return re.split(r" (?![↑↓])", heading)


def _lines(heading: str, width: int) -> list[str]:
    """A heading in lines of at most that many letters."""
    lines: list[str] = []
    for part in _parts(heading):
        if lines and cell_len(f"{lines[-1]} {part}") <= width:
            lines[-1] += f" {part}"
        else:
            lines.append(part)
    return lines


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)


def _rich(shown: Words, block: Block) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table as RichTable

    # The box stands for one of the blanks between two columns. With a width of its own, rich squeezes no column.
    table = RichTable(
        box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0), width=_width(block.widths)
    )
    for i, width in zip(block.columns, block.widths, strict=True):
        text = Text("\n".join(_lines(shown.headings[i], width)))
        table.add_column(text, justify="right" if shown.numeric[i] else "left", width=width, overflow="fold")
    for row in shown.rows:
        table.add_row(*(Text(row[i]) for i in block.columns))
    return table
