"""What one sees while cells run: a live table on a terminal, plain lines when piped."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tokzoo.contracts.text import printable

Observe = Callable[[str, dict[str, Any]], None]
PLAIN_SECONDS = 10.0


@contextmanager
def progress(console: Any, cells: Mapping[str, Any]) -> Iterator[Observe]:
    """Show the cells' events until the block ends."""
    if not console.is_terminal:
        yield _Plain(console, cells)
        return
    from rich.live import Live

    table = _Table(console, cells)
    with Live(console=console, get_renderable=table.render, refresh_per_second=4):
        yield table


def _label(cell: Any) -> str:
    return f"{cell.recipe.name} s{cell.seed}"


def _losses(event: Mapping[str, Any]) -> str:
    names = [name for name in ("loss", "nats_per_token") if name in event]
    return "  ".join(f"{name} {event[name]:.4g}" for name in names)


def _left(event: Mapping[str, Any], started: tuple[float, int]) -> float:
    """Seconds left of a stage, from the steps made since it was first heard of."""
    when, step = started
    done = event["step"] - step
    return (time.monotonic() - when) / done * (event["total"] - event["step"]) if done > 0 else 0.0


class _Plain:
    """A line for each stage and each failure, and every so often for a training step."""

    def __init__(self, console: Any, cells: Mapping[str, Any]) -> None:
        self.console = console
        self.labels = {name: _label(cell) for name, cell in cells.items()}
        self.heard: dict[str, float] = {}

    def __call__(self, name: str, event: dict[str, Any]) -> None:
        from rich.text import Text

        text = self._text(name, event)
        if text:
            self.console.print(Text(f"{self.labels[name]}: {text}"))

    def _text(self, name: str, event: dict[str, Any]) -> str:
        kind = event["kind"]
        if kind == "stage":
            self.heard[name] = time.monotonic()
            why = f" ({event['why']})" if event.get("why") else ""
            return f"{event['stage']} {event['state']}{why}" if event["state"] != "done" else ""
        if kind == "step" and event.get("resumed"):
            return f"{event['stage']} goes on from step {event['step']} of {event['total']}"
        if kind == "step":
            now = time.monotonic()
            if now - self.heard.get(name, 0.0) < PLAIN_SECONDS:
                return ""
            self.heard[name] = now
            speed = f"{event['images_per_s']:.0f} images/s"
            return f"{event['stage']} {event['step']}/{event['total']}  {_losses(event)}  {speed}"
        if kind in ("note", "failed", "interrupted"):
            where = event["stage"] if kind == "note" else f"{kind} in {event['stage']}:"
            return f"{where} {printable(event['message'])}"
        return kind if kind in ("cached", "finished") else ""


class _Table:
    """A row a cell, kept current."""

    def __init__(self, console: Any, cells: Mapping[str, Any]) -> None:
        self.console = console
        self.labels = {name: _label(cell) for name, cell in cells.items()}
        self.states: dict[str, dict[str, Any]] = {name: {"kind": "waiting"} for name in cells}
        self.began: dict[tuple[str, str], tuple[float, int]] = {}

    def __call__(self, name: str, event: dict[str, Any]) -> None:
        if event["kind"] == "note":
            from rich.text import Text

            self.console.print(Text(f"{self.labels[name]}: {event['stage']} {event['message']}"))  # above the table
            return
        if event["kind"] == "step":
            self.began.setdefault((name, event["stage"]), (time.monotonic(), event["step"]))
        self.states[name] = event

    def render(self) -> Any:
        from rich.table import Table
        from rich.text import Text

        table = Table("cell", "stage", "step", "loss", "images/s", "left", box=None, header_style="bold")
        for name, event in self.states.items():
            row = ["", "", "", ""]
            if event["kind"] == "step" and "images_per_s" in event:
                left = _left(event, self.began[name, event["stage"]])
                steps = f"{event['step']}/{event['total']}"
                row = [steps, _losses(event), f"{event['images_per_s']:.0f}", f"{left:.0f} s" if left else ""]
            elif event["kind"] in ("failed", "interrupted"):
                row[1] = printable(event["message"]).partition("\n")[0]
            stage = event.get("stage", "") if event["kind"] in ("step", "stage") else event["kind"]
            table.add_row(Text(self.labels[name]), stage, *map(Text, row))
        return table
