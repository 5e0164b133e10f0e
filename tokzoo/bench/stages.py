"""The stages of a cell, one row each: what a stage reads, what its result depends on, and who does its work.

A key hashes what a stage depends on and nothing else, so cells that differ only in the AR model share the trained
tokenizer. To add a stage, add its row here and its function. No torch here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from tokzoo.bench.cell import Cell
from tokzoo.bench.provenance import Sources, sources_of
from tokzoo.contracts.configs import MetricConfig
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.identity import differences
from tokzoo.recipes.optimization import Budget
from tokzoo.recipes.slots import Slot, ask_config

ENGINE = 2
"""Raised when the engine's results change: every cached stage is then made anew."""

About = Callable[[Cell], dict[str, Any]]
"""What is said of a cell, as JSON."""


def _nothing(cell: Cell) -> dict[str, Any]:
    return {}


def _no_components(cell: Cell) -> Sequence[Slot]:
    return ()


def _always(cell: Cell) -> bool:
    return True


def _never(cell: Cell) -> bool:
    return False


def _is_trained(cell: Cell) -> bool:
    return cell.recipe.weights is None


def _ar_is_trained(cell: Cell) -> bool:
    return cell.probe is not None and cell.probe.ar.weights is None


def _has_probe(cell: Cell) -> bool:
    return cell.probe is not None


def _has_classes(cell: Cell) -> bool:
    """A linear probe needs classes to tell apart."""
    return cell.probe is not None and cell.chain.classes is not None


@dataclass(frozen=True, slots=True)
class Stage:
    """A row of the table.

    Attributes:
        target: ``"module:function"``, which is given the workbench and does the work.
        upstream: the stages whose results it reads, of those that the cell has.
        depends: what its result depends on beside those and the seed. Of a stage that measures, the metrics, the data
            and the batch size need not be said.
        components: those that do its work, beside those of what it reads, its metrics and the dataset.
        budget: of a stage that trains.
        seeded: whether it draws at random, or hands seeds on to what does.
        applies: whether a cell can have it; where not, its record says that it is not applicable.
        measures: whether metrics are measured in it: it is run where the track has some.
        serves: the one stage that reads it, without which it is not run.
        protocol: what it adds to the protocol of each metric measured in it.
    """

    name: str
    target: str
    upstream: tuple[str, ...] = ()
    depends: About = _nothing
    applies: Callable[[Cell], bool] = _always
    seeded: Callable[[Cell], bool] = _always
    components: Callable[[Cell], Sequence[Slot]] = _no_components
    budget: Callable[[Cell], Budget | None] | None = None
    measures: bool = False
    serves: str = ""
    protocol: About = _nothing

    def runs(self, cell: Cell) -> bool:
        """Whether it is run for a cell."""
        if not self.applies(cell) or (self.measures and not stage_metrics(cell, self.name)):
            return False
        return not self.serves or STAGES[self.serves].runs(cell)


@dataclass(frozen=True, slots=True)
class CellStage:
    """A stage of one cell.

    Attributes:
        key: of its result; cells that share it share the result.
        upstream: the names of the stages whose results it reads.
        seed: what it draws at random is derived from; the cell's, or 0 where it draws nothing.
        slots: the components that do its work.
        sources: where their code, and that of what it reads, comes from.
    """

    stage: Stage
    key: str
    upstream: tuple[str, ...] = ()
    seed: int = 0
    sources: Sources = field(default_factory=dict, compare=False)
    slots: Sequence[Slot] = field(default=(), compare=False)

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.stage.name


def _of_tokenizer(cell: Cell) -> dict[str, Any]:
    own = {"recipe": cell.recipe.tokenizer_identity()}
    if cell.recipe.weights is not None:
        return own
    return {
        **own,
        "data": cell.data,
        "augment": differences(cell.track.augment),
        "budget": differences(cell.track.tokenizer),
    }


def _parts(cell: Cell) -> Sequence[Slot]:
    recipe = cell.recipe
    parts = [recipe.encoder, recipe.quantizer, recipe.decoder]
    return parts if recipe.weights is not None else [*parts, *recipe.regularizers.values()]


def _ar_model(cell: Cell) -> Sequence[Slot]:
    return [cell.probe.ar] if cell.probe is not None else []


def _of_codes(cell: Cell) -> dict[str, Any]:
    assert cell.probe is not None
    augment = differences(cell.track.augment)
    return {"data": cell.data, "augment": augment, "codes": cell.probe.codes, "batch": cell.track.evaluation_batch}


def _of_ar(cell: Cell) -> dict[str, Any]:
    assert cell.probe is not None
    return {"probe": cell.probe.identity()}


def _of_samples(cell: Cell) -> dict[str, Any]:
    assert cell.probe is not None
    sampler = differences(cell.probe.sampler)
    return {
        "sampler": sampler,
        "samples": cell.track.samples,
        "batch": cell.track.evaluation_batch,
    }


def _of_decoding(cell: Cell) -> dict[str, Any]:
    """How a generative decoder draws: what is trained does not depend on it."""
    return {"sampler": differences(cell.recipe.sampler.decoder)}


def _by_probe(cell: Cell) -> dict[str, Any]:
    """AR numbers compare only within one probe: same model, optimisation and budget."""
    assert cell.probe is not None
    return {"probe": content_hash(cell.probe.identity())}


def _by_samples(cell: Cell) -> dict[str, Any]:
    assert cell.probe is not None
    return {
        **_by_probe(cell),
        "sampler": differences(cell.probe.sampler),
        "split": "samples, classes in turn",
    }


