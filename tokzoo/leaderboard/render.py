"""A table as plain values, and what is made of these: for a terminal (rich), as JSON, by a plugin's renderer."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from tokzoo.leaderboard.rows import Row, Table

Values = Mapping[str, Any]
"""Plain values by name, as :func:`to_json` makes them."""

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def to_json(table: Table) -> dict[str, Any]:
    """All there is to say of a table, as plain values: what every renderer is given, ours and those of plugins.

    The hook ``tokzoo_renderers`` says what is in it.
    """
    return {
        "track": table.track,
        "track_hash": table.track_hash,
        "main": table.main,
        "columns": [
            {
                "metric": column.key[0],
                "protocol": column.key[1],
                "label": column.about.label,
                "unit": column.about.unit,
                "better": column.about.better,
                "digits": column.about.digits,
                "variant": column.variant,
            }
            for column in table.columns
        ],
        "rows": [_row(row, table) for row in table.rows],
        "notes": table.notes,
    }


def _row(row: Row, table: Table) -> dict[str, Any]:
    found = [row.estimates.get(column.key) for column in table.columns]
    return {
        "recipe": row.recipe,
        "recipe_hash": row.recipe_hash,
        "rank": None if row.rank is None else list(row.rank),
        "evidence": row.evidence,
        "seeds": list(row.seeds),
        "bits_per_image": row.bits_per_image,
        "values": [None if value is None else asdict(value) for value in found],
        "failures": row.failures,
        "disputes": row.disputes,
    }


def heading(column: Values) -> str:
    """A column's heading: label, unit and direction; a dagger for each further protocol of the metric."""
    unit = f" [{column['unit']}]" if column["unit"] else ""
    return f"{column['label']}{'†' * column['variant']}{ARROWS[column['better']]}{unit}"


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
        return "–"
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


def print_table(table: Table, console: Console) -> None:
    """The table and its notes, on a terminal."""
    values = to_json(table)
    console.print(to_rich(values))
    for note in values["notes"]:
        console.print(Text(note, style="dim"))


def to_rich(table: Values) -> RichTable:
    """The table for a terminal."""
    # Text, not markup: names come from files anyone may have written.
    shown = RichTable(title=Text(f"{table['track']}  ({table['track_hash'][:8]})"), title_justify="left")
    shown.add_column("rank", justify="right")
    shown.add_column("recipe", overflow="fold")
    shown.add_column("evidence")
    shown.add_column("seeds", justify="right")
    for column in table["columns"]:
        shown.add_column(Text(heading(column)), justify="right")
    shown.add_column("code bits", justify="right")
    digits = [column["digits"] for column in table["columns"]]
    for row in table["rows"]:
        cells = map(interval, row["values"], digits)
        bits = "–" if row["bits_per_image"] is None else number(row["bits_per_image"], 0)
        evidence = row["evidence"] if row["seeds"] else "failed"
        shown.add_row(rank(row["rank"]), Text(row["recipe"]), evidence, str(len(row["seeds"])), *cells, bits)
    return shown
