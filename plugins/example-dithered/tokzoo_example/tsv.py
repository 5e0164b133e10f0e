"""A leaderboard table as tab-separated values: a header, then a line a recipe."""

from typing import Any


def render(table: dict[str, Any]) -> str:
    """Text of a table as ``tokzoo leaderboard show --json`` prints one."""
    keys = list(dict.fromkeys((value["metric"], value["protocol"]) for row in table["rows"] for value in row["values"]))
    lines = ["\t".join(["recipe", "seeds", *(metric for metric, _ in keys)])]
    for row in table["rows"]:
        means = {(value["metric"], value["protocol"]): value["mean"] for value in row["values"]}
        numbers = [f"{means[key]:.6g}" if key in means else "" for key in keys]
        lines.append("\t".join([row["recipe"], str(len(row["seeds"])), *numbers]))
    return "\n".join(lines)
