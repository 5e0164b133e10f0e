"""Records to rows: seeds aggregated, evidence stated, ties instead of bare ranks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokzoo.leaderboard.columns import Column, ColumnKey, find_columns
from tokzoo.leaderboard.labels import labels
from tokzoo.leaderboard.statistics import Estimate, estimate, tie_groups
from tokzoo.records.schema import Record

Evidence = Literal["claimed", "imported", "measured", "replicated"]

ENOUGH_SEEDS = 3
"""The fewest that make a row ``replicated``; a track may want more."""


@dataclass(slots=True)
class Row:
    """One recipe on one track.

    Attributes:
        recipe: its label, unlike any other in the table.
        records: the id of the record that counts, by seed; only of those with a result.
        evidence: how the row is known; ``replicated`` from three seeds on, or as many as the track wants.
        rank: the first and last place it may hold among the ranked; None where it has no main metric, or one seed gives
            no noise.
        failures: one line for each cell that failed.
        disputes: one line for each seed whose records do not agree.
    """

    recipe: str
    recipe_hash: str
    records: dict[int, str]
    evidence: Evidence
    bits_per_image: float | None
    estimates: dict[ColumnKey, Estimate]
    rank: tuple[int, int] | None = None
    failures: list[str] = field(default_factory=list)
    disputes: list[str] = field(default_factory=list)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Those with a result."""
        return tuple(self.records)


@dataclass(slots=True)
class Table:
    """The rows of one track, best first.

    Attributes:
        main: the metric id the rows are sorted by.
        columns: everything that was measured; what the track shows comes first.
        ranked: the column the ranks are of; None: nothing is ranked.
        total: how many rows there are, shown or not.
    """

    track: str
    track_hash: str
    main: str
    columns: list[Column]
    rows: list[Row] = field(default_factory=list)
    ranked: Column | None = None
    total: int = 0


def build_tables(records: Iterable[Record]) -> list[Table]:
    """A table per track, from every record of it. Two records of one cell count once."""
    by_track: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_track.setdefault((record.track.name, record.track.hash), []).append(record)
    return [_table(name, digest, group) for (name, digest), group in sorted(by_track.items())]


def _table(track: str, digest: str, records: Sequence[Record]) -> Table:
    by_recipe: dict[str, list[Record]] = {}
    for record in records:
        by_recipe.setdefault(record.recipe.hash, []).append(record)
    content = records[-1].track.content
    main = content.get("main", "")
    table = Table(track, digest, main, find_columns(records, content.get("columns") or [main]))
    enough = max(ENOUGH_SEEDS, content.get("seeds", 0))
    # One recipe may be known by several names: by that of a recipe it equals, and by what was changed to get there.
    names = labels(
        [min((r.recipe for r in group), key=lambda n: (len(n.name), n.name)) for group in by_recipe.values()]
    )
    table.rows = [_row(name, group, enough) for name, group in zip(names, by_recipe.values(), strict=True)]
    table.total = len(table.rows)
    _rank(table)
    return table


def _row(name: str, records: Sequence[Record], enough: int) -> Row:
    by_seed: dict[int, list[Record]] = {}
    for record in sorted((r for r in records if r.status == "ok"), key=lambda record: record.id):
        by_seed.setdefault(record.seed, []).append(record)
    results = {seed: found[-1] for seed, found in sorted(by_seed.items())}
    # A failure that another run of the same cell mended is history, not a result.
    failed = {r.seed: r for r in records if r.failure and r.seed not in results}
    values: dict[ColumnKey, list[float]] = {}
    for record in results.values():
        for metric, value in record.metrics.items():
            values.setdefault((metric, value.protocol), []).append(value.value)
    return Row(
        recipe=name,
        recipe_hash=records[-1].recipe.hash,
        records={seed: record.id for seed, record in results.items()},
        evidence=_evidence(list(results.values()) or list(records), enough),
        bits_per_image=records[-1].shapes.get("bits_per_image"),
        estimates={key: estimate(numbers) for key, numbers in values.items()},
        failures=[
            f"{name}, seed {seed}: {r.status} in {r.failure.stage}: {r.failure.message}"
            for seed, r in sorted(failed.items())
            if r.failure
        ],
        disputes=[
            f"{name}, seed {seed}: {len(found)} records do not agree (another machine or version); "
            f"record {found[-1].id} is shown."
            for seed, found in sorted(by_seed.items())
            if any(record.metrics != found[-1].metrics for record in found)
        ],
    )


def _evidence(records: Sequence[Record], enough: int) -> Evidence:
    origins = {record.origin for record in records}
    if origins != {"measured"}:
        return "claimed" if "claimed" in origins else "imported"
    seeds = {record.seed for record in records if record.status == "ok"}
    return "replicated" if len(seeds) >= enough else "measured"


def _rank(table: Table) -> None:
    """Sort by the main metric, best first, and give ranks where the noise is known.

    A row of one seed takes no place: how far it reaches up or down is unknown, and must not blur what is known.
    """
    columns = [column for column in table.columns if column.key[0] == table.main]
    if not columns:
        return
    # Rows of another protocol do not compare; the protocol most rows were measured under is the one ranked.
    column = max(columns, key=lambda column: sum(column.key in row.estimates for row in table.rows))
    sign = -1 if column.about.better == "higher" else 1
    compared = [row for row in table.rows if column.key in row.estimates]
    compared.sort(key=lambda row: (sign * row.estimates[column.key].mean, row.recipe))
    ranked = [row for row in compared if row.estimates[column.key].n > 1 and column.about.better]
    for row, span in zip(ranked, tie_groups([row.estimates[column.key] for row in ranked]), strict=True):
        row.rank = span
    table.ranked = column
    table.rows = compared + [row for row in table.rows if column.key not in row.estimates]
