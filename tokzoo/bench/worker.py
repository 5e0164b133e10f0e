"""The process that runs one cell: ``python -m tokzoo.bench.worker RUN_FOLDER JOB_FILE``, on any machine that sees both.

It appends its events to a file in the run folder. With ``--attached`` it ends at once when its standard input is
closed: nothing trains on unseen.
"""

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterable
from contextvars import copy_context
from pathlib import Path
from typing import Any, TextIO

from tokzoo.bench.blame import culprit
from tokzoo.bench.cache import Found, Result, StageCache
from tokzoo.bench.cell import load_cell
from tokzoo.bench.job_file import JobFile
from tokzoo.bench.provenance import check_loaded, code_of
from tokzoo.bench.stages import CellStage, all_slots, stages_of
from tokzoo.contracts.errors import Diverged, Interrupted, TokzooError, message
from tokzoo.contracts.executors import Event
from tokzoo.contracts.guard import SIGNALS, asked_to_stop
from tokzoo.contracts.text import printable
from tokzoo.data.event_file import EventFile
from tokzoo.data.locks import stopping
from tokzoo.data.run_folder import RunFolder
from tokzoo.recipes.models import PARTS
from tokzoo.registry.component import import_target, load_target
from tokzoo.registry.plugins import Registry


def _nobody(event: Event) -> None:
    pass


