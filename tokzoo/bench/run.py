"""Running cells: what is cached is not done again, the rest is, and every cell becomes a record. No torch here."""

import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokzoo.bench.cache import Found, Result, StageCache
from tokzoo.bench.cell import Cell
from tokzoo.bench.executor import InProcess, LocalExecutor
from tokzoo.bench.stages import CellStage, stages_of
from tokzoo.bench.summary import failed_record, measured_record
from tokzoo.bench.worker import Job
from tokzoo.data.run_folder import CellFolder, RunFolder
from tokzoo.records.schema import Record
from tokzoo.records.store import RecordStore
from tokzoo.registry.plugins import Registry


@dataclass(frozen=True, slots=True)
class Options:
    """How cells are run; none of it changes what they are.

    Attributes:
        out: the folder everything is written under: ``cells/``, ``cache/``, ``records/``.
        jobs: processes at a time; None: as many as there are cells and cores (one where there is a GPU).
        device: ``auto``, ``cpu`` or ``cuda``.
        checkpoint_seconds: the time between checkpoints.
        accumulate: how many micro-batches a training batch is cut into; a stage that began with another number keeps
            it, and what is done is used whatever it was.
        fresh: make anew what other releases of the code made.
        in_process: run the cells in this process, one after the other: what a script or a notebook defines can be built
            nowhere else.
    """

    out: Path = Path("runs")
    jobs: int | None = None
    device: str = "auto"
    checkpoint_seconds: float = 30.0
    accumulate: int = 1
    fresh: bool = False
    in_process: bool = False


@dataclass(slots=True)
class Outcome:
    """How a cell ended: its record, or None where it was interrupted and can be resumed."""

    cell: Cell
    record: Record | None
    trained: bool


Observer = Callable[[str, dict[str, Any]], None]


class Bench:
    """Runs cells in one folder."""

    def __init__(self, options: Options, registry: Registry) -> None:
        self.options = options
        self.registry = registry
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
        for name, cell in by_id.items():
            results = self.results(cell)
            if results is None:
                waiting[name] = cell
            else:
                outcomes[name] = Outcome(cell, self._record(cell, results), trained=False)
                observe(name, {"kind": "cached"})
        jobs = self._jobs(len(cells))
        executor = InProcess(self.registry) if self.options.in_process else LocalExecutor(jobs)
        # Closed here and now: what still runs must stop wherever an interrupt was caught.
        with closing(executor.run(self._prepare(waiting, jobs))) as events:
            for name, event in events:
                cell = by_id[name]
                self._tell(name, cell, event)
                if event["kind"] in {"finished", "failed", "interrupted"}:
                    outcomes[name] = self._end(cell, event)
                observe(name, event)
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

    def _jobs(self, cells: int) -> int:
        if self.options.in_process:
            return 1
        cores = 1 if shutil.which("nvidia-smi") and self.options.device != "cpu" else available_cores()
        return self.options.jobs or max(1, min(cells, cores))

    def _prepare(self, cells: dict[str, Cell], at_a_time: int) -> dict[str, tuple[Job, Path]]:
        # By what was asked for, not by what is left to do: a resumed command divides the cores as the first one did.
        threads = max(1, available_cores() // at_a_time)
        jobs = {}
        for name, cell in cells.items():
            folder = self.folder(cell)
            stages = {stage.name: stage.key for stage in stages_of(cell)}
            folder.write(cell.dump(), stages)
            plugins = [str(path) for path in self.registry.files]
            run = str(self.options.out.resolve())
            options = self.options
            job = Job(
                name=cell.id,
                cell=cell.dump(),
                run=run,
                plugins=plugins,
                device=options.device,
                threads=threads,
                checkpoint_seconds=options.checkpoint_seconds,
                accumulate=options.accumulate,
                fresh=options.fresh,
            )
            jobs[name] = (job, folder.log)
        return jobs

    def _tell(self, name: str, cell: Cell, event: dict[str, Any]) -> None:
        if event["kind"] == "started":
            where = {"recipe": cell.recipe.name, "track": cell.track.id, "seed": cell.seed}
            self.registry.notify("tokzoo_cell_started", cell=name, **where)
        elif event["kind"] == "step" and "loss" in event:
            about = {"stage", "kind", "step", "total", "lr", "images_per_s"}
            terms = {key: value for key, value in event.items() if key not in about}
            self.registry.notify("tokzoo_step_end", cell=name, stage=event["stage"], step=event["step"], terms=terms)

    def _end(self, cell: Cell, event: dict[str, Any]) -> Outcome:
        if event["kind"] == "interrupted":
            return Outcome(cell, None, trained=True)
        if event["kind"] == "finished":
            results = self.results(cell)
            assert results is not None
            record = self._record(cell, results)
        else:
            record = failed_record(cell, event["status"], event["stage"], event["message"])
            self.store.add(record)
        content = record.model_dump(mode="json", by_alias=True)
        self.registry.notify("tokzoo_cell_finished", cell=cell.id, record=content)
        return Outcome(cell, record, trained=True)

    def _record(self, cell: Cell, results: dict[CellStage, Result]) -> Record:
        record = measured_record(cell, results)
        self.store.add(record)
        return record


def summary_lines(outcomes: Sequence[Outcome], bench: Bench) -> list[str]:
    """How a run went, and where everything is."""
    trained = sum(outcome.trained for outcome in outcomes)
    cached, run = len(outcomes) - trained, bench.run_folder
    lines = [f"{trained} cells run, {cached} found done. Records: {run.records}  cells: {run.cells}"]
    for cell, record in ((outcome.cell, outcome.record) for outcome in outcomes):
        if record is not None and record.status == "ok":
            lines.append(f"  {cell.id}: record {record.id}")
        elif record is not None:
            lines.append(f"  {cell.id}: {record.status}, see {bench.folder(cell).log}")
    return lines


def available_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
