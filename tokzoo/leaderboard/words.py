"""The cells of a table as text, the same in every format that is for people."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokzoo.leaderboard.values import Values

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}
NONE = "–"


@dataclass(frozen=True, slots=True)
class Words:
    """A table of text.

    Attributes:
        headings: of the columns.
        rows: as many texts each.
        numeric: which columns hold numbers.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: Sequence[bool]


def words(table: Values) -> Words:
    """Rank, recipe, evidence and seeds; the measured numbers; the size of the code."""
    headings = ["rank", "recipe", "evidence", "seeds", *map(heading, table["columns"]), "code bits"]
    digits = [column["digits"] for column in table["columns"]]
    rows = [
        [
            *(rank(row["rank"]), row["recipe"], row["evidence"] if row["seeds"] else "failed", str(len(row["seeds"]))),
            *map(interval, row["values"], digits),
            NONE if row["bits_per_image"] is None else number(row["bits_per_image"], 0),
        ]
        for row in table["rows"]
    ]
    return Words(headings, rows, [True, False, False, True, *(True for _ in digits), True])


def title(table: Values) -> str:
    """The track, with the start of its hash."""
    return f"{table['track']}  ({table['track_hash'][:8]})"


def heading(column: Values) -> str:
    """A column's heading: label, mark, direction and unit."""
    unit = f" [{column['unit']}]" if column["unit"] else ""
    return f"{column['label']}{column['mark']}{ARROWS[column['better']]}{unit}"


def number(value: float, digits: int) -> str:
    """A value for a table; whole numbers above ten thousand in thousands or millions, the largest in powers of ten."""
    if abs(value) >= 1e12:
        return f"{value:.3g}"
    if digits == 0 and abs(value) >= 1e4:
        return f"{value / 1e6:.2f} M" if abs(value) >= 1e6 else f"{value / 1e3:.0f} k"
    return f"{value:.{digits}f}"


def interval(value: Values | None, digits: int) -> str:
    """``mean ± half-width`` of the 95 % interval; the mean alone from one seed or where nothing varies."""
    if value is None:
        return NONE
    text = number(value["mean"], digits)
    if not value["half_width"]:
        return text
    return f"{text} ± {number(value['half_width'], digits)}"


def rank(span: Sequence[int] | None) -> str:
    """``2``, or ``1–2`` for a tie, or a dot where there is no rank."""
    if span is None:
        return "·"
    first, last = span
    return str(first) if first == last else f"{first}–{last}"