WORK = "tokzoo.bench.work"
CODED = ("tokenizer", "codes", "ar")

STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "tokenizer",
            f"{WORK}:tokenizer",
            (),
            _of_tokenizer,
            seeded=_is_trained,
            components=_parts,
            budget=lambda cell: cell.track.tokenizer,
        ),
        Stage("reconstruction", f"{WORK}:reconstruction", ("tokenizer",), _of_decoding, measures=True),
        Stage("codes", f"{WORK}:codes", ("tokenizer",), _of_codes, _has_probe, _never),
        Stage(
            "ar",
            f"{WORK}:ar",
            ("tokenizer", "codes"),
            _of_ar,
            _has_probe,
            _ar_is_trained,
            components=_ar_model,
            budget=lambda cell: cell.probe,
        ),
        Stage("likelihood", f"{WORK}:likelihood", CODED, applies=_has_probe, measures=True, protocol=_by_probe),
        Stage(
            "representation", f"{WORK}:representation", CODED, applies=_has_classes, measures=True, protocol=_by_probe
        ),
        Stage("samples", f"{WORK}:samples", ("tokenizer", "ar"), _of_samples, _has_probe, serves="generation"),
        Stage(
            "generation",
            f"{WORK}:generation",
            ("tokenizer", "samples"),
            _of_decoding,
            applies=_has_probe,
            measures=True,
            protocol=_by_samples,
        ),
        Stage("efficiency", f"{WORK}:efficiency", ("tokenizer", "ar"), _of_decoding, measures=True),
    )
}
"""In the order in which they are run."""


def stages_of(cell: Cell) -> list[CellStage]:
    """The stages a cell goes through, in order.

    Raises:
        TokzooError: a metric of the track is measured in a stage that there is not.
    """
    for slot in cell.track.metrics:
        if _stage(slot) not in STAGES or not STAGES[_stage(slot)].measures:
            known = [stage.name for stage in STAGES.values() if stage.measures]
            raise TokzooError(
                f"metric '{slot.use}': its stage '{_stage(slot)}' measures nothing; {suggest(_stage(slot), known)}"
            )
    made: dict[str, CellStage] = {}
    for name, stage in STAGES.items():
        if not stage.runs(cell):
            continue
        upstream = tuple(parent for parent in stage.upstream if parent in made)
        depends = {"engine": ENGINE, "stage": name, "upstream": {parent: made[parent].key for parent in upstream}}
        seed = cell.seed if stage.seeded(cell) else 0
        if stage.seeded(cell):
            depends["seed"] = seed
        if stage.measures:
            depends |= {
                "metrics": [slot.identity() for slot in stage_metrics(cell, name)],
                "data": cell.data,
                "batch": cell.track.evaluation_batch,
            }
        slots = [cell.track.dataset, *stage.components(cell), *stage_metrics(cell, name)]
        sources = sources_of(slots)
        for parent in upstream:
            sources |= made[parent].sources
        key = content_hash({**depends, **stage.depends(cell)})
        made[name] = CellStage(stage, key, upstream, seed, sources, slots)
    return list(made.values())


def not_applicable(cell: Cell) -> list[str]:
    """The stages a cell cannot have: without codes (or a probe) none of an AR model, without classes no probe."""
    return [name for name, stage in STAGES.items() if not stage.applies(cell)]


def stage_metrics(cell: Cell, stage: str) -> list[Slot]:
    """The track's metrics measured in a stage, without those that mean nothing on its dataset or for the tokenizer."""
    return [slot for slot in cell.track.metrics if _stage(slot) == stage and not _why_not(slot, cell)]


def left_out_metrics(cell: Cell) -> list[str]:
    """The track's metrics that mean nothing on its dataset, or for the tokenizer: a line for each reason."""
    names: dict[str, list[str]] = {}
    for slot in cell.track.metrics:
        if why := _why_not(slot, cell):
            names.setdefault(why, []).append(slot.use)
    return [f"{cell.track.id}: not measured {why}: {', '.join(found)}" for why, found in names.items()]


def stage_keys(cell: Cell) -> dict[str, str]:
    """The keys of a cell's stages, by name."""
    return {stage.name: stage.key for stage in stages_of(cell)}


def missing_files(cell: Cell, stages: Iterable[CellStage]) -> list[str]:
    """Which files some stages of a cell need that are not on this machine, a line each."""
    # What comes with its weights is not trained: it starts nothing.
    started = [stage for stage in stages if stage.stage.budget is None or stage.stage.seeded(cell)]
    slots = all_slots(started)
    lines = [f"{slot.kind} '{slot.use}': {line}" for slot in slots for line in ask_config(slot, lambda c: c.missing())]
    return list(dict.fromkeys(lines))


def all_slots(stages: Iterable[CellStage]) -> list[Slot]:
    """The components that do the work of stages, and those within them."""
    return [part for stage in stages for slot in stage.slots for part in slot.whole()]


def _stage(slot: Slot) -> str:
    return cast(MetricConfig, slot.config).stage


def _why_not(slot: Slot, cell: Cell) -> str:
    """Why a metric is left out; "" where it is measured."""
    config, dataset = cast(MetricConfig, slot.config), cell.track.dataset.use
    if config.datasets is not None and dataset not in config.datasets:
        return f"on dataset '{dataset}', where they mean nothing"
    missing = sorted(config.requires - cell.chain.provides)
    return f"on {cell.recipe.name}, which does not provide {', '.join(missing)}" if missing else ""
