"""The formats of ``tokzoo leaderboard show --format`` that come with tokzoo: each a function from tables to text."""

import csv as comma_separated
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokzoo.contracts.text import json_text, printable
from tokzoo.leaderboard.values import Values
from tokzoo.leaderboard.words import Words, title, words


def json(tables: Sequence[Values]) -> str:
    """All there is to say of the tables."""
    return json_text(tables)


CSV = (
    *("track", "track_hash", "rank_first", "rank_last", "recipe", "recipe_hash", "evidence", "seed_ids", "code_bits"),
    *("metric", "label", "unit", "better", "mean", "half_width", "deviation", "n", "protocol"),
    *("records", "failures"),
)
"""The fields of a line."""


def csv(tables: Sequence[Values]) -> str:
    """A line for each number, which says itself what it is, and one for each row that has none.

    Seeds, records and failures are separated by semicolons. What one seed does not have, such as a deviation, is empty.
    """
    text = io.StringIO()
    writer = comma_separated.DictWriter(text, CSV, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for row in table["rows"]:
            numbers = [(c, v) for c, v in zip(table["columns"], row["values"], strict=True) if v is not None]
            own = _of_row(table, row)
            writer.writerows({**own, **_of_number(column, value)} for column, value in numbers)
            if not numbers:
                writer.writerow(own)
    return printable(text.getvalue().rstrip("\n"))


def _of_row(table: Values, row: Values) -> dict[str, Any]:
    first, last = row["rank"] or (None, None)
    return {
        "track": table["track"],
        "track_hash": table["track_hash"],
        "rank_first": first,
        "rank_last": last,
        **{name: row[name] for name in ("recipe", "recipe_hash")},
        "code_bits": row["bits_per_image"],
        "evidence": row["evidence"] if row["seeds"] else "failed",
        "seed_ids": ";".join(map(str, row["seeds"])),
        **{name: ";".join(row[name]) for name in ("records", "failures")},
    }


def _of_number(column: Values, value: Values) -> dict[str, Any]:
    about = {name: column[name] for name in ("metric", "label", "unit", "better", "protocol")}
    return {**about, **{name: value[name] for name in ("mean", "half_width", "deviation", "n")}}


def markdown(tables: Sequence[Values]) -> str:
    """A section for each table: what it shows, its notes, and the protocols and records behind the numbers."""
    return printable("\n\n".join("\n".join(_markdown(table)) for table in tables))


def _markdown(table: Values) -> Iterator[str]:
    shown = words(table)
    yield f"### {_in_markdown(title(table))}"
    yield ""
    yield _markdown_row(shown.headings)
    yield f"|{'|'.join(' ---: ' if number else ' --- ' for number in shown.numeric)}|"
    yield from map(_markdown_row, shown.rows)
    yield ""
    yield from (f"- {_in_markdown(line)}" for line in (*table["notes"], *_protocols(table), *_records(table)))


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(_in_markdown, cells))} |"


def _in_markdown(text: str) -> str:
    """Text with nothing in it that Markdown or HTML would take for its own."""
    return re.sub(r"([\\`*_{}\[\]<>#|~$&])", r"\\\1", " ".join(text.split()))


def _protocols(table: Values) -> Iterator[str]:
    """What stands behind each column."""
    for column in table["columns"]:
        protocol = table["protocols"][column["protocol"]]
        told = "; ".join(f"{name} {_short(value)}" for name, value in protocol.items() if value is not None)
        yield f"{column['label']}{column['mark']}: {column['metric']}, protocol {column['protocol']}: {told}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {_short(inner)}' for name, inner in value.items())})"
    return f"[{', '.join(map(_short, value))}]" if isinstance(value, list) else str(value)


def _records(table: Values) -> Iterator[str]:
    """The records behind each row."""
    for row in table["rows"]:
        if row["records"]:
            told = ", ".join(f"{r} (seed {s})" for s, r in zip(row["seeds"], row["records"], strict=True))
            yield f"{row['recipe']}: records {told}"


LATEX: Mapping[str, str] = {
    **{sign: f"\\{sign}" for sign in "{}$&#%_"},
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "→": r"$\rightarrow$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "†": r"$^{\dagger}$",
    "‡": r"$^{\ddagger}$",
    "§": r"$^{\S}$",
    "¶": r"$^{\P}$",
    "–": "--",
    "…": r"\ldots{}",
    "−": "$-$",
}


def latex(tables: Sequence[Values]) -> str:
    r"""A ``table`` for each, to be read with ``\usepackage{booktabs}``; protocols and records are comments in it."""
    return printable("\n\n".join("\n".join(_latex(table)) for table in tables))


def _latex(table: Values) -> Iterator[str]:
    shown = words(table)
    yield r"% \usepackage{booktabs}"
    yield from (f"% {' '.join(line.split())}" for line in (*_protocols(table), *_records(table)))
    yield r"\begin{table}"
    yield r"\centering"
    yield rf"\caption{{{_in_latex(title(table))}}}"
    yield rf"\begin{{tabular}}{{{''.join('r' if number else 'l' for number in shown.numeric)}}}"
    yield r"\toprule"
    yield _latex_row(shown.headings)
    yield r"\midrule"
    yield from map(_latex_row, _with_minus(shown))
    yield r"\bottomrule"
    yield r"\end{tabular}"
    yield from (rf"\par\footnotesize {_in_latex(note)}" for note in table["notes"])
    yield r"\end{table}"


def _with_minus(shown: Words) -> Iterator[list[str]]:
    """The rows, their numbers with a minus where they have a hyphen."""
    for row in shown.rows:
        yield [cell.replace("-", "−") if numeric else cell for cell, numeric in zip(row, shown.numeric, strict=True)]


def _latex_row(cells: Sequence[str]) -> str:
    return rf"{' & '.join(map(_in_latex, cells))} \\"


def _in_latex(text: str) -> str:
    return "".join(LATEX.get(each, each) for each in " ".join(text.split()))
