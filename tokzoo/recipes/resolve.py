"""Trees to resolved recipes and tracks: names looked up, values validated, every mistake said with its place."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from pydantic import Field, field_validator

from tokzoo.contracts.configs import ARConfig, Config, MetricConfig
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.contracts.specs import MetricInfo
from tokzoo.data.config import Augmentation
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.models import Budget, Optimization, Probe, Recipe, Slot, Track
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.saved import Saved
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue

PARTS = ("encoder", "quantizer", "decoder")
PROBE_KEYS = ("ar", "train", "steps", "batch", "sampler")


class RecipeFields(Config):
    """What a recipe says beside its components and their training."""

    name: str = "unnamed"
    summary: str = ""


class TrackFields(Config):
    """What a track says beside its components."""

    name: str
    version: int = Field(ge=1)
    summary: str = ""
    augment: Augmentation = Augmentation()
    tokenizer: Budget
    samples: int = Field(1000, ge=1)
    evaluation_batch: int = Field(250, ge=1)
    main: str
    columns: tuple[str, ...] = ()
    seeds: int = Field(3, ge=1)

    @field_validator("name")
    @classmethod
    def _can_stand_in_an_id_and_a_path(cls, name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ValueError("a track is named by letters, digits, '.', '_' and '-'")
        return name


RECIPE_KEYS = (*RecipeFields.model_fields, "extends", "weights", *PARTS, "regularizers", "ar", "train")
TRACK_KEYS = (*TrackFields.model_fields, "dataset", "probe", "metrics")


def resolve_recipe(tree: Tree, catalogue: Catalogue) -> Recipe:
    """A recipe from its merged tree.

    Raises:
        TokzooError: unknown keys, components or fields, or bad values; each on a line, with its place and the nearest
            name.
    """
    at = Resolver(tree, catalogue)
    own_ar, train_ar = at.value(("ar",)), at.value(("train", "ar"))
    found = at.each(
        partial(at.mapping, (), RECIPE_KEYS),
        partial(at.mapping, ("train",), ("tokenizer", "ar")),
        fields=partial(at.fields, RecipeFields),
        weights=partial(_weights, at),
        **{part: partial(at.slot, part, (part,)) for part in PARTS},
        regularizers=partial(_regularizers, at),
        train=lambda: at.validate(Optimization, at.mapping(("train", "tokenizer")), ("train", "tokenizer")),
        ar=lambda: at.slot("ar", ("ar",)) if own_ar is not None else None,
        train_ar=lambda: at.validate(Optimization, train_ar, ("train", "ar")) if train_ar is not None else None,
    )
    fields: RecipeFields = found.pop("fields")
    return Recipe(
        name=fields.name,
        summary=fields.summary,
        judged=own_ar is not None or "ar" not in tree.data,
        origins=tree.origins,
        **found,
    )


def _weights(at: Resolver) -> Saved | None:
    """The saved tokenizer whose weights are judged instead of trained ones."""
    given = at.value(("weights",))
    if given is None:
        return None
    if not isinstance(given, str):
        raise at.fail(("weights",), f"expected the folder of a saved tokenizer, found {given!r}")
    try:
        return Saved.read(Path(given).expanduser())
    except TokzooError as error:
        raise at.fail(("weights",), str(error)) from None


def _regularizers(at: Resolver) -> dict[str, Slot]:
    """The regularizers by role, in the order of the roles' names: neither file nor command line decides an order."""
    roles = sorted(role for role, value in at.mapping(("regularizers",)).items() if value is not None)
    for role in roles:
        if not re.fullmatch(r"[A-Za-z0-9_-]+", role):
            raise at.fail(("regularizers", role), "a role is named by letters, digits, '-' and '_'")
    return at.each(**{role: partial(at.slot, "regularizer", ("regularizers", role)) for role in roles})


