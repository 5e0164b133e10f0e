"""A file of events: JSON lines that one process appends and others follow. No torch here."""

import json
from pathlib import Path
from typing import Any


class EventFile:
    """Events at ``path``, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read = 0

    def append(self, event: dict[str, Any]) -> None:
        """Add an event."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")

    def read(self) -> list[dict[str, Any]]:
        """The events since the last call; a line that is still being written is left for the next one."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except FileNotFoundError:
            return []
        self._read += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines() if line]
