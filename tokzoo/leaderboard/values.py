"""A table as plain values: the one thing that every format is made from, ours and those of plugins."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from typing import Any

from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.leaderboard.columns import Column, legend
from tokzoo.leaderboard.rows import Row, Table
from tokzoo.leaderboard.statistics import Estimate

Values = Mapping[str, Any]
"""Plain values by name, as :func:`plain` makes them."""


def choose(tables: Sequence[Table], recipe: str | None = None, columns: Sequence[str] = ()) -> list[Table]:
    """Tables with some of their rows and columns; ranks and ties stay those among all rows.

    Args:
        tables: all there are.
        recipe: a pattern of rows' labels, such as ``gigatok-*``; None: all. A table without such a row is left out.
        columns: metric ids or patterns of them, or headings, in any case and in the order wanted; (): what each
            track shows.

    Raises:
        TokzooError: a pattern that nothing in any table matches.
    """
    measured = [column for table in tables for column in table.columns]
    for pattern in columns:
        if not any(_is_called(column, pattern) for column in measured):
            known = {name.casefold() for column in measured for name in (column.key[0], column.about.label)}
            raise TokzooError(
                f"--columns {pattern}: nothing of that name was measured; a column is named by its metric id or its "
                f"heading; {suggest(pattern.casefold(), known)}"
            )
    chosen = [replace(t, rows=_rows(t, recipe), columns=_columns(t, columns)) for t in tables]
    if recipe is not None and not any(table.rows for table in chosen):
        known = {row.recipe for table in tables for row in table.rows}
        raise TokzooError(f"--recipe {recipe}: no row of that name; {suggest(recipe, known)}")
    return [table for table in chosen if table.rows]


def _rows(table: Table, recipe: str | None) -> list[Row]:
    return [row for row in table.rows if recipe is None or fnmatchcase(row.recipe, recipe)]


def _columns(table: Table, patterns: Sequence[str]) -> list[Column]:
    if not patterns:
        return [column for column in table.columns if column.shown]
    found = [c for pattern in patterns for c in table.columns if _is_called(c, pattern)]
    return list({column.key: column for column in found}.values())


def _is_called(column: Column, name: str) -> bool:
    """Whether a pattern of metric ids or a heading, with or without its mark, direction and unit, means a column."""
    name, label = name.casefold(), column.about.label.casefold()
    return fnmatchcase(column.key[0].casefold(), name) or name.partition(" [")[0].rstrip(" ↑↓") in (
        label,
        f"{label}{column.mark}",
    )


def plain(table: Table) -> dict[str, Any]:
    """All there is to say of a table: what every renderer is given.

    The hook ``tokzoo_renderers`` says what is in it.
    """
    # Of a column that no row here has a number in, nothing needs to be said.
    columns = [c for c in table.columns if any(c.key in row.estimates for row in table.rows)]
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
                "mark": column.mark,
            }
            for column in columns
        ],
        "rows": [_row(row, columns) for row in table.rows],
        "notes": [*_notes(table, columns), *legend(columns), *_troubles(table)],
        "protocols": {column.key[1]: dict(column.protocol) for column in columns},
    }


def _row(row: Row, columns: Sequence[Column]) -> dict[str, Any]:
    found = [row.estimates.get(column.key) for column in columns]
    return {
        "recipe": row.recipe,
        "recipe_hash": row.recipe_hash,
        "rank": None if row.rank is None else list(row.rank),
        "evidence": row.evidence,
        "seeds": list(row.seeds),
        "records": list(row.records.values()),
        "bits_per_image": row.bits_per_image,
        "values": [None if value is None else _value(value) for value in found],
        "failures": row.failures,
        "disputes": row.disputes,
    }


def _value(value: Estimate) -> dict[str, Any]:
    """An estimate; one seed has no deviation, where 0 would say that nothing varies."""
    return asdict(value) | ({"deviation": None} if value.n == 1 else {})


def _notes(table: Table, columns: Sequence[Column]) -> list[str]:
    """What a reader must know of ranks and rows."""
    notes: list[str] = []
    if len(table.rows) < table.total:
        notes.append(f"{len(table.rows)} of {table.total} rows; ranks are among all of them.")
    ranked = table.ranked
    if ranked is not None and ranked.key not in [column.key for column in columns]:
        notes.append(f"Sorted by {ranked.about.label} ({ranked.key[0]}), which is not shown.")
    elif ranked is not None and ranked.mark:
        notes.append(f"Ranked by {ranked.about.label}{ranked.mark}: most rows were measured under that protocol.")
    if any(len(row.seeds) == 1 for row in table.rows) and table.total > 1:
        notes.append(
            "A row of one seed is sorted, not ranked: its noise is unknown, and one seed separates no Fréchet "
            "distance. Use --seeds 0-2 for ranks."
        )
    if any(row.rank and row.rank[0] != row.rank[1] for row in table.rows):
        notes.append("A rank such as 1–2 is a tie: the seeds do not separate these rows (Welch's t-test, 5 %).")
    return notes


def _troubles(table: Table) -> list[str]:
    return [line for row in table.rows for line in (*row.disputes, *row.failures)]
