"""One cell at work: what its stages share, and how each of them is run."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from tokzoo.assembly.build import build_dataset
from tokzoo.assembly.saved_ar import load_ar
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.bench.cache import Result, StageCache
from tokzoo.bench.cell import Cell, check_files
from tokzoo.bench.provenance import code_of
from tokzoo.bench.stages import CellStage
from tokzoo.contracts.errors import Diverged, TokzooError
from tokzoo.contracts.interfaces import ARModel, Dataset
from tokzoo.data.checked_json import read_checked, write_checked
from tokzoo.data.run_folder import CHECKPOINT, EXECUTION
from tokzoo.data.seeding import derive_seed
from tokzoo.records.schema import LARGEST
from tokzoo.registry.component import import_target
from tokzoo.registry.plugins import Registry
from tokzoo.training.loop import RunContext, seed_generators


@dataclass(frozen=True, slots=True)
class Output:
    """What the work of a stage gave.

    Attributes:
        files: the names of those it wrote into the stage's folder.
        values: measured, by metric id.
        count: how many images were measured.
    """

    files: Sequence[str] = ()
    values: dict[str, float] = field(default_factory=dict)
    count: int = 0


@dataclass
class Workbench:
    """One cell at work: what its stages share, loaded when first needed.

    Attributes:
        threads, accumulate: with which stages begin.
        report: called with a stage's name and each log event of it.
        tell: called with a stage's name and what a person should know of it, a line each.
        execution: how the stage at work runs.
    """

    cell: Cell
    stages: dict[str, CellStage]
    cache: StageCache
    registry: Registry
    device: torch.device
    threads: int
    checkpoint_seconds: float
    accumulate: int
    report: Callable[[str, dict[str, Any]], None]
    tell: Callable[[str, str], None]
    stopping: Callable[[], bool]
    execution: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def dataset(self) -> Dataset:
        """The track's dataset.

        Raises:
            TokzooError: its content is not what the cell's keys were made of.
        """
        dataset = build_dataset(self.cell.track.dataset)
        if dataset.config.fingerprint() != self.cell.data["fingerprint"]:
            raise TokzooError(f"dataset '{self.cell.track.dataset.use}' has changed since this began; run it again")
        return dataset

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The trained tokenizer, from the cache: the same whether this process trained it or not."""
        tokenizer = Tokenizer.load(self.folder("tokenizer"), self.registry, self.device)
        # Cells that only sample otherwise share what was trained.
        tokenizer.sampler = self.cell.recipe.sampler.decoder
        return tokenizer

    @cached_property
    def model(self) -> ARModel | None:
        """The trained AR model, from the cache; None where the cell has none."""
        if self.cell.probe is None or self.cell.chain.codes is None:
            return None
        quantizer = self.tokenizer.quantizer
        return load_ar(self.folder("ar"), self.cell.probe.ar, self.cell.chain.tokens, quantizer).to(self.device)

    @property
    def seed(self) -> int:
        """What everything random is derived from."""
        return self.cell.seed

    @property
    def batch(self) -> int:
        """How many images are judged at a time."""
        return self.cell.track.evaluation_batch

    def folder(self, stage: str) -> Path:
        """A stage's folder in the cache."""
        return self.cache.path(self.stages[stage])

    def reload(self) -> None:
        """Read what was trained from the cache when it is needed again."""
        for name in ("tokenizer", "model"):
            vars(self).pop(name, None)

    def context(self, stage: str) -> RunContext:
        """Where a training stage runs."""
        return RunContext(
            self.folder(stage),
            self.device,
            self.checkpoint_seconds,
            self.execution.get("accumulate", 1),
            report=lambda event: self.report(stage, event),
            tell=lambda line: self.tell(stage, line),
            stopping=self.stopping,
            result=f"{stage}/{self.stages[stage].key}",
        )


def run_stage(bench: Workbench, stage: CellStage, upstream: dict[str, str]) -> Result:
    """Do a stage's work and finish it in the cache; ``upstream``: the identities of the results it reads, by stage.

    Raises:
        TokzooError: another run replaced one of these.
        Diverged: it measured what is not finite.
    """
    folder = bench.cache.path(stage)
    _check_upstream(bench, upstream)
    code = code_of(stage.sources)
    stamps = {name: each["stamp"] for name, each in code.items()}
    execution = _fixed_execution(bench, stage, {"stamps": stamps, "upstream": upstream})
    torch.set_num_threads(execution["threads"])
    bench.execution = execution
    work: Callable[[Workbench], Output] = import_target(stage.stage.target, f"stage {stage.name}")
    seed_generators(derive_seed(stage.seed, "stage", stage.name), bench.device)
    # Then the seconds are not those of the whole stage.
    resumed = {"resumed": True} if (folder / CHECKPOINT).is_file() else {}
    started = time.monotonic()
    output = work(bench)
    broken = [f"{name} {value}" for name, value in output.values.items() if not abs(value) <= LARGEST]
    if broken:
        raise Diverged(f"not a finite number up to {LARGEST:g}: {', '.join(broken)}")
    observed = {"seconds": round(time.monotonic() - started, 3), **resumed}
    _check_upstream(bench, upstream)
    check_files(bench.cell, bench.registry.components)
    result = Result(output.values, output.count, {}, upstream, code, execution, observed)
    bench.cache.finish(stage, result, output.files)
    # Only now: a run killed before this line still finds where to go on from.
    (folder / CHECKPOINT).unlink(missing_ok=True)
    if stage.stage.budget is not None:
        bench.reload()
    return result


def _check_upstream(bench: Workbench, upstream: dict[str, str]) -> None:
    for name, identity in upstream.items():
        result = bench.cache.result(bench.stages[name])
        if result is None or result.identity != identity:
            raise TokzooError(f"another run, of other code, made its {name} anew; run it again, or with another --out")


def _fixed_execution(bench: Workbench, stage: CellStage, made_from: dict[str, Any]) -> dict[str, Any]:
    """How a stage runs; resumed, it keeps the threads and micro-batches it began with: they change the last bits."""
    path = bench.cache.path(stage) / EXECUTION
    same = {"torch": torch.__version__, "device": bench.device.type}
    now: dict[str, Any] = {**same, "threads": bench.threads}
    if budget := stage.stage.budget and stage.stage.budget(bench.cell):
        now["accumulate"] = min(bench.accumulate, budget.batch)
    if path.is_file():
        begun = _begun(bench, stage, path)
        if all(begun.get(name) == value for name, value in {**same, **made_from}.items()):
            return {name: begun.get(name, value) for name, value in now.items()}
        # Begun elsewise: its checkpoint would continue as neither of them.
        (path.parent / CHECKPOINT).unlink(missing_ok=True)
    write_checked(path, {**now, **made_from})
    return now


def _begun(bench: Workbench, stage: CellStage, path: Path) -> dict[str, Any]:
    """What a stage noted when it began; of a damaged note nothing, so that the stage begins anew."""
    try:
        return read_checked(path)
    except ValueError as error:
        bench.tell(stage.name, f"begins anew: {path}: {error}")
        return {}
