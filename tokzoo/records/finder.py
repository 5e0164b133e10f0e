"""Finding the model that a name means: a folder, a cell, a recipe or a record. No torch here."""

import os
from pathlib import Path

from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.data.run_folder import DONE, CellFolder, RunFolder
from tokzoo.records.store import RecordStore


def find_tokenizer(text: str, out: Path) -> Path:
    """The folder of a saved tokenizer.

    Args:
        text: such a folder; a cell's folder or name; a recipe's name, for its newest finished cell; or a record's id
            or the start of one.
        out: the folder runs are kept in.

    Raises:
        TokzooError: none of these or several, or its tokenizer is not trained yet.
    """
    run, folder = RunFolder(out), Path(text)
    if os.path.isdir(folder):
        cell = CellFolder(folder)
        return cell.trained("tokenizer") if cell.is_there() else folder
    if run.cell(text).is_there():
        return run.cell(text).trained("tokenizer")
    found = _of_recipe(text, run) or _of_record(text, run)
    if found is not None:
        return found
    known = {name for cell in run.all_cells() for name in (cell.name, _recipe(cell))} - {""}
    raise TokzooError(
        f"tokenizer '{text}': no folder, and no cell, recipe or record under {out}; {suggest(text, sorted(known))}"
    )


def find_ar(text: str, out: Path) -> Path:
    """The folder of a saved AR model: named itself, or by a cell's folder or name.

    Raises:
        TokzooError: neither, or it is not trained yet.
    """
    run, folder = RunFolder(out), Path(text)
    cell = CellFolder(folder) if os.path.isdir(folder) else run.cell(text)
    if cell.is_there():
        return cell.trained("ar")
    if os.path.isdir(folder):
        return folder
    known = [each.name for each in run.all_cells()]
    raise TokzooError(f"AR model '{text}': no folder, and no cell under {out}; {suggest(text, known)}")


def _of_recipe(name: str, run: RunFolder) -> Path | None:
    """The newest finished tokenizer of a recipe; its seeds are as good as each other, other tracks are not."""
    cells = [cell for cell in run.all_cells() if _recipe(cell) == name]
    finished = [cell for cell in cells if (_folder(cell) / DONE).is_file()]
    if not finished:
        return cells[0].trained("tokenizer") if cells else None
    finished.sort(key=lambda cell: (_folder(cell) / DONE).stat().st_mtime)
    newest: dict[str, CellFolder] = {}
    for cell in finished:
        newest[str({key: value for key, value in cell.read().items() if key not in ("seed", "stages")})] = cell
    folders = {_folder(cell) for cell in newest.values()}
    if len(folders) > 1:
        names = ", ".join(cell.name for cell in newest.values())
        raise TokzooError(f"tokenizer '{name}': cells of this recipe differ in more than their seed; name one: {names}")
    return next(iter(newest.values())).trained("tokenizer")


def _of_record(start: str, run: RunFolder) -> Path | None:
    """The tokenizer of the record whose id begins so."""
    records = [record for record in RecordStore(run.records).read()[0] if start and record.id.startswith(start)]
    keys = {record.stages["tokenizer"] for record in records if "tokenizer" in record.stages}
    if len(keys) > 1:
        raise TokzooError(f"tokenizer '{start}': begins the ids of {', '.join(record.id for record in records)}")
    return run.trained("tokenizer", keys.pop(), f"record {records[0].id}") if keys else None


def _recipe(cell: CellFolder) -> str:
    """The name of a cell's recipe; "" where its description cannot be read."""
    try:
        recipe = cell.read().get("recipe")
    except TokzooError:
        return ""
    return str(recipe.get("name", "")) if isinstance(recipe, dict) else ""


def _folder(cell: CellFolder) -> Path:
    return cell.run.stage("tokenizer", cell.read()["stages"].get("tokenizer", "none"))
