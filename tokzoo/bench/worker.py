"""The process that runs one cell: ``python -m tokzoo.bench.worker``, a job as JSON on standard input, events out.

Events are JSON lines on the original standard output. Whatever a component prints goes to standard error, which the
parent keeps as the cell's log. The process ends at once when its parent does: nothing trains on unseen.
"""

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

from tokzoo.bench.cache import Found, StageCache
from tokzoo.bench.cell import load_cell
from tokzoo.bench.stages import CellStage, stages_of
from tokzoo.contracts.errors import Diverged, TokzooError
from tokzoo.data.run_folder import RunFolder
from tokzoo.registry.plugins import Registry, load_registry


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is told.

    Attributes:
        name: the cell's id.
        cell: a dumped cell.
        run: the run folder.
        plugins: file plugins to load.
        device: ``cpu``, ``cuda``, or ``auto``: the accelerator if there is one.
        threads: of the CPU, for this cell.
        accumulate: how many micro-batches a training batch is cut into.
        fresh: use nothing that other releases of the code made.
    """

    name: str
    cell: dict[str, Any]
    run: str
    plugins: list[str]
    device: str
    threads: int
    checkpoint_seconds: float
    accumulate: int
    fresh: bool

    def dump(self) -> str:
        """As one line of JSON."""
        return json.dumps(asdict(self))


Emit = Callable[..., None]


class Worker:
    """Runs the stages of one job.

    Attributes:
        stage: the one it is at.
        stopping: once set, it saves and stops at the next step it may.
    """

    def __init__(self, job: Job, emit: Emit, registry: Registry | None = None, log: TextIO | None = None) -> None:
        self.job = job
        self.emit = emit
        self.registry = registry
        self.log = log or sys.stderr
        self.stage = "start"
        self.stopping = threading.Event()
        self.mended = False

    def work(self) -> int:
        """Run the job and tell how it ended: 0 done, 1 failed, 130 stopped and resumable."""
        from tokzoo.training.loop import Interrupted

        try:
            self._run()
        except Interrupted as stop:
            self.emit("interrupted", stage=self.stage, message=str(stop))
            return 130
        # Whatever a component raises, sys.exit() too, must become a failed record, not a lost cell.
        except (Exception, SystemExit) as error:
            traceback.print_exc(file=self.log)
            status = "diverged" if isinstance(error, Diverged) else "failed"
            name = "" if isinstance(error, TokzooError) else f"{type(error).__name__}: "
            self.emit("failed", stage=self.stage, status=status, message=name + str(error))
            return 1
        self.emit("finished")
        return 0

    def _run(self) -> None:
        import torch

        from tokzoo.assembly.devices import choose_device
        from tokzoo.bench.workbench import Workbench

        registry = self.registry or load_registry(map(Path, self.job.plugins))
        cell = load_cell(self.job.cell, registry.components)
        stages = {stage.name: stage for stage in stages_of(cell)}
        run = RunFolder(Path(self.job.run))
        bench = Workbench(
            cell=cell,
            stages=stages,
            cache=StageCache(run, self.job.fresh),
            registry=registry,
            device=torch.device(choose_device(self.job.device)),
            threads=self.job.threads,
            checkpoint_seconds=self.job.checkpoint_seconds,
            accumulate=self.job.accumulate,
            report=lambda name, event: self.emit("step", stage=name, **event),
            stopping=self.stopping.is_set,
        )
        torch.set_num_threads(self.job.threads)
        if bench.device.type == "cuda":
            # Bit-exact resume wants deterministic kernels; an operation that has none is told in the log.
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        self._settle(bench)
        self.stage = "pictures"
        from tokzoo.bench.pictures import draw_pictures

        draw_pictures(bench, run.cell(self.job.name))

    def _settle(self, bench: Any) -> None:
        """Have every stage done, and go through them again where one had to be mended: others may have read it."""
        from tokzoo.training.loop import Interrupted

        self.mended = True
        while self.mended:
            self.mended = False
            for stage in bench.stages.values():
                if self.stopping.is_set():
                    raise Interrupted(f"stopped before stage {stage.name}")
                self._ensure(bench, stage)

    def _ensure(self, bench: Any, stage: CellStage) -> None:
        """Have a stage done, and before it whatever it reads that is missing or damaged."""
        from tokzoo.bench.workbench import run_stage

        self.stage = stage.name
        with bench.cache.lock(stage):
            found = self._find(bench, stage)
            if found.result is not None:
                self.emit("stage", stage=stage.name, state="cached", made_by=found.made_by)
                return
            for name in stage.upstream:
                if not bench.cache.is_whole(bench.stages[name]):
                    self._again(bench, bench.stages[name])
            self.stage = stage.name
            bench.cache.forget(stage)
            self.emit("stage", stage=stage.name, state="running", why=found.why)
            run_stage(bench, stage)
            self.emit("stage", stage=stage.name, state="done")

    def _find(self, bench: Any, stage: CellStage) -> Found:
        upstream = {name: bench.cache.result(bench.stages[name]) for name in stage.upstream}
        missing = any(result is None for result in upstream.values())
        return Found(None) if missing else bench.cache.find(stage, upstream)

    def _again(self, bench: Any, stage: CellStage) -> None:
        """A cached stage whose files were lost or changed is run again: its key says what it must become."""
        self.log.write(f"stage {stage.name} ({stage.key}) is damaged and is run again\n")
        bench.cache.forget(stage)
        self.mended = True
        self._ensure(bench, stage)


def _end_with_parent() -> None:
    """The parent holds standard input open for as long as it lives."""
    sys.stdin.read()
    os._exit(1)


def main() -> int:
    """Run the job given on standard input; returns the exit code."""
    events = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)

    def emit(kind: str, **about: Any) -> None:
        events.write(json.dumps({"kind": kind, **about}) + "\n")

    job = Job(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = Worker(job, emit)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: worker.stopping.set())
    return worker.work()


if __name__ == "__main__":
    sys.exit(main())
