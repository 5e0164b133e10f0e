"""Trees to resolved recipes and tracks: names looked up, values validated, every mistake said with its place."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from tokzoo.contracts.configs import ARConfig, Config, MetricConfig
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.data.config import Augmentation
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.models import Budget, Optimization, Probe, Recipe, Slot, Track
from tokzoo.recipes.tree import Key, Tree
from tokzoo.registry.catalogue import Catalogue

C = TypeVar("C", bound=Config)

RECIPE_KEYS = ("name", "summary", "extends", "encoder", "quantizer", "decoder", "regularizers", "ar", "train")
TRACK_KEYS = (
    "name",
    "version",
    "summary",
    "dataset",
    "augment",
    "tokenizer",
    "probe",
    "metrics",
    "evaluation_batch",
    "main",
    "columns",
    "seeds",
)
PROBE_KEYS = ("ar", "train", "steps", "batch", "sampler")


class Resolver:
    """Resolves one tree against a catalogue. ``prefix`` stands before its keys in messages (``track.``)."""

    def __init__(self, tree: Tree, catalogue: Catalogue, prefix: str = "") -> None:
        self.tree = tree
        self.catalogue = catalogue
        self.prefix = prefix

    def fail(self, key: Key, problem: str) -> TokzooError:
        """An error at a key: where, what, and where the value was written."""
        return TokzooError(f"{self.prefix}{'.'.join(key)}: {problem} ({self.tree.origin(key)})")

    def mapping(self, key: Key, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        """The mapping at ``key`` ({} where there is none), its keys checked against ``known``."""
        value = self.value(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fail(key, f"expected a mapping, found {value!r}")
        for name in value if known else ():
            if known and name not in known:
                raise self.fail((*key, name), f"unknown; {suggest(name, known)}")
        return value

    def value(self, key: Key) -> Any:
        """The value at ``key``, None where it is not given."""
        value: Any = self.tree.data
        for name in key:
            if not isinstance(value, Mapping):
                return None
            value = value.get(name)
        return value

    def slot(self, kind: str, key: Key, value: Any = None) -> Slot:
        """The component at ``key``, which must be given."""
        value = self.value(key) if value is None else value
        if value is None:
            names = ", ".join(entry.spec.name for entry in self.catalogue.of_kind(kind))
            raise self.fail(key, f"missing: name a {kind} ({names})")
        fields = {"use": value} if isinstance(value, str) else value
        if not isinstance(fields, Mapping) or not isinstance(fields.get("use"), str):
            raise self.fail(key, f"expected a {kind} as {{use: NAME, …}}, found {value!r}")
        try:
            entry = self.catalogue.get(kind, fields["use"])
        except TokzooError as error:
            raise self.fail((*key, "use"), str(error)) from None
        rest = {name: field for name, field in fields.items() if name != "use"}
        return Slot(kind, entry, self.validate(entry.spec.config, rest, key))

    def validate(self, model: type[C], data: Any, key: Key) -> C:
        """``data`` as a config model; every mistake in one error, a line each."""

        def reference(kind: str, value: Any) -> Slot:
            return self.slot(kind, (*key, kind), value)

        try:
            return model.model_validate(data, context={"resolve": reference})
        except ValidationError as error:
            raise TokzooError("\n".join(self._explain(model, key, problem) for problem in error.errors())) from None

    def _explain(self, model: type[BaseModel], key: Key, problem: Any) -> str:
        place = tuple(str(part) for part in problem["loc"] if not _is_branch(part))
        if problem["type"] == "extra_forbidden":
            known = _fields_at(model, place[:-1])
            return str(self.fail((*key, *place), f"unknown; {suggest(place[-1], known)}"))
        if problem["type"] == "missing":
            return str(self.fail((*key, *place), "missing"))
        message = problem["msg"].removeprefix("Value error, ")
        given = "" if isinstance(problem["input"], Mapping) else f", not {problem['input']!r}"
        return str(self.fail((*key, *place), message[:1].lower() + message[1:] + given))


def _is_branch(part: Any) -> bool:
    """Whether a location names the branch of a union pydantic tried, which says nothing to a user."""
    return isinstance(part, str) and part in {"int", "float", "str", "bool", "none"}


def _fields_at(model: type[BaseModel], place: Key) -> list[str]:
    """The field names of the model nested at ``place``."""
    for name in place:
        field = model.model_fields.get(name)
        nested = [t for t in (field.annotation, *get_args(field.annotation)) if _is_model(t)] if field else []
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def resolve_recipe(tree: Tree, catalogue: Catalogue) -> Recipe:
    """A recipe from its merged tree.

    Raises:
        TokzooError: an unknown key, component or field, or a bad value; with its place and the nearest name.
    """
    at = Resolver(tree, catalogue)
    at.mapping((), RECIPE_KEYS)
    roles = at.mapping(("regularizers",))
    at.mapping(("train",), ("tokenizer", "ar"))
    own_ar = at.slot("ar", ("ar",)) if at.value(("ar",)) is not None else None
    train_ar = at.value(("train", "ar"))
    return Recipe(
        name=str(at.value(("name",)) or "unnamed"),
        summary=str(at.value(("summary",)) or ""),
        encoder=at.slot("encoder", ("encoder",)),
        quantizer=at.slot("quantizer", ("quantizer",)),
        decoder=at.slot("decoder", ("decoder",)),
        regularizers={
            role: at.slot("regularizer", ("regularizers", role)) for role, value in roles.items() if value is not None
        },
        train=at.validate(Optimization, at.mapping(("train", "tokenizer")), ("train", "tokenizer")),
        ar=own_ar,
        judged=own_ar is not None or "ar" not in tree.data,
        train_ar=at.validate(Optimization, train_ar, ("train", "ar")) if train_ar is not None else None,
        origins=tree.origins,
    )


def resolve_track(tree: Tree, catalogue: Catalogue, *, official: bool) -> Track:
    """A track from its merged tree; ``official`` is False once anything in it was overridden.

    Raises:
        TokzooError: as for a recipe.
    """
    at = Resolver(tree, catalogue, "track.")
    at.mapping((), TRACK_KEYS)
    for required in ("name", "version", "dataset", "tokenizer", "metrics", "main"):
        if at.value((required,)) is None:
            raise at.fail((required,), "missing")
    metrics = at.value(("metrics",))
    if not isinstance(metrics, list):
        raise at.fail(("metrics",), f"expected a list of metrics, found {metrics!r}")
    track = Track(
        id=f"{at.value(('name',))}@{at.value(('version',))}",
        summary=str(at.value(("summary",)) or ""),
        dataset=at.slot("dataset", ("dataset",)),
        augment=at.validate(Augmentation, at.mapping(("augment",)), ("augment",)),
        budget=at.validate(Budget, at.value(("tokenizer",)), ("tokenizer",)),
        probe=_probe(at) if at.value(("probe",)) is not None else None,
        metrics=tuple(at.slot("metric", ("metrics",), metric) for metric in metrics),
        evaluation_batch=_positive(at, "evaluation_batch", 250),
        main=str(at.value(("main",))),
        columns=tuple(at.value(("columns",)) or ()),
        seeds=_positive(at, "seeds", 3),
        origins=tree.origins,
    )
    _check_columns(at, track)
    if official:
        return track
    return replace(track, id=f"{track.id}+{content_hash(track_identity(track), 8)}")


def _probe(at: Resolver) -> Probe:
    fields = at.mapping(("probe",), PROBE_KEYS)
    budget = {name: fields[name] for name in ("steps", "batch") if name in fields}
    return make_probe(
        at,
        at.slot("ar", ("probe", "ar")),
        at.validate(Optimization, at.mapping(("probe", "train")), ("probe", "train")),
        at.validate(Budget, budget, ("probe",)),
        at.mapping(("probe", "sampler")),
    )


def make_probe(at: Resolver, ar: Slot, train: Optimization, budget: Budget, sampler: dict[str, Any]) -> Probe:
    """A probe whose sampler is validated by the AR model that owns it."""
    config = ar.config
    if not isinstance(config, ARConfig):
        raise at.fail(("probe", "ar"), f"{ar.use} is not an AR model")
    return Probe(ar, train, budget, at.validate(type(config).sampler, sampler, ("probe", "sampler")))


def probe_of(recipe: Recipe, track: Track) -> Probe | None:
    """The AR probe of a cell: the track's, with the recipe's own model or optimisation where it brings them."""
    if track.probe is None or not recipe.judged:
        return None
    train = recipe.train_ar or track.probe.train
    if recipe.ar is None:
        return Probe(track.probe.ar, train, track.probe.budget, track.probe.sampler)
    config = recipe.ar.config
    assert isinstance(config, ARConfig)
    same = isinstance(track.probe.sampler, type(config).sampler)
    return Probe(recipe.ar, train, track.probe.budget, track.probe.sampler if same else type(config).sampler())


def track_identity(track: Track) -> dict[str, Any]:
    """What numbers on a track depend on; its summary and the order of its columns do not count."""
    dump = track.dump()
    for name in ("summary", "columns", "seeds", "main"):
        del dump[name]
    return dump


def _positive(at: Resolver, name: str, default: int) -> int:
    value = at.value((name,))
    if value is None:
        return default
    if not isinstance(value, int) or value < 1:
        raise at.fail((name,), f"expected a positive whole number, not {value!r}")
    return value


def _check_columns(at: Resolver, track: Track) -> None:
    configs = [slot.config for slot in track.metrics if isinstance(slot.config, MetricConfig)]
    reported = [info.id for config in configs for info in config.reports]
    for key, ids in (("main", (track.main,)), ("columns", track.columns)):
        for metric in ids:
            if metric not in reported:
                raise at.fail((key,), f"no metric of the track reports '{metric}'; {suggest(metric, reported)}")
