"""The stages of a cell: what each depends on, and so what its cached result is keyed by. No torch here.

tokenizer → reconstruction; tokenizer → codes → ar → likelihood, representation; ar → samples → generation;
efficiency. A key hashes what a stage depends on and
nothing else, so cells that differ only in the AR model share the trained tokenizer.
"""

from dataclasses import dataclass
from typing import Any, cast

from tokzoo.bench.cell import Cell
from tokzoo.contracts.configs import MetricConfig
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.models import Slot

ENGINE = 1
"""Raised when the engine's results change: every cached stage is then made anew."""

NEEDS_CODES = ("codes", "ar", "likelihood", "representation", "samples", "generation")


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a cell, and the key of its result."""

    name: str
    key: str
    upstream: tuple[str, ...] = ()


def stage_metrics(cell: Cell, stage: str) -> list[Slot]:
    """The track's metrics measured in a stage, without those that mean nothing on its dataset."""
    slots = [slot for slot in cell.track.metrics if cast(MetricConfig, slot.config).stage == stage]
    return [slot for slot in slots if _applies(slot, cell)]


def left_out_metrics(cell: Cell) -> list[str]:
    """A line that names the track's metrics which mean nothing on its dataset; none where all are measured."""
    names = [slot.use for slot in cell.track.metrics if not _applies(slot, cell)]
    if not names:
        return []
    dataset = cell.track.dataset.use
    return [f"{cell.track.id}: not measured on dataset '{dataset}', where they mean nothing: {', '.join(names)}"]


def _applies(slot: Slot, cell: Cell) -> bool:
    datasets = cast(MetricConfig, slot.config).datasets
    return datasets is None or cell.track.dataset.use in datasets


def stages_of(cell: Cell) -> list[Stage]:
    """The stages a cell goes through, in order; those that do not apply to it are left out."""
    made: dict[str, Stage] = {}

    def add(name: str, upstream: tuple[str, ...], depends: dict[str, Any]) -> None:
        keys = {parent: made[parent].key for parent in upstream}
        made[name] = Stage(name, content_hash({"engine": ENGINE, "stage": name, **keys, **depends}), upstream)

    def measure(name: str, upstream: tuple[str, ...]) -> None:
        metrics = [slot.identity() for slot in stage_metrics(cell, name)]
        if metrics:
            add(name, upstream, {"metrics": metrics, "data": cell.data, "batch": cell.track.evaluation_batch})

    augment = cell.track.augment.model_dump()
    # Which codes an AR model learns makes no other tokenizer.
    seen = cell.track.augment.model_dump(exclude={"codes"})
    tokenizer: dict[str, Any] = {"recipe": cell.recipe.tokenizer_identity()}
    if cell.recipe.weights is None:
        tokenizer |= {"data": cell.data, "augment": seen, "seed": cell.seed}
        tokenizer["budget"] = cell.track.budget.model_dump()
    add("tokenizer", (), tokenizer)
    measure("reconstruction", ("tokenizer",))
    if cell.probe is not None:
        add("codes", ("tokenizer",), {"data": cell.data, "augment": augment, "batch": cell.track.evaluation_batch})
        add("ar", ("tokenizer", "codes"), {"probe": cell.probe.identity(), "seed": cell.seed})
        measure("likelihood", ("tokenizer", "codes", "ar"))
        # A probe needs classes to tell apart.
        if cell.chain.classes is not None:
            measure("representation", ("tokenizer", "codes", "ar"))
        if stage_metrics(cell, "generation"):
            sampler = cell.probe.sampler.model_dump(mode="json")
            drawn = {"sampler": sampler, "samples": cell.track.samples, "seed": cell.seed}
            add("samples", ("tokenizer", "ar"), {**drawn, "batch": cell.track.evaluation_batch})
            measure("generation", ("tokenizer", "samples"))
    measure("efficiency", ("tokenizer", "ar") if cell.probe is not None else ("tokenizer",))
    return list(made.values())


def not_applicable(cell: Cell) -> list[str]:
    """The stages this cell cannot have: without codes (or a probe) none of an AR model, without classes no probe."""
    if cell.probe is None:
        return list(NEEDS_CODES)
    return ["representation"] if cell.chain.classes is None else []
