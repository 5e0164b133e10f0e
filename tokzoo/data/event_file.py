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
        """The events since the last call.

        A line that is still being written is left for the next call; one that is not an event (a damaged disk,
        a stranger's hand) is passed over: it must not cost the cells that other files tell of.
        """
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:  # it is not there yet, or cannot be read now: whoever follows asks again
            return []
        self._read += len(whole) + len(newline)
        return [event for line in whole.split(b"\n") if (event := _event(line))]


def _event(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) and "kind" in event else None
