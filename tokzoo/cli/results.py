"""``tokzoo runs``."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from tokzoo.cli.common import AsJson, Out, console, print_json
from tokzoo.contracts.errors import TokzooError
from tokzoo.data.run_folder import CellFolder, RunFolder

Stages = frozenset[tuple[str, str]]
"""The stages of a cell with their keys."""

runs = typer.Typer(help="Look into what was run.", no_args_is_help=True)


@runs.command("show")
def show_run(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A record id, or the start of one; or a cell's name.")],
    out: Out = Path("runs"),
    json: AsJson = False,
) -> None:
    """Show one run: its numbers with their protocols, its stages, and where its files are."""
    from tokzoo.records.store import RecordStore

    store = RecordStore(RunFolder(out).records)
    folders = _cell_folders(out)
    records = [record for record in store.read()[0] if _matches(record, run, folders)]
    if len(records) != 1:
        found = ", ".join(f"{r.id} ({r.recipe.name}, seed {r.seed})" for r in records) or "none"
        raise TokzooError(f"run '{run}' under {out}: expected one, found {found}")
    record = records[0]
    if json:
        print_json(record.stored)
        return
    _print_run(record, out, folders.get(_stages(record.stages), []))


def _matches(record: Any, run: str, folders: dict[Stages, list[CellFolder]]) -> bool:
    if record.id.startswith(run) or record.recipe.name == run:
        return True
    return any(folder.name == Path(run).name for folder in folders.get(_stages(record.stages), []))


def _cell_folders(out: Path) -> dict[Stages, list[CellFolder]]:
    """The folders of cells by the keys of their stages, as records have them; one that cannot be read is left out."""
    folders: dict[Stages, list[CellFolder]] = {}
    for cell in RunFolder(out).all_cells():
        with suppress(TokzooError):
            folders.setdefault(_stages(cell.read()["stages"]), []).append(cell)
    return folders


def _stages(keys: dict[str, str]) -> Stages:
    return frozenset(keys.items())


def _print_run(record: Any, out: Path, folders: list[CellFolder]) -> None:
    from rich.table import Table
    from rich.text import Text

    from tokzoo.leaderboard.words import number

    shown = console()
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
        took = f"  {seconds:.1f} s" if seconds is not None else ""
        shown.print(Text(f"  {stage:<16}{RunFolder(out).stage(stage, key)}{took}"))
    for folder in folders:
        for path in folder.pictures:
            shown.print(Text(f"  {path.stem:<16}{path}"))
