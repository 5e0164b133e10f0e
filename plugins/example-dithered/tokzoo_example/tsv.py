"""A leaderboard table as tab-separated values: a header, then one line per recipe."""

from typing import Any


def render(table: dict[str, Any]) -> str:
    """Text of a table; the hook ``tokzoo_renderers`` says what it holds."""
    lines = ["\t".join(["recipe", "seeds", *(column["metric"] for column in table["columns"])])]
    for row in table["rows"]:
        numbers = ["" if value is None else f"{value['mean']:.6g}" for value in row["values"]]
        lines.append("\t".join([row["recipe"], str(len(row["seeds"])), *numbers]))
    return "\n".join(lines)
