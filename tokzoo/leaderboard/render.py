"""Tables as text: for a terminal (rich), and as JSON."""

import math
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from tokzoo.leaderboard.rows import Column, Row, Table
from tokzoo.leaderboard.statistics import Estimate

ARROWS = {"higher": " ↑", "lower": " ↓", None: ""}


def heading(column: Column) -> str:
    """A column's heading: label, unit and direction; a dagger for each further protocol of the metric."""
    unit = f" [{column.about.unit}]" if column.about.unit else ""
    return f"{column.about.label}{'†' * column.variant}{ARROWS[column.about.better]}{unit}"


def number(value: float, digits: int) -> str:
    """A value for a table; whole numbers above ten thousand in thousands or millions."""
    if digits == 0 and abs(value) >= 1e4:
        return f"{value / 1e6:.2f} M" if abs(value) >= 1e6 else f"{value / 1e3:.0f} k"
    return f"{value:.{digits}f}"


def interval(estimate: Estimate | None, digits: int) -> str:
    """``mean ± half-width`` of the 95 % interval; the mean alone from one seed or where nothing varies."""
    if estimate is None:
        return "–"
    text = number(estimate.mean, digits)
    if not estimate.half_width:
        return text
    return f"{text} ± {number(estimate.half_width, digits)}"


def rank(row: Row) -> str:
    """``2``, or ``1–2`` for a tie, or a dot where there is no rank."""
    if row.rank is None:
        return "·"
    first, last = row.rank
    return str(first) if first == last else f"{first}–{last}"


def print_table(table: Table, console: Console) -> None:
    """The table and its notes, on a terminal."""
    console.print(to_rich(table))
    for note in table.notes:
        console.print(Text(note, style="dim"))


def to_rich(table: Table) -> RichTable:
    """The table for a terminal."""
    # Text, not markup: names come from files anyone may have written.
    shown = RichTable(title=Text(f"{table.track}  ({table.track_hash[:8]})"), title_justify="left")
    shown.add_column("rank", justify="right")
    shown.add_column("recipe", overflow="fold")
    shown.add_column("evidence")
    shown.add_column("seeds", justify="right")
    for column in table.columns:
        shown.add_column(Text(heading(column)), justify="right")
    shown.add_column("code bits", justify="right")
    for row in table.rows:
        cells = [interval(row.estimates.get(column.key), column.about.digits) for column in table.columns]
        bits = "–" if row.bits_per_image is None else number(row.bits_per_image, 0)
        evidence = row.evidence if row.seeds else "failed"
        shown.add_row(rank(row), Text(row.recipe), evidence, str(len(row.seeds)), *cells, bits)
    return shown


def to_json(table: Table) -> dict[str, Any]:
    """The table as plain values, for machines."""
    return {
        "track": table.track,
        "track_hash": table.track_hash,
        "main": table.main,
        "rows": [_row_json(row, table) for row in table.rows],
        "notes": table.notes,
    }


def _row_json(row: Row, table: Table) -> dict[str, Any]:
    values = []
    for column in table.columns:
        found = row.estimates.get(column.key)
        if found is not None and math.isfinite(found.mean):
            metric, protocol = column.key
            about = {"metric": metric, "protocol": protocol, "unit": column.about.unit}
            values.append({**about, "mean": found.mean, "half_width": found.half_width, "n": found.n})
    return {
        "recipe": row.recipe,
        "recipe_hash": row.recipe_hash,
        "rank": row.rank,
        "evidence": row.evidence,
        "seeds": list(row.seeds),
        "bits_per_image": row.bits_per_image,
        "values": values,
        "failures": row.failures,
    }
