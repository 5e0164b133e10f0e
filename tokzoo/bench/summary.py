"""From a cell and the results of its stages to a record."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

from tokzoo import __version__
from tokzoo.bench.cache import Result
from tokzoo.bench.cell import Cell
from tokzoo.bench.provenance import code_of, other_releases
from tokzoo.bench.stages import ENGINE, CellStage, not_applicable, stage_keys, stage_metrics
from tokzoo.contracts.configs import MetricConfig
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.slots import Slot
from tokzoo.records.schema import Failure, MetricValue, Named, Record, make_record


def measured_record(cell: Cell, results: Mapping[CellStage, Result]) -> Record:
    """The record of a finished cell."""
    metrics: dict[str, MetricValue] = {}
    protocols: dict[str, dict[str, Any]] = {}
    observed: dict[str, Any] = {}
    for stage, result in results.items():
        for slot in stage_metrics(cell, stage.name):
            protocol = _protocol(cell, stage, slot, result)
            digest = content_hash(protocol, 12)
            for info in cast(MetricConfig, slot.config).reports:
                value = result.values.get(info.id)
                if value is None:
                    continue
                if info.observed:
                    observed[info.id] = value
                    continue
                metrics[info.id] = MetricValue(
                    value=value,
                    label=info.label,
                    unit=info.unit,
                    better=info.better,
                    digits=info.digits,
                    protocol=digest,
                )
                protocols[digest] = protocol
    return make_record(
        status="ok",
        execution={stage.name: result.execution for stage, result in results.items()},
        metrics=metrics,
        protocols=protocols,
        provenance={"code": _code(results)},
        observed={
            "metrics": observed,
            "stages": {stage.name: result.observed for stage, result in results.items()},
            **_made_by(results),
        },
        **_common(cell),
    )


def failed_record(cell: Cell, status: str, stage: str, message: str) -> Record:
    """The record of a cell that failed or diverged: shown, not dropped."""
    failure = Failure(stage=stage, message=message)
    return make_record(status=status, execution={}, metrics={}, protocols={}, failure=failure, **_common(cell))


def _protocol(cell: Cell, stage: CellStage, slot: Slot, result: Result) -> dict[str, Any]:
    """Everything that must be equal for two values of this metric to compare."""
    config, source = cast(MetricConfig, slot.config), slot.entry.source
    return {
        "metric": slot.use,
        "version": slot.entry.spec.version,
        # A metric of a file or a script has nobody who raises its version.
        "source": None if source.distribution else source.stamp,
        **config.protocol(),
        "stage": stage.name,
        "data": cell.data,
        "split": "val",
        "images": result.count,
        "batch": cell.track.evaluation_batch,
        **stage.stage.protocol(cell),
    }


def _code(results: Mapping[CellStage, Result]) -> dict[str, list[dict[str, Any]]]:
    """What made the results: by plugin, each version and stamp of it with the stages it made."""
    found: dict[str, list[dict[str, Any]]] = {}
    for stage, result in results.items():
        for name, code in result.code.items():
            known = found.setdefault(name, [])
            same = next((each for each in known if {**each, "stages": []} == {**code, "stages": []}), None)
            if same is None:
                known.append({**code, "stages": [stage.name]})
            else:
                same["stages"].append(stage.name)
    return found


def _made_by(results: Mapping[CellStage, Result]) -> dict[str, Any]:
    """Which stages other releases made than are here, if any."""
    made = {stage.name: other_releases(result.code, code_of(stage.sources)) for stage, result in results.items()}
    used = {name: lines for name, lines in made.items() if lines}
    return {"made_by": used} if used else {}


def _common(cell: Cell) -> dict[str, Any]:
    chain = cell.chain
    slots = {slot: getattr(cell.recipe, slot) for slot in ("encoder", "quantizer", "decoder")}
    slots |= {f"regularizers.{role}": slot for role, slot in cell.recipe.regularizers.items()}
    if cell.probe is not None:
        slots["ar"] = cell.probe.ar
    return {
        "origin": "imported" if cell.recipe.weights or (cell.probe and cell.probe.ar.weights) else "measured",
        "track": Named(name=cell.track.id, hash=cell.track_hash, content=cell.track.dump(places=False)),
        "recipe": Named(name=cell.recipe.name, hash=cell.recipe_hash, content=cell.recipe.dump(places=False)),
        "probe": content_hash(cell.probe.identity()) if cell.probe else None,
        "seed": cell.seed,
        "shapes": {
            "image": asdict(chain.image),
            "latent": asdict(chain.latent),
            "codes": asdict(chain.codes) if chain.codes else None,
            "bits_per_image": chain.codes.bits_per_image if chain.codes else None,
        },
        "versions": {
            "tokzoo": __version__,
            "engine": ENGINE,
            "components": {place: _provenance(slot) for place, slot in slots.items()},
        },
        "stages": stage_keys(cell),
        "not_applicable": not_applicable(cell),
    }


def _provenance(slot: Slot) -> dict[str, Any]:
    """Which component of which plugin this was, and the components it refers to."""
    about = {
        "use": slot.use,
        "version": slot.entry.spec.version,
        "plugin": slot.entry.plugin,
    }
    parts = [_provenance(part) for part in slot.parts()]
    return {**about, "parts": parts} if parts else about
