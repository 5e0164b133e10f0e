"""Records to rows: seeds aggregated, evidence stated, ties instead of bare ranks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokzoo.evaluation.statistics import Estimate, estimate, tie_groups
from tokzoo.records.schema import MetricValue, Record

Evidence = Literal["claimed", "imported", "measured", "replicated"]
ColumnKey = tuple[str, str]
"""(metric id, protocol): numbers of different protocols never share a column."""

ENOUGH_SEEDS = 3


@dataclass(slots=True)
class Row:
    """One recipe on one track.

    Attributes:
        seeds: those with a result.
        evidence: how the row is known; ``replicated`` from three seeds on.
        rank: the first and last place it may hold; None where it has no main metric, or one seed gives no noise.
        failures: one line for each cell that failed.
    """

    recipe: str
    recipe_hash: str
    seeds: tuple[int, ...]
    evidence: Evidence
    bits_per_image: float | None
    estimates: dict[ColumnKey, Estimate]
    rank: tuple[int, int] | None = None
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Column:
    """A metric under one protocol."""

    key: ColumnKey
    about: MetricValue
    variant: int = 0


@dataclass(slots=True)
class Table:
    """The rows of one track, best first.

    Attributes:
        main: the metric id the rows are sorted by.
        notes: what a reader must know of these numbers.
    """

    track: str
    track_hash: str
    main: str
    columns: list[Column]
    rows: list[Row]
    notes: list[str]


def build_tables(records: Iterable[Record]) -> list[Table]:
    """A table per track, from every record of it. Two records of one cell that agree count once."""
    by_track: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        by_track.setdefault((record.track.name, record.track.hash), []).append(record)
    return [_table(name, digest, group) for (name, digest), group in sorted(by_track.items())]


def _table(track: str, digest: str, records: Sequence[Record]) -> Table:
    by_recipe: dict[str, list[Record]] = {}
    for record in records:
        by_recipe.setdefault(record.recipe.hash, []).append(record)
    content = records[-1].track.content
    table = Table(track, digest, content["main"], _columns(records, content["columns"] or [content["main"]]), [], [])
    table.rows = [_row(group) for group in by_recipe.values()]
    _rank(table)
    _annotate(table)
    return table


def _columns(records: Sequence[Record], shown: Sequence[str]) -> list[Column]:
    """The columns the track shows, in its order; one for each protocol a metric was measured under."""
    found: dict[ColumnKey, MetricValue] = {}
    for record in records:
        for metric, value in record.metrics.items():
            found.setdefault((metric, value.protocol), value)
    columns: list[Column] = []
    for metric in shown:
        keys = sorted(key for key in found if key[0] == metric)
        columns += [Column(key, found[key], variant) for variant, key in enumerate(keys)]
    return columns


def _row(records: Sequence[Record]) -> Row:
    # A failure that a later run of the same cell mended is history, not a result.
    latest = {record.seed: record for record in records if record.status == "ok"}
    failed = {r.seed: r for r in records if r.status != "ok" and r.seed not in latest}
    values: dict[ColumnKey, list[float]] = {}
    for record in latest.values():
        for metric, value in record.metrics.items():
            values.setdefault((metric, value.protocol), []).append(value.value)
    newest = records[-1]
    return Row(
        recipe=newest.recipe.name,
        recipe_hash=newest.recipe.hash,
        seeds=tuple(sorted(latest)),
        evidence=_evidence(list(latest.values()) or list(records)),
        bits_per_image=newest.shapes.get("bits_per_image"),
        estimates={key: estimate(numbers) for key, numbers in values.items()},
        failures=[
            f"{r.recipe.name}, seed {seed}: {r.status} in {r.failure.stage}: {r.failure.message}"
            for seed, r in sorted(failed.items())
            if r.failure
        ],
    )


def _evidence(records: Sequence[Record]) -> Evidence:
    origins = {record.origin for record in records}
    if origins != {"measured"}:
        return "claimed" if "claimed" in origins else "imported"
    seeds = {record.seed for record in records if record.status == "ok"}
    return "replicated" if len(seeds) >= ENOUGH_SEEDS else "measured"


def _rank(table: Table) -> None:
    """Sort by the main metric, best first, and give ranks where the noise is known."""
    column = next((column for column in table.columns if column.key[0] == table.main), None)
    if column is None:
        return
    sign = -1 if column.about.better == "higher" else 1
    ranked = [row for row in table.rows if column.key in row.estimates]
    ranked.sort(key=lambda row: (sign * row.estimates[column.key].mean, row.recipe))
    spans = tie_groups([row.estimates[column.key] for row in ranked])
    for row, span in zip(ranked, spans, strict=True):
        if len(row.seeds) > 1:
            row.rank = span
    table.rows = ranked + [row for row in table.rows if column.key not in row.estimates]


def _annotate(table: Table) -> None:
    if any(len(row.seeds) == 1 for row in table.rows) and len(table.rows) > 1:
        table.notes.append("A row of one seed is sorted, not ranked: its noise is unknown. Use --seeds 0-2 for ranks.")
    if any(row.rank and row.rank[0] != row.rank[1] for row in table.rows):
        table.notes.append("A rank such as 1–2 is a tie: the seeds do not separate these rows (Welch's t-test, 5 %).")
    variants = sorted({column.key[0] for column in table.columns if column.variant})
    if variants:
        table.notes.append(
            f"{', '.join(variants)}: measured under more than one protocol (another probe, split or setting); "
            "numbers of different columns do not compare."
        )
    table.notes.extend(failure for row in table.rows for failure in row.failures)