class Worker:
    """Runs the stages of one job.

    Args:
        registry: where components are found; None: the plugins of this machine and the job's own.
        log: where tracebacks go.
        observe: called with each event, once it is written.

    Attributes:
        stage: the one it is at.
        stages: those of its cell.
        stopping: once set, it saves and stops at the next step it may.
        began: whether it may have something to save: it is past loading code, which takes seconds.
        settled: the identities of the results that this job is made of so far, by stage.
    """

    def __init__(
        self,
        run: RunFolder,
        job: JobFile,
        registry: Registry | None = None,
        log: TextIO | None = None,
        observe: Callable[[Event], None] = _nobody,
        stopping: threading.Event | None = None,
    ) -> None:
        self.run = run
        self.job = job
        self.registry = registry
        self.log = log or sys.stderr
        self.events = EventFile(run.cell(job.cell).events(job.attempt))
        self.observe = observe
        self.stage = "start"
        self.stopping = stopping or threading.Event()
        self.began = False
        self.mended = False
        self.settled: dict[str, str] = {}
        self.stages: list[CellStage] = []

    def emit(self, kind: str, **about: Any) -> None:
        """Tell an event."""
        event = {"kind": kind, **about}
        self.events.append(event)
        self.observe(event)

    def stop(self) -> None:
        """Save and stop as soon as that can be: in the middle of imports, of all places, by ending this process."""
        self.stopping.set()
        if not self.began:
            self.emit("interrupted", stage=self.stage, message="stopped before anything was done")
            os._exit(130)

    def _tell(self, stage: str, line: str) -> None:
        self.emit("note", stage=stage, message=line)

    def work(self) -> int:
        """Run the job and tell how it ended: 0 done, 1 failed, 130 stopped and resumable."""
        self.emit("started")
        try:
            copy_context().run(self._run)
        except Interrupted as stop:
            self.emit("interrupted", stage=self.stage, message=str(stop))
            return 130
        # Whatever a component raises, even what would end a process, must become a failed record, not a lost cell.
        except BaseException as error:
            if asked_to_stop(error):
                raise
            traceback.print_exc(file=self.log)
            status = "diverged" if isinstance(error, Diverged) else "failed"
            name = "" if isinstance(error, TokzooError) else f"{self._whose(error)}{type(error).__name__}: "
            self.emit("failed", stage=self.stage, status=status, message=printable(name + message(error)))
            return 1
        self.emit("finished")
        return 0

    def _whose(self, error: BaseException) -> str:
        """The component in whose code an error was raised, to begin a message with."""
        whose = culprit(error, all_slots(self.stages))
        return f"{whose}: " if whose else ""

    def _run(self) -> None:
        import torch

        from tokzoo.assembly.devices import choose_device
        from tokzoo.bench.pictures import draw_pictures, pictured
        from tokzoo.bench.workbench import Workbench

        stopping.set(self.stopping.is_set)
        registry = self.registry or self.job.registry()
        cell = load_cell(self.job.content, registry.components)
        self.stages = stages_of(cell)
        bench = Workbench(
            cell=cell,
            stages={stage.name: stage for stage in self.stages},
            cache=StageCache(self.run, self.job.fresh),
            registry=registry,
            device=torch.device(choose_device(self.job.device)),
            threads=self.job.threads,
            checkpoint_seconds=self.job.checkpoint_seconds,
            accumulate=self.job.accumulate,
            report=lambda name, event: self.emit("step", stage=name, **event),
            tell=self._tell,
            stopping=self.stopping.is_set,
        )
        self._check_keys(bench)
        self._load_code(bench)
        self.began = True
        torch.set_num_threads(self.job.threads)
        if bench.device.type == "cuda":
            # Bit-exact resume wants deterministic kernels; an operation that has none is told in the log.
            torch.use_deterministic_algorithms(True, warn_only=True)
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        folder = self.run.cell(self.job.cell)
        self._settle(bench, lambda: pictured(bench, folder))
        self.stage = "pictures"
        draw_pictures(bench, folder)

    def _check_keys(self, bench: Any) -> None:
        keys = {name: stage.key for name, stage in bench.stages.items()}
        for name in (*keys, *self.job.stages):
            if keys.get(name) != self.job.stages.get(name):
                raise TokzooError(
                    f"what its {name} is made from (a component, a file or the data) changed since this run began; "
                    "run it again"
                )

    def _load_code(self, bench: Any) -> None:
        """Stamp the code and import it, before anything waits for a lock: what is noted must be what runs."""
        stages = list(bench.stages.values())
        sources = {name: source for stage in stages for name, source in stage.sources.items()}
        code_of(sources)
        found = bench.cache.find_all(stages)
        # What was trained is built again to be judged, though not what it was trained with.
        probe = bench.cell.probe
        models = [*(getattr(bench.cell.recipe, part) for part in PARTS), *([] if probe is None else [probe.ar])]
        for stage in stages:
            self.stage = stage.name
            import_target(stage.stage.target, f"stage {stage.name}")
            needed = [slot for slot in stage.slots if found[stage.name].result is None or slot in models]
            for part in (part for slot in needed for part in slot.whole()):
                load_target(part.entry.spec)
        self.stage = "start"
        check_loaded(sources)

    def _settle(self, bench: Any, pictured: Callable[[], Iterable[str]]) -> None:
        """Have every stage done, and go through them again where one had to be mended: others may have read it.

        ``pictured``: gives the stages that are read once more, for pictures.
        """
        self.mended = True
        while self.mended:
            self.mended = False
            for stage in bench.stages.values():
                if self.stopping.is_set():
                    raise Interrupted(f"stopped before stage {stage.name}")
                self._ensure(bench, stage)
            for name in pictured():
                self._mend(bench, bench.stages[name])

    def _ensure(self, bench: Any, stage: CellStage) -> None:
        """Have a stage done, and before it whatever it reads that is missing or damaged."""
        from tokzoo.bench.workbench import run_stage

        self.stage = stage.name
        with bench.cache.lock(stage):
            found = self._find(bench, stage)
            if found.result is not None:
                self._settled(stage, found.result, "cached", made_by=found.made_by)
                return
            for name in stage.upstream:
                self._mend(bench, bench.stages[name])
            self.stage = stage.name
            bench.cache.forget(stage)
            self.emit("stage", stage=stage.name, state="running", why=found.why)
            result = run_stage(bench, stage, {name: self.settled[name] for name in stage.upstream})
            self._settled(stage, result, "done")

    def _settled(self, stage: CellStage, result: Result, state: str, **about: Any) -> None:
        self.settled[stage.name] = result.identity
        self.emit("stage", stage=stage.name, state=state, identity=result.identity, **about)

    def _find(self, bench: Any, stage: CellStage) -> Found:
        upstream = {name: bench.cache.result(bench.stages[name]) for name in stage.upstream}
        missing = any(result is None for result in upstream.values())
        return Found(None) if missing else bench.cache.find(stage, upstream)

    def _mend(self, bench: Any, stage: CellStage) -> None:
        """A cached stage whose files were lost or changed is run again: its key says what it must become."""
        with bench.cache.lock(stage):  # whoever runs it now may do so
            if bench.cache.is_whole(stage):
                return
            bench.cache.forget(stage)
        self._tell(stage.name, f"its files in {bench.cache.path(stage)} are damaged: it is run again")
        self.mended = True
        self._ensure(bench, stage)


def _end_with_parent() -> None:
    """The parent holds standard input open for as long as it lives."""
    sys.stdin.read()
    os._exit(1)


def main(arguments: list[str]) -> int:
    """Run a job; returns the exit code."""
    folder, instructions, *options = arguments
    run = RunFolder(Path(folder))
    if "--attached" in options:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    worker = Worker(run, JobFile.read(run.path / instructions))
    for number in SIGNALS:
        signal.signal(number, lambda *_: worker.stop())
    code = worker.work()
    if worker.stopping.is_set():
        # All is saved, and somebody waits: taking torch apart takes seconds.
        sys.stdout.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
