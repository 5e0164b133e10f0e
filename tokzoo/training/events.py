"""The log of a training stage: one JSON line per log interval, continued without a seam by a resumed run."""

import json
from pathlib import Path
from typing import Any

from tokzoo.data.files import write_atomic


class EventLog:
    """Appends to ``events.jsonl``. Opening it at a step drops what a killed run had logged beyond its checkpoint."""

    def __init__(self, path: Path, step: int) -> None:
        self.path = path
        kept = [line for line in read_lines(path) if line["step"] <= step]
        text = "".join(json.dumps(line) + "\n" for line in kept)
        write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def append(self, event: dict[str, Any]) -> None:
        """Add a line; each has the number of updates done as ``step``."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; one that is damaged, or that a killed writer left unfinished, is left out."""
    if not path.is_file():
        return []
    texts = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [line for text in texts if (line := _line(text))]


def _line(text: str) -> dict[str, Any] | None:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) and isinstance(line.get("step"), int) else None
