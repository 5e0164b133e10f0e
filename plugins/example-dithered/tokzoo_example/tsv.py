"""Leaderboard tables as tab-separated values: a header for each, then one line per recipe."""

from typing import Any


def render(tables: list[dict[str, Any]]) -> str:
    """Text of tables; the hook ``tokzoo_renderers`` says what they hold."""
    lines = []
    for table in tables:
        lines.append("\t".join(["recipe", "seeds", *(column["metric"] for column in table["columns"])]))
        for row in table["rows"]:
            numbers = ["" if value is None else f"{value['mean']:.6g}" for value in row["values"]]
            lines.append("\t".join([row["recipe"], str(len(row["seeds"])), *numbers]))
    return "\n".join(lines)
