"""The columns of a table: a metric under one protocol each, and in words what sets the protocols of one apart."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokzoo.contracts.text import printable
from tokzoo.recipes.hashing import canonical
from tokzoo.records.schema import MetricValue, Record

ColumnKey = tuple[str, str]
"""(metric id, protocol): numbers of different protocols never share a column."""

MARKS = "†‡§¶"
LONGEST_VALUE = 60
MOST_FIELDS = 4
"""Of an AR model that are other than the track's; of more their number is said."""


@dataclass(slots=True)
class Column:
    """A metric under one protocol.

    Attributes:
        protocol: everything that must be equal for two numbers to compare.
        shown: whether the track shows the metric.
        mark: what sets its heading apart from that of the metric's first protocol; "" of that one. One mark means one
            difference, throughout a table.
        told: that difference in words: what this protocol says, and what the first one does.
    """

    key: ColumnKey
    about: MetricValue
    protocol: Mapping[str, Any]
    shown: bool = True
    mark: str = ""
    told: tuple[str, str] = ("", "")


def find_columns(records: Iterable[Record], shown: Sequence[str]) -> list[Column]:
    """A column for each protocol of each metric: those the track shows, in its order, then the others by their ids.

    Of the protocols of a metric the track's own comes first, which a recipe brings nothing of; the others by their
    hashes, so that the order does not depend on that of the records.
    """
    found: dict[ColumnKey, Column] = {}
    own: set[ColumnKey] = set()
    probes: dict[str, Record] = {}
    for record in records:
        plain = not _brings(record)
        if plain or record.probe not in probes:
            probes[record.probe or ""] = record
        for metric, value in record.metrics.items():
            key = (metric, value.protocol)
            found.setdefault(key, Column(key, value, record.protocols[value.protocol], metric in shown))
            if plain:
                own.add(key)
    metrics = [*shown, *sorted({metric for metric, _ in found} - set(shown))]
    columns: list[Column] = []
    for metric in dict.fromkeys(metrics):
        keys = sorted((key for key in found if key[0] == metric), key=lambda key: (key not in own, key[1]))
        columns += [found[key] for key in keys]
    _mark(columns, {probe: _probe(record) for probe, record in probes.items()})
    return columns


def legend(columns: Iterable[Column]) -> list[str]:
    """A line for each mark: which columns bear it, and what sets their numbers apart."""
    labels: dict[tuple[str, tuple[str, str]], dict[str, None]] = {}
    for column in columns:
        if column.mark:
            labels.setdefault((column.mark, column.told), {})[column.about.label] = None
    return [
        f"{mark} ({', '.join(names)}): {this}; without {mark}: {first}. Numbers of the two do not compare."
        for (mark, (this, first)), names in labels.items()
    ]


def mark_of(number: int) -> str:
    """The mark of the first, second … difference of a table."""
    return MARKS[number % len(MARKS)] * (number // len(MARKS) + 1)


def _mark(columns: Sequence[Column], probes: Mapping[str, str]) -> None:
    first: dict[str, Column] = {}
    marks: dict[str, str] = {}
    for column in columns:
        base = first.setdefault(column.key[0], column)
        if column is base:
            continue
        # Protocols that say the same under two names are told apart by these.
        pairs = _differing(column.protocol, base.protocol) or {"protocol": (column.key[1], base.key[1])}
        column.mark = marks.setdefault(canonical(pairs), mark_of(len(marks)))
        this, other = ("; ".join(_words(name, pair[i], probes) for name, pair in pairs.items()) for i in (0, 1))
        column.told = (this, other)


def _differing(protocol: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """What two protocols say of each field in which they differ."""
    pairs = {name: (protocol.get(name), base.get(name)) for name in sorted({*protocol, *base})}
    return {name: pair for name, pair in pairs.items() if canonical(pair[0]) != canonical(pair[1])}


def _words(name: str, value: Any, probes: Mapping[str, str]) -> str:
    """A field of a protocol; of a probe, whose hash says nothing, what it is."""
    if name == "probe" and isinstance(value, str):
        return f"{probes.get(value, 'probe')} ({value[:8]})"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
    return printable(f"{name} {text}", LONGEST_VALUE)


def _brings(record: Record) -> dict[str, Any]:
    """What of the probe a record's recipe brings itself."""
    content = record.recipe.content
    brought = {name: _at(content, *place) for name, place in PLACES.items()}
    return {name: value for name, value in brought.items() if value}


PLACES = {"ar": ("ar",), "train": ("train", "ar"), "sampler": ("sampler", "ar")}
"""By the name of a field of a probe, where a recipe has its own."""


def _probe(record: Record) -> str:
    """What the probe of a record is, in words."""
    brought, track = _brings(record), _at(record.track.content, "probe")
    model = brought.get("ar") or _at(track, "ar")
    name = printable(str(_at(model, "use") or "AR model"), LONGEST_VALUE)
    if not brought.keys() - {"sampler"}:
        return f"the track's {name}"
    changed: dict[str, Any] = {}
    for field in ("ar", "train"):
        if field in brought:
            changed |= _changed(brought[field], _at(track, field), "" if field == "ar" else "train.")
    told = [printable(f"{field} {value}", LONGEST_VALUE) for field, value in changed.items() if field != "use"]
    if len(told) > MOST_FIELDS:
        told = [*told[:MOST_FIELDS], f"{len(told) - MOST_FIELDS} more"]
    return f"{name} of the recipe{' with ' if told else ''}{', '.join(told)}"


def _changed(brought: Any, given: Any, before: str) -> dict[str, Any]:
    """The fields of a part of a probe that are other than the track's, or all of another component's."""
    if not isinstance(brought, dict):
        return {}
    same = given if isinstance(given, dict) and given.get("use") == brought.get("use") else {}
    return {f"{before}{name}": value for name, value in brought.items() if value != same.get(name)}


def _at(content: Any, *place: str) -> Any:
    """What stands in a place of a record's content, which anyone may have written; None where there is no such."""
    for name in place:
        content = content.get(name) if isinstance(content, dict) else None
    return content
