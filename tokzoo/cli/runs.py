"""``tokzoo runs``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tokzoo.cli.common import AsJson, Out, console, print_json
from tokzoo.data.run_folder import RunFolder

if TYPE_CHECKING:
    from tokzoo.records.runs import Run

app = typer.Typer(help="Look into what was run.", no_args_is_help=True)


@app.command("list")
def list_runs(out: Out = Path("runs"), json: AsJson = False) -> None:
    """List what was run, the newest last: the record of each run, and cells that have none yet."""
    from rich.table import Table
    from rich.text import Text

    from tokzoo.records.runs import Runs

    found = Runs(out)
    for problem in found.problems:
        typer.echo(f"left out: {problem}", err=True)
    if json:
        print_json([_as_dict(run) for run in found.runs])
        return
    if not found.runs and not found.unfinished:
        typer.echo(f"nothing under {out} yet; make something with tokzoo run, or name another --out")
    shown, table = console(), Table(box=None, header_style="bold")
    table.add_column("record", no_wrap=True)
    table.add_column("written", no_wrap=True)
    table.add_column("run", overflow="fold")
    for run in found.runs:
        style = "" if run.record.status == "ok" else "red"
        table.add_row(run.record.id, f"{run.written:%Y-%m-%d %H:%M}", Text(run.about, style=style))
    if found.runs:
        shown.print(table)
    if found.unfinished:
        shown.print("unfinished, no record yet (the command that began a cell goes on with it):", style="bold")
    # A line each, which no table cuts or breaks: names are long, often differ in their ends alone, and are copied.
    for cell in found.unfinished:
        shown.print(Text(f"  {cell.name}"), soft_wrap=True)


def _as_dict(run: "Run") -> dict[str, object]:
    record = run.record
    about = {"record": record.id, "written": f"{run.written:%Y-%m-%dT%H:%M:%S}", "status": record.status}
    what = {"recipe": record.recipe.name, "track": record.track.name, "seed": record.seed}
    return {**about, **what, "cells": [folder.name for folder in run.folders]}


@app.command("show")
def show_run(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A record id, or the start of one; or a cell's or a recipe's name.")
    ],
    out: Out = Path("runs"),
    json: AsJson = False,
) -> None:
    """Show one run: its numbers with their protocols, its stages, and where its files are."""
    from tokzoo.records.runs import Runs

    found = Runs(out).named(run)
    if json:
        print_json(found.record.stored)
        return
    _print_run(found, out)


def _print_run(run: "Run", out: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from tokzoo.leaderboard.words import number

    shown, record = console(), run.record
    title = f"{record.recipe.name} on {record.track.name}, seed {record.seed}: {record.status}"
    shown.print(Text(title, style="bold"), Text(f"(record {record.id})"))
    if record.failure:
        shown.print(Text(f"  {record.failure.stage}: {record.failure.message}", style="red"))
    table = Table("metric", "value", "unit", "protocol", box=None, header_style="bold")
    for metric, value in record.metrics.items():
        table.add_row(*map(Text, (metric, number(value.value, value.digits), value.unit, value.protocol)))
    for metric, value in record.observed.get("metrics", {}).items():
        table.add_row(Text(metric), number(value, 1), "", "observed, not ranked")
    shown.print(table)
    for stage, key in record.stages.items():
        seconds = record.observed.get("stages", {}).get(stage, {}).get("seconds")
        took = f", {seconds:.1f} s" if seconds is not None else ""
        _print_path(f"{stage}{took}", RunFolder(out).stage(stage, key))
    for folder in run.folders:
        for path in folder.pictures:
            _print_path(path.stem, path)


def _print_path(what: str, path: Path) -> None:
    """Say what lies where, with the path whole on a line of its own, so that it can be copied."""
    from rich.text import Text

    console().print(Text(f"  {what}:\n    {path}"), soft_wrap=True)
