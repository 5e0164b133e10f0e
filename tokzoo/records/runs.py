"""What was run: the records of a folder with the cells they are of, and which of them a name means. No torch here."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.contracts.text import counted
from tokzoo.data.run_folder import CellFolder, RunFolder
from tokzoo.records.schema import Record
from tokzoo.records.store import RecordStore

Stages = frozenset[tuple[str, str]]
"""The stages of a cell with their keys."""

MANY = 20
"""More runs of one name than these are not listed."""
FEW = 5
"""Of the names there are, those that a message tells."""


@dataclass(frozen=True, slots=True)
class Run:
    """A record, when it was written, and the folders of the cell it is of."""

    record: Record
    written: datetime
    folders: tuple[CellFolder, ...]

    @property
    def about(self) -> str:
        """What was run and what came of it: ``tiny on tiny@1, seed 0: ok, PSNR 11.94 dB``."""
        record = self.record
        main = record.metrics.get(record.track.content.get("main", ""))
        value = f", {main.label} {main.value:.{main.digits}f} {main.unit}".rstrip() if main else ""
        where = f" in {record.failure.stage}" if record.failure else ""
        return f"{record.recipe.name} on {record.track.name}, seed {record.seed}: {record.status}{where}{value}"

    def is_called(self, name: str) -> bool:
        """Whether a name means this run, perhaps among others."""
        if not name:
            return False
        record, cell = self.record, Path(name).name
        return record.id.startswith(name) or record.recipe.name == name or cell in [each.name for each in self.folders]


class Runs:
    """What was run in a folder.

    Attributes:
        runs: the oldest first.
        unfinished: the cells that have no record yet.
        problems: a line for each record that is left out.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        store = RecordStore(RunFolder(out).records)
        records, self.problems = store.read()
        cells = _by_stages(RunFolder(out))
        found = [
            Run(record, store.written(record), tuple(cells.get(frozenset(record.stages.items()), ())))
            for record in records
        ]
        self.runs = sorted(found, key=lambda run: (run.written, run.record.id))
        finished = {folder.path for run in self.runs for folder in run.folders}
        self.unfinished = [cell for some in cells.values() for cell in some if cell.path not in finished]

    def named(self, name: str) -> Run:
        """The run of a record's id, or the start of one; or of a cell or a recipe.

        Raises:
            TokzooError: none or several; each of several is told with its record, its time and its result.
        """
        found = [run for run in self.runs if run.is_called(name)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise TokzooError(f"run '{name}' under {self.out}: {self._instead(name)}")
        lines = [f"  {run.record.id}  {run.written:%Y-%m-%d %H:%M:%S}  {run.about}" for run in found[-MANY:]]
        more = f"; the newest {MANY} are" if len(found) > MANY else ""
        what = f"{counted(len(found), 'record')}, the newest last; name one by its id{more}"
        raise TokzooError("\n".join([f"run '{name}' under {self.out}: {what}", *lines]))

    def _instead(self, name: str) -> str:
        """What there is, where nothing is called so."""
        if Path(name).name in [cell.name for cell in self.unfinished]:
            return "this cell has no record yet; the command that began it goes on with it"
        if not self.runs:
            return "there are no records; make some with tokzoo run, or name another --out"
        recipes = list(dict.fromkeys(run.record.recipe.name for run in reversed(self.runs)))
        near = suggest(name, {*recipes, *(cell.name for run in self.runs for cell in run.folders)})
        if near.startswith("did you mean"):
            return f"no record, recipe or cell is called so; {near}"
        more = f" and {len(recipes) - FEW} more" if len(recipes) > FEW else ""
        return f"no record, recipe or cell is called so; there is {', '.join(recipes[:FEW])}{more} (tokzoo runs list)"


def _by_stages(out: RunFolder) -> dict[Stages, list[CellFolder]]:
    """The folders of cells by the keys of their stages, as records have them; one that cannot be read is left out."""
    folders: dict[Stages, list[CellFolder]] = {}
    for cell in out.all_cells():
        with suppress(TokzooError):
            folders.setdefault(frozenset(cell.read()["stages"].items()), []).append(cell)
    return folders
