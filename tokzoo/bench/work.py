"""What each stage does. The only module of bench that needs torch."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from tokzoo.assembly.build import build_ar, build_dataset
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.assembly.weights import load_weights, save_weights
from tokzoo.bench.cache import Result, StageCache
from tokzoo.bench.cell import Cell
from tokzoo.bench.stages import Stage, stage_metrics
from tokzoo.contracts.errors import Diverged
from tokzoo.contracts.interfaces import ARModel, Dataset
from tokzoo.data.codes import CodeSet
from tokzoo.data.files import read_json, write_json
from tokzoo.data.seeding import derive_seed
from tokzoo.evaluation import metrics
from tokzoo.evaluation.codes import extract_codes, extract_ten_crops
from tokzoo.evaluation.samples import sample_codes
from tokzoo.recipes.models import Probe
from tokzoo.recipes.saved import DESCRIPTION, REGULARIZERS, WEIGHTS
from tokzoo.registry.plugins import Registry
from tokzoo.training.ar import ARTask, CodesTask, LiveARTask
from tokzoo.training.checkpoint import CHECKPOINT
from tokzoo.training.loop import Surroundings, Trainer
from tokzoo.training.tokenizer import TokenizerTask

MODEL = "model.safetensors"
TRAIN_CODES = "train.safetensors"
VAL_CODES = "val.safetensors"
TEN_CROPS = "train-ten-crop.safetensors"
SAMPLES = "samples.safetensors"


@dataclass
class Workbench:
    """One cell at work: what its stages share, loaded when first needed."""

    cell: Cell
    stages: dict[str, Stage]
    cache: StageCache
    registry: Registry
    device: torch.device
    threads: int
    checkpoint_seconds: float
    report: Callable[[str, dict[str, Any]], None]
    stopping: Callable[[], bool]

    @cached_property
    def dataset(self) -> Dataset:
        """The track's dataset."""
        return build_dataset(self.cell.track.dataset)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The trained tokenizer, from the cache: the same whether this process trained it or not."""
        return Tokenizer.load(self.folder("tokenizer"), self.registry, self.device)

    @cached_property
    def model(self) -> ARModel | None:
        """The trained AR model, from the cache."""
        if self.cell.probe is None or self.cell.chain.codes is None:
            return None
        quantizer = self.tokenizer.quantizer
        model = build_ar(self.cell.probe.ar, self.cell.chain.codes, self.cell.chain.classes, quantizer)
        load_weights(model, self.folder("ar") / MODEL)
        return model.to(self.device).eval()

    def folder(self, stage: str) -> Path:
        """A stage's folder in the cache."""
        return self.cache.path(self.stages[stage])

    def around(self, stage: str) -> Surroundings:
        """Where a training stage runs."""
        return Surroundings(
            self.folder(stage),
            self.device,
            self.checkpoint_seconds,
            lambda event: self.report(stage, event),
            self.stopping,
        )


def run_stage(bench: Workbench, stage: Stage) -> None:
    """Do a stage's work and finish it in the cache."""
    execution = _fixed_execution(bench, bench.cache.path(stage))
    torch.set_num_threads(execution["threads"])
    started = time.monotonic()
    result, files = WORK[stage.name](bench)
    broken = [name for name, value in result.values.items() if not math.isfinite(value)]
    if broken:
        raise Diverged(f"{', '.join(broken)} came out as not a finite number")
    result.execution = execution
    result.observed["seconds"] = round(time.monotonic() - started, 3)
    bench.cache.finish(stage, result, files)
    # Only now: a run killed before this line still finds where to go on from.
    (bench.cache.path(stage) / CHECKPOINT).unlink(missing_ok=True)


def _fixed_execution(bench: Workbench, folder: Path) -> dict[str, Any]:
    """How a stage runs. A resumed stage keeps the threads it began with: their number changes the last bits."""
    path = folder / "execution.json"
    now = {"torch": torch.__version__, "device": bench.device.type, "threads": bench.threads}
    if path.is_file():
        begun = read_json(path)
        if all(begun.get(name) == now[name] for name in ("torch", "device")):
            return {**now, "threads": int(begun["threads"])}
        # Begun with another torch or device: its checkpoint would continue as neither of them.
        (folder / CHECKPOINT).unlink(missing_ok=True)
    write_json(path, now)
    return now


Outcome = tuple[Result, list[str]]


