"""Running cells: what is cached is not done again, the rest is, and every cell becomes a record. No torch here."""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokzoo.bench.cache import Found, Result, StageCache
from tokzoo.bench.cell import Cell
from tokzoo.bench.job_file import JobFile, new_attempt
from tokzoo.bench.stages import CellStage, stage_keys, stages_of
from tokzoo.bench.summary import failed_record, measured_record
from tokzoo.bench.worker import Worker
from tokzoo.contracts.errors import ONE_LINE, Broken, TokzooError, describe
from tokzoo.contracts.executors import ENDS, Event, Executor, Job
from tokzoo.contracts.guard import foreign_code
from tokzoo.contracts.text import counted, printable
from tokzoo.data.files import file_hash, writing
from tokzoo.data.run_folder import CellFolder, RunFolder
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.tree import Override, Tree, apply_overrides
from tokzoo.records.schema import Record
from tokzoo.records.store import RecordStore
from tokzoo.registry.component import load_target
from tokzoo.registry.plugins import Registry


@dataclass(frozen=True, slots=True)
class Options:
    """How cells are run; none of it changes what they are.

    Attributes:
        out: the folder everything is written under: ``cells/``, ``cache/``, ``records/``.
        executor: how and where cells are run: the name of such a component.
        executor_changes: its fields, by keys that begin with ``executor``.
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoint_seconds: the time between checkpoints.
        accumulate: how many micro-batches a training batch is cut into; a stage that began with another number keeps
            it, and what is done is used whatever it was.
        fresh: make anew what other releases of the code made.
    """

    out: Path = Path("runs")
    executor: str = "local"
    executor_changes: Sequence[Override] = ()
    device: str = "auto"
    checkpoint_seconds: float = 30.0
    accumulate: int = 1
    fresh: bool = False


@dataclass(slots=True)
class Outcome:
    """How a cell ended: its record, or None where it was interrupted and can be resumed."""

    cell: Cell
    record: Record | None
    trained: bool


Observer = Callable[[str, dict[str, Any]], None]


