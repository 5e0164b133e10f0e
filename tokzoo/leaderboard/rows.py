"""Records to rows: seeds aggregated, evidence stated, ties instead of bare ranks."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tokzoo.leaderboard.labels import labels
from tokzoo.leaderboard.statistics import Estimate, estimate, tie_groups
from tokzoo.records.schema import MetricValue, Record

Evidence = Literal["claimed", "imported", "measured", "replicated"]
ColumnKey = tuple[str, str]
"""(metric id, protocol): numbers of different protocols never share a column."""

ENOUGH_SEEDS = 3
"""The fewest that make a row ``replicated``; a track may want more."""


@dataclass(slots=True)
class Row:
    """One recipe on one track.

    Attributes:
        recipe: its label, unlike any other in the table.
        seeds: those with a result.
        evidence: how the row is known; ``replicated`` from three seeds on, or as many as the track wants.
        rank: the first and last place it may hold among the ranked; None where it has no main metric, or one seed gives
            no noise.
        failures: one line for each cell that failed.
        disputes: one line for each seed whose records do not agree.
    """

    recipe: str
    recipe_hash: str
    seeds: tuple[int, ...]
    evidence: Evidence
    bits_per_image: float | None
    estimates: dict[ColumnKey, Estimate]
    rank: tuple[int, int] | None = None
    failures: list[str] = field(default_factory=list)
    disputes: list[str] = field(default_factory=list)


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
    table = Table(track, digest, main, _columns(records, content.get("columns") or [main]), [], [])
    enough = max(ENOUGH_SEEDS, content.get("seeds", 0))
    # One recipe may be known by several names: by that of a recipe it equals, and by what was changed to get there.
    names = labels(
        [min((r.recipe for r in group), key=lambda n: (len(n.name), n.name)) for group in by_recipe.values()]
    )
    table.rows = [_row(name, group, enough) for name, group in zip(names, by_recipe.values(), strict=True)]
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
        seeds=tuple(results),
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
    table.rows = compared + [row for row in table.rows if column.key not in row.estimates]


def _annotate(table: Table) -> None:
    if any(len(row.seeds) == 1 for row in table.rows) and len(table.rows) > 1:
        table.notes.append(
            "A row of one seed is sorted, not ranked: its noise is unknown, and one seed separates no Fréchet "
            "distance. Use --seeds 0-2 for ranks."
        )
    if any(row.rank and row.rank[0] != row.rank[1] for row in table.rows):
        table.notes.append("A rank such as 1–2 is a tie: the seeds do not separate these rows (Welch's t-test, 5 %).")
    variants = sorted({column.key[0] for column in table.columns if column.variant})
    if variants:
        table.notes.append(
            f"{', '.join(variants)}: measured under more than one protocol (another probe, split or setting); "
            "numbers of different columns do not compare."
        )
    for row in table.rows:
        table.notes += [*row.disputes, *row.failures]
