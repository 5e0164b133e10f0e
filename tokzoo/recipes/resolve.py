"""Trees to resolved recipes and tracks: names looked up, values validated, every mistake said with its place."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

from pydantic import Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from tokzoo.contracts.configs import ARConfig, Config, MetricConfig
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.contracts.specs import MetricInfo
from tokzoo.data.config import Augmentation
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.mistakes import REFERENCE, Mistakes, explain, not_finite
from tokzoo.recipes.models import Budget, Optimization, Probe, Recipe, Slot, Track
from tokzoo.recipes.tree import Key, Tree
from tokzoo.registry.catalogue import Catalogue

C = TypeVar("C", bound=Config)

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


RECIPE_KEYS = (*RecipeFields.model_fields, "extends", *PARTS, "regularizers", "ar", "train")
TRACK_KEYS = (*TrackFields.model_fields, "dataset", "probe", "metrics")


class Resolver:
    """Resolves one tree against a catalogue. ``prefix`` stands before its keys in messages (``track.``)."""

    def __init__(self, tree: Tree, catalogue: Catalogue, prefix: str = "") -> None:
        self.tree = tree
        self.catalogue = catalogue
        self.prefix = prefix

    def fail(self, key: Key, problem: str) -> TokzooError:
        """An error at a key: where, what, and where the value was written."""
        place = f"{self.prefix}{'.'.join(key)}".rstrip(".")
        return TokzooError(f"{place}{': ' if place else ''}{problem} ({self.tree.origin(key)})")

    def each(self, /, *checks: Callable[[], Any], **makers: Callable[[], Any]) -> dict[str, Any]:
        """What each maker gives; where checks or makers fail, all their errors in one, a line each."""
        found: dict[str, Any] = {}
        errors: dict[str, None] = {}
        for name, make in [*((None, check) for check in checks), *makers.items()]:
            try:
                made = make()
            except TokzooError as error:
                errors.update(dict.fromkeys(str(error).splitlines()))
            else:
                if name is not None:
                    found[name] = made
        if errors:
            raise TokzooError("\n".join(errors))
        return found

    def mapping(self, key: Key, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The mapping at ``key`` ({} where there is none), its keys checked against ``known``."""
        value = self.value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fail(key, f"expected a mapping, found {value!r}")
        unknown = [name for name in value if known and name not in known]
        if unknown:
            lines = [str(self.fail((*key, name), f"unknown; {suggest(name, known or ())}")) for name in unknown]
            raise TokzooError("\n".join(lines))
        return value

    def value(self, key: Key) -> Any:
        """The value at ``key``, None where it is not given."""
        value: Any = self.tree.data
        for name in key:
            if isinstance(value, list):
                value = value[int(name)]
            else:
                value = value.get(name) if isinstance(value, Mapping) else None
        return value

    def slot(self, kind: str, key: Key) -> Slot:
        """The component at ``key``, which must be given."""
        return self._placed(key, lambda: self._slot(kind, self.value(key)))

    def validate(self, model: type[C], data: Any, key: Key) -> C:
        """``data`` as a config model; every mistake in one error, a line each."""
        return self._placed(key, lambda: self._config(model, data))

    def fields(self, model: type[C]) -> C:
        """The model's fields from the top of the tree; null is as good as not given."""
        given = {name: self.value((name,)) for name in model.model_fields}
        return self.validate(model, {name: value for name, value in given.items() if value is not None}, ())

    def _placed(self, key: Key, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except Mistakes as mistakes:
            lines = [str(self.fail((*key, *inner), text)) for inner, text in mistakes.problems]
            raise TokzooError("\n".join(lines)) from None

    def _slot(self, kind: str, value: Any) -> Slot:
        if value is None:
            names = ", ".join(entry.spec.name for entry in self.catalogue.of_kind(kind))
            raise Mistakes([((), f"missing; give the name of one: {names or 'none is known'}")])
        fields = {"use": value} if isinstance(value, str) else value
        if not isinstance(fields, Mapping) or not isinstance(fields.get("use"), str):
            raise Mistakes([((), f"expected {{use: NAME, …}} with the name of a component, found {value!r}")])
        try:
            entry = self.catalogue.get(kind, fields["use"])
        except TokzooError as error:
            raise Mistakes([(("use",), str(error))]) from None
        rest = {name: field for name, field in fields.items() if name != "use"}
        return Slot(kind, entry, self._config(entry.spec.config, rest))

    def _config(self, model: type[C], data: Any) -> C:
        def reference(kind: str, value: Any) -> Slot:
            try:
                return self._slot(kind, value)
            except Mistakes as mistakes:
                # Through pydantic, which knows the key of the field that refers.
                raise PydanticCustomError(REFERENCE, REFERENCE, {"problems": mistakes.problems}) from None

        try:
            made = model.model_validate(data, context={"resolve": reference})
        except ValidationError as error:
            raise Mistakes(explain(model, data, error)) from None
        problems = list(not_finite(made.model_dump()))
        if problems:
            raise Mistakes(problems)
        return made


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
    if official:
        return track
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
    anywhere = _reports([entry.spec.config for entry in at.catalogue.of_kind("metric")])
    for metric in track.columns:
        if metric not in anywhere:
            raise at.fail(("columns",), f"no metric reports '{metric}'; {suggest(metric, anywhere)}")
        if anywhere[metric].observed:
            raise at.fail(("columns",), f"'{metric}' varies from run to run and stands in no table")


def _reports(configs: Sequence[Any]) -> dict[str, MetricInfo]:
    """What metrics report, by id."""
    return {info.id: info for config in configs for info in cast(MetricConfig, config).reports}