class Bench:
    """Runs cells in one folder.

    Attributes:
        slot: the executor, its config checked.

    Raises:
        TokzooError: no such executor, or fields that it does not have.
    """

    def __init__(self, options: Options, registry: Registry) -> None:
        self.options = options
        self.registry = registry
        tree = Tree.from_data({"executor": {"use": options.executor}}, "options")
        apply_overrides(tree, options.executor_changes)
        self.slot = Resolver(tree, registry.components).slot("executor", ("executor",))
        self.run_folder = RunFolder(options.out)
        self.cache = StageCache(self.run_folder, options.fresh)
        self.store = RecordStore(self.run_folder.records)

    def run(self, cells: Sequence[Cell], observe: Observer = lambda cell, event: None) -> list[Outcome]:
        """Have every cell done; its record is written as soon as it is.

        ``observe`` is called with a cell's id and each of its events (``started``, ``stage``, ``step``, ``finished``,
        ``failed``, ``interrupted``).
        """
        by_id = {cell.id: cell for cell in cells}
        outcomes: dict[str, Outcome] = {}
        waiting: dict[str, Cell] = {}
        executor = self._executor(len(cells))
        with writing(self.options.out, mend="name another folder with --out (in Python, out=…)"):
            self.run_folder.cells.mkdir(parents=True, exist_ok=True)
        attempt, plugins = new_attempt(), {str(path): file_hash(path) for path in self.registry.files}
        jobs: list[Job] = []
        for name, cell in by_id.items():
            results = self.results(cell)
            try:
                with writing(self.folder(cell).path):
                    self._describe(cell)
                    if results is None:
                        jobs.append(self._prepare(cell, attempt, plugins, executor.threads))
                        waiting[name] = cell
                        continue
            except TokzooError as error:
                outcomes[name] = self._fail(cell, "failed", "start", str(error))
                continue
            outcomes[name] = Outcome(cell, self._record(cell, results), trained=False)
            observe(name, {"kind": "cached"})
        told: dict[str, dict[str, str]] = {name: {} for name in waiting}
        # Closed here and now: what still runs must stop wherever an interrupt was caught.
        with closing(executor.run(jobs, self._work)) as events:
            for name, event in events:
                cell = by_id[name]
                self._tell(name, cell, event)
                if "identity" in event:
                    told[name][event["stage"]] = event["identity"]
                if event["kind"] in ENDS:
                    outcomes[name] = self._end(cell, event, told[name])
                observe(name, event)
        for name in waiting.keys() - outcomes.keys():
            outcomes[name] = self._fail(by_id[name], "failed", "start", f"executor '{self.slot.use}' told no end of it")
        return [outcomes[name] for name in by_id]

    def results(self, cell: Cell) -> dict[CellStage, Result] | None:
        """The results of all stages of a cell, None while one is missing."""
        stages = stages_of(cell)
        results = {stage: found.result for stage, found in zip(stages, self.find(cell).values(), strict=True)}
        return None if None in results.values() else results  # type: ignore[return-value]

    def find(self, cell: Cell) -> dict[str, Found]:
        """What the cache has of a cell's stages, by name."""
        return self.cache.find_all(stages_of(cell))

    def other_releases(self, cells: Iterable[Cell]) -> list[str]:
        """What is used although other releases of the code made it, a line each."""
        stages: dict[str, dict[str, None]] = {}
        for cell in cells:
            for name, found in self.find(cell).items():
                for release in found.made_by:
                    stages.setdefault(release, {})[name] = None
        return [
            f"{', '.join(names)}: made by {release}; --fresh (fresh=True) makes that anew"
            for release, names in stages.items()
        ]

    def folder(self, cell: Cell) -> CellFolder:
        """The cell's own folder."""
        return self.run_folder.cell(cell.id)

    def _executor(self, cells: int) -> Executor:
        where = f"executor '{self.slot.use}' (plugin {self.slot.entry.plugin})"
        try:
            with foreign_code():
                executor: Executor = load_target(self.slot.entry.spec)(self.slot.config, cells, self.options.device)
        except TokzooError:
            raise
        except Exception as error:
            raise Broken(f"{where}: {describe(error)}") from error
        return executor

    def _describe(self, cell: Cell) -> None:
        """Write what a cell is, unless that stands there, whole."""
        keys = stage_keys(cell)
        with suppress(TokzooError):
            if self.folder(cell).read()["stages"] == keys:
                return
        self.folder(cell).write(cell.dump(), keys)

    def _prepare(self, cell: Cell, attempt: str, plugins: dict[str, str], threads: int) -> Job:
        """Write what a worker is told."""
        options = self.options
        job = JobFile(
            cell=cell.id,
            content=cell.dump(),
            stages=stage_keys(cell),
            plugins=plugins,
            device=options.device,
            threads=threads,
            checkpoint_seconds=options.checkpoint_seconds,
            accumulate=options.accumulate,
            fresh=options.fresh,
            attempt=attempt,
        )
        return job.write(self.run_folder)

    def _work(self, job: Job, observe: Callable[[Event], None], stopping: threading.Event) -> None:
        """Do a job here, with the components of this process. A traceback goes to the cell's log."""
        with (job.run / job.log).open("a", encoding="utf-8", errors="backslashreplace") as log:
            told = JobFile.read(job.run / job.instructions)
            Worker(RunFolder(job.run), told, self.registry, log, observe, stopping).work()

    def _tell(self, name: str, cell: Cell, event: dict[str, Any]) -> None:
        if event["kind"] == "started":
            where = {"recipe": cell.recipe.name, "track": cell.track.id, "seed": cell.seed}
            self.registry.notify("tokzoo_cell_started", cell=name, **where)
        elif event["kind"] == "step" and "loss" in event:
            about = {"stage", "kind", "step", "total", "lr", "images_per_s"}
            terms = {key: value for key, value in event.items() if key not in about}
            self.registry.notify("tokzoo_step_end", cell=name, stage=event["stage"], step=event["step"], terms=terms)

    def _end(self, cell: Cell, event: dict[str, Any], told: dict[str, str]) -> Outcome:
        """How a cell ended; ``told``: the identities of its worker's results, by stage."""
        if event["kind"] == "interrupted":
            return Outcome(cell, None, trained=True)
        if event["kind"] == "failed":
            return self._fail(cell, event["status"], event["stage"], event["message"])
        # Whatever code made them: the worker has just judged that.
        results = {stage: self.cache.result(stage) for stage in stages_of(cell)}
        own = {stage: result for stage, result in results.items() if result and result.identity == told.get(stage.name)}
        if len(own) < len(results):
            lost = next(stage.name for stage in results if stage not in own)
            return self._fail(
                cell, "failed", lost, "its result is gone, or another run's is in its place; run it again"
            )
        return self._ended(cell, self._record(cell, own))

    def _fail(self, cell: Cell, status: str, stage: str, message: str) -> Outcome:
        record = failed_record(cell, status, stage, message)
        # A record that cannot be written is told all the same.
        with suppress(OSError):
            self.store.add(record)
        return self._ended(cell, record)

    def _ended(self, cell: Cell, record: Record) -> Outcome:
        content = record.model_dump(mode="json", by_alias=True)
        self.registry.notify("tokzoo_cell_finished", cell=cell.id, record=content)
        return Outcome(cell, record, trained=True)

    def _record(self, cell: Cell, results: dict[CellStage, Result]) -> Record:
        record = measured_record(cell, results)
        try:
            with writing(self.store.path(record)):
                self.store.add(record)
        except TokzooError as error:
            return failed_record(cell, "failed", "record", f"{error}; run it again: all its stages are done")
        return record


def summary_lines(outcomes: Sequence[Outcome], bench: Bench) -> list[str]:
    """How a run went, and where everything is."""
    trained = sum(outcome.trained for outcome in outcomes)
    cached, run = len(outcomes) - trained, bench.run_folder
    lines = [f"{counted(trained, 'cell')} run, {cached} found done. Records: {run.records}  cells: {run.cells}"]
    for cell, record in ((outcome.cell, outcome.record) for outcome in outcomes):
        if record is not None and record.status == "ok":
            lines.append(f"  {cell.id}: record {record.id}")
        elif record is not None:
            failure = record.failure
            why = (
                f" in {failure.stage}: {printable(' '.join(failure.message.split()), 2 * ONE_LINE)}" if failure else ""
            )
            lines.append(f"  {cell.id}: {record.status}{why}, see {bench.folder(cell).log}")
    return lines