def resolve_track(tree: Tree, catalogue: Catalogue, *, official: bool) -> Track:
    """A track from its merged tree; ``official`` is False once anything in it was overridden.

    Raises:
        TokzooError: as for a recipe.
    """
    at = Resolver(tree, catalogue, "track.")
    found = at.each(
        partial(at.mapping, (), TRACK_KEYS),
        fields=partial(at.fields, TrackFields),
        dataset=partial(at.slot, "dataset", ("dataset",)),
        probe=lambda: _probe(at) if at.value(("probe",)) is not None else None,
        metrics=partial(_metrics, at),
    )
    fields: TrackFields = found["fields"]
    track = Track(
        id=f"{fields.name}@{fields.version}",
        summary=fields.summary,
        dataset=found["dataset"],
        augment=fields.augment,
        budget=fields.tokenizer,
        probe=found["probe"],
        metrics=found["metrics"],
        samples=fields.samples,
        evaluation_batch=fields.evaluation_batch,
        main=fields.main,
        columns=fields.columns,
        seeds=fields.seeds,
        origins=tree.origins,
    )
    _check_columns(at, track)
    return track if official else unofficial(track)


def unofficial(track: Track) -> Track:
    """The track under an id that says it was overridden, and how."""
    return replace(track, id=f"{track.id}+{content_hash(track_identity(track), 8)}")


def _metrics(at: Resolver) -> tuple[Slot, ...]:
    given = at.value(("metrics",))
    if not isinstance(given, list) or not given:
        raise at.fail(("metrics",), f"expected a list of metrics, found {given!r}" if given is not None else "missing")
    found = at.each(**{str(i): partial(at.slot, "metric", ("metrics", str(i))) for i in range(len(given))})
    return tuple(found.values())


def _probe(at: Resolver) -> Probe:
    key = ("probe",)
    fields = at.mapping(key)
    budget = {name: fields[name] for name in ("steps", "batch") if name in fields}
    found = at.each(
        partial(at.mapping, key, PROBE_KEYS),
        ar=partial(at.slot, "ar", (*key, "ar")),
        train=lambda: at.validate(Optimization, at.mapping((*key, "train")), (*key, "train")),
        budget=partial(at.validate, Budget, budget, key),
    )
    sampler = cast(ARConfig, found["ar"].config).sampler
    return Probe(**found, sampler=at.validate(sampler, at.mapping((*key, "sampler")), (*key, "sampler")))


def probe_of(recipe: Recipe, track: Track) -> Probe | None:
    """The AR probe of a cell: the track's, with the recipe's own model or optimisation where it brings them."""
    if track.probe is None or not recipe.judged:
        return None
    train = recipe.train_ar or track.probe.train
    if recipe.ar is None:
        return replace(track.probe, train=train)
    own = cast(ARConfig, recipe.ar.config).sampler
    sampler = track.probe.sampler if isinstance(track.probe.sampler, own) else own()
    return Probe(recipe.ar, train, track.probe.budget, sampler)


def track_identity(track: Track) -> dict[str, Any]:
    """What numbers on a track depend on; its summary and how its tables are shown do not count."""
    dump = track.dump(places=False)
    for name in ("summary", "columns", "seeds", "main"):
        del dump[name]
    return dump


def _check_columns(at: Resolver, track: Track) -> None:
    """Rows are sorted by what the track measures and has a better; columns are of any metric, measured here or not."""
    known = _reports([slot.config for slot in track.metrics])
    if track.main not in known:
        raise at.fail(("main",), f"no metric of the track reports '{track.main}'; {suggest(track.main, known)}")
    if known[track.main].better is None or known[track.main].observed:
        ranked = sorted(info.id for info in known.values() if info.better and not info.observed)
        why = "varies from run to run" if known[track.main].observed else "has no better and no worse"
        raise at.fail(("main",), f"'{track.main}' {why}; sort by {' or '.join(ranked) or 'another metric'}")
    for metric in track.columns:
        if metric not in known:
            # Only now: this imports the config of every metric there is.
            entries, wrong = at.catalogue.sound("metric")
            known = _reports([entry.config for entry in entries]) | known
            if metric not in known:
                problem = f"no metric reports '{metric}'; {suggest(metric, known)}"
                raise at.fail(("columns",), "; ".join([problem, *wrong]))
        if known[metric].observed:
            raise at.fail(("columns",), f"'{metric}' varies from run to run and stands in no table")


def _reports(configs: Sequence[Any]) -> dict[str, MetricInfo]:
    """What metrics report, by id."""
    return {info.id: info for config in configs for info in cast(MetricConfig, config).reports}