def _tokenizer(bench: Workbench) -> Outcome:
    cell = bench.cell
    if cell.recipe.weights is not None:
        tokenizer = Tokenizer(cell.recipe, cell.chain)
        load_weights(tokenizer, cell.recipe.weights.folder / WEIGHTS)
        tokenizer.save(bench.folder("tokenizer"))
        return Result(), [WEIGHTS, DESCRIPTION]
    task = TokenizerTask(
        cell.recipe,
        cell.chain,
        bench.dataset.train,
        cell.track.augment,
        cell.track.budget,
        cell.seed,
        bench.device,
    )
    around = bench.around("tokenizer")
    Trainer(task, cell.recipe.train, cell.track.budget, cell.seed, around).run()
    task.tokenizer.save(around.folder)
    files = [WEIGHTS, DESCRIPTION]
    heads = task.objective.regularizers.state_dict()
    if heads:
        save_weights(heads, around.folder / REGULARIZERS)
        files.append(REGULARIZERS)
    return Result(), files


def _reconstruction(bench: Workbench) -> Outcome:
    chosen, split = stage_metrics(bench.cell, "reconstruction"), bench.dataset.val
    batch = bench.cell.track.evaluation_batch
    return Result(metrics.reconstruction(bench.tokenizer, split, chosen, batch, bench.device), len(split)), []


def _codes(bench: Workbench) -> Outcome:
    track = bench.cell.track
    for split, name in ((bench.dataset.train, TRAIN_CODES), (bench.dataset.val, VAL_CODES)):
        codes = extract_codes(bench.tokenizer, split, track.augment, track.evaluation_batch, bench.device)
        codes.save(bench.folder("codes") / name)
    if track.augment.codes != "ten-crop":
        return Result(), [TRAIN_CODES, VAL_CODES]
    codes = extract_ten_crops(bench.tokenizer, bench.dataset.train, track.evaluation_batch, bench.device)
    codes.save(bench.folder("codes") / TEN_CROPS)
    return Result(), [TRAIN_CODES, VAL_CODES, TEN_CROPS]


def _ar_task(bench: Workbench, probe: Probe) -> CodesTask:
    cell = bench.cell
    assert cell.chain.codes is not None
    how = cell.track.augment.codes
    if how == "live":
        return LiveARTask(probe, bench.tokenizer, bench.dataset.train, cell.track.augment, cell.seed, bench.device)
    codes = CodeSet.load(bench.folder("codes") / (TEN_CROPS if how == "ten-crop" else TRAIN_CODES))
    quantizer = bench.tokenizer.quantizer
    return ARTask(probe, cell.chain.codes, cell.chain.classes, quantizer, codes, cell.seed, bench.device)


def _ar(bench: Workbench) -> Outcome:
    cell = bench.cell
    assert cell.probe is not None
    task = _ar_task(bench, cell.probe)
    around = bench.around("ar")
    Trainer(task, cell.probe.train, cell.probe.budget, cell.seed, around).run()
    save_weights(task.module.state_dict(), around.folder / MODEL)
    return Result(), [MODEL]


def _likelihood(bench: Workbench) -> Outcome:
    assert bench.model is not None
    codes = CodeSet.load(bench.folder("codes") / VAL_CODES)
    chosen, batch = stage_metrics(bench.cell, "likelihood"), bench.cell.track.evaluation_batch
    values = metrics.likelihood(bench.model, codes, bench.cell.chain, chosen, batch, bench.device)
    return Result(values, len(codes)), []


def _representation(bench: Workbench) -> Outcome:
    assert bench.model is not None
    train, val = (CodeSet.load(bench.folder("codes") / name) for name in (TRAIN_CODES, VAL_CODES))
    chosen, batch = stage_metrics(bench.cell, "representation"), bench.cell.track.evaluation_batch
    values = metrics.representation(bench.model, train, val, bench.cell.chain, chosen, batch, bench.device)
    return Result(values, len(val)), []


def _samples(bench: Workbench) -> Outcome:
    cell = bench.cell
    assert bench.model is not None
    assert cell.probe is not None
    seed = derive_seed(cell.seed, "samples")
    codes = sample_codes(bench.model, cell.probe.sampler, cell.track.samples, cell.chain.classes, seed, bench.device)
    codes.save(bench.folder("samples") / SAMPLES)
    return Result(), [SAMPLES]


def _generation(bench: Workbench) -> Outcome:
    codes = CodeSet.load(bench.folder("samples") / SAMPLES)
    chosen, batch = stage_metrics(bench.cell, "generation"), bench.cell.track.evaluation_batch
    return Result(metrics.generation(bench.tokenizer, codes, chosen, batch, bench.device), len(codes)), []


def _efficiency(bench: Workbench) -> Outcome:
    chosen, batch = stage_metrics(bench.cell, "efficiency"), bench.cell.track.evaluation_batch
    values = metrics.efficiency(bench.tokenizer, bench.model, bench.dataset.val, chosen, batch, bench.device)
    return Result(values, batch), []


WORK: dict[str, Callable[[Workbench], Outcome]] = {
    "tokenizer": _tokenizer,
    "reconstruction": _reconstruction,
    "codes": _codes,
    "ar": _ar,
    "likelihood": _likelihood,
    "representation": _representation,
    "samples": _samples,
    "generation": _generation,
    "efficiency": _efficiency,
}
