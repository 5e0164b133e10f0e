"""From what is asked for, on the command line or in Python, to a plan and its checked cells. No torch here."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tokzoo.bench.cell import Cell, data_warnings, make_cell, warnings
from tokzoo.bench.stages import left_out_metrics
from tokzoo.contracts.errors import ONE_LINE, Refusal, TokzooError, suggest
from tokzoo.recipes.files import is_file
from tokzoo.recipes.load import Axis, Changes, Plan, is_suite, load_suite, plan_recipes, with_images
from tokzoo.recipes.tree import Override, parse_override
from tokzoo.registry.component import ComponentSpec
from tokzoo.registry.plugins import Registry

DEVICES = ("auto", "cpu", "cuda")
MOST_SEEDS = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        names: recipes by name or file, or one suite.
        changes: of the recipes and of the track.
        track: None: the suite's.
        data: a folder of images instead of the track's dataset.
        seeds: None: the suite's, or 0.
        axes: of a grid, beside the suite's.
        metrics: what is measured beside the track's metrics, unless the track's are changed.
    """

    names: tuple[str, ...]
    changes: Changes = field(default_factory=Changes)
    track: str | None = None
    data: Path | None = None
    seeds: tuple[int, ...] | None = None
    axes: tuple[Axis, ...] = ()
    metrics: tuple[ComponentSpec, ...] = ()


def split(what: Iterable[str | Path]) -> tuple[tuple[str, ...], list[Override]]:
    """Names, of which a path is always one, and what ``key=value`` changes."""
    names: list[str] = []
    overrides: list[Override] = []
    for each in what:
        if isinstance(each, Path) or "=" not in each:
            names.append(str(each))
        else:
            overrides.append(parse_override(each))
    return tuple(names), overrides


def without_executor(overrides: Iterable[Override]) -> tuple[Changes, tuple[Override, ...]]:
    """What is changed of recipe and track, and of the executor (``executor.KEY=VALUE``)."""
    told = list(overrides)
    of_executor = tuple(override for override in told if override[0][0] == "executor" and override[0][1:])
    return Changes.of(override for override in told if override not in of_executor), of_executor


def make_plan(request: Request, registry: Registry) -> Plan:
    """The recipes, the track and the seeds that are meant.

    Raises:
        TokzooError: nothing is named, or no track, or an unknown one.
    """
    names = request.names
    if not names:
        raise TokzooError(f"name a recipe or a suite; recipes: {', '.join(registry.recipes) or 'none'}")
    if len(names) == 1 and is_suite(names[0], registry):
        plan = load_suite(names[0], registry)
    else:
        plan = Plan(names, request.track or "")
    plan = replace(plan, changes=request.changes, track=request.track or plan.track)
    if not plan.track:
        # A misspelt suite is not mended by a track.
        offered = [*registry.suites, *registry.recipes]
        for name in names:
            if not is_file(name) and name not in offered:
                raise TokzooError(f"recipe or suite '{name}': unknown; {suggest(name, offered)}")
        known = ", ".join(registry.tracks) or "none"
        raise TokzooError(f"name a track with --track (in Python, track=…); tracks: {known}")
    plan = replace(plan, axes=(*plan.axes, *request.axes), seeds=request.seeds or plan.seeds)
    if request.data is not None:
        plan = with_images(plan, request.data, registry)
    return _with_metrics(plan, request.metrics)


def _with_metrics(plan: Plan, metrics: Sequence[ComponentSpec]) -> Plan:
    """The plan with further metrics measured and shown; one that says itself what is measured stays as it is."""
    axes = (tuple(axis.key.split(".")) for axis in plan.axes)
    touched = {key[0] for key, _ in plan.changes.track} | {key[1] for key in axes if key[0] == "track" and key[1:]}
    if not metrics or touched & {"metrics", "metrics+"}:
        return plan
    changes = (*plan.changes.track, (("metrics+",), [spec.name for spec in metrics]))
    return replace(plan, changes=replace(plan.changes, track=changes))


def make_cells(plan: Plan, registry: Registry) -> list[Cell]:
    """The cells of a plan, all of them checked.

    Raises:
        TokzooError: something does not fit; every combination that does not is told at once.
    """
    cells, refusals = [], []
    for recipe, judged in plan_recipes(plan, registry):
        try:
            cell = make_cell(recipe, judged, 0, registry.components)
            cells += [replace(cell, seed=seed) for seed in plan.seeds]
        except Refusal as refusal:
            refusals.append(str(refusal))
    if refusals:
        raise TokzooError("\n".join(refusals))
    return cells


def doubts(cells: Iterable[Cell]) -> list[str]:
    """What is not wrong but may not be meant, a line each."""
    every = list(cells)
    # Of the same data once: a dataset may have to look for its files.
    lines = [
        line for cell in {cell.data["fingerprint"]: cell for cell in every}.values() for line in data_warnings(cell)
    ]
    lines += [line for cell in every for line in (*warnings(cell), *left_out_metrics(cell))]
    return list(dict.fromkeys(lines))


def parse_seeds(text: str) -> tuple[int, ...]:
    """``0-2`` and ``0,3`` as seeds, in order, each once.

    Raises:
        TokzooError: it is neither.
    """
    few = f"numbers such as 0, 0-2 or 0,3, at most {MOST_SEEDS} of them"
    wrong = TokzooError(f"--seeds {text[:ONE_LINE]}: expected {few}")
    seeds: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d{1,9})(?:-(\d{1,9}))?\s*", part, re.ASCII)
        if found is None:
            raise wrong
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first or len(seeds) + last - first >= MOST_SEEDS:
            raise wrong
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


def check_device(device: str) -> None:
    """Raise :class:`TokzooError` unless it is one of ``DEVICES``."""
    if device in DEVICES:
        return
    # What most people call one is as near to another name.
    meant = "did you mean 'cuda'?" if str(device).lower() == "gpu" else suggest(str(device), DEVICES)
    raise TokzooError(f"device '{device}': unknown; {meant}")
