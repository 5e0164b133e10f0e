"""Trees to resolved recipes and tracks, every mistake said with its place."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from tokzoo.contracts.configs import ARConfig, Config, MetricConfig
from tokzoo.contracts.errors import suggest
from tokzoo.contracts.specs import MetricInfo
from tokzoo.recipes.models import Probe, Recipe, Track
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.tree import Tree, at, nested
from tokzoo.registry.catalogue import Catalogue


def resolve_recipe(tree: Tree, catalogue: Catalogue) -> Recipe:
    """A recipe from its merged tree.

    Raises:
        TokzooError: unknown keys, components or fields, or bad values; each on a line, with its place and the nearest
            name.
    """
    join_roles(tree)
    return Resolver(tree, catalogue).validate(Recipe, tree.data, ()).written(tree.origins)


def resolve_track(tree: Tree, catalogue: Catalogue, *, official: bool) -> Track:
    """A track from its merged tree; ``official`` is False once anything in it was overridden.

    Raises:
        TokzooError: as for a recipe.
    """
    at = Resolver(tree, catalogue, "track.")
    track = at.validate(Track, tree.data, ()).written(tree.origins)
    _check_columns(at, track)
    return track if official else track.overridden()


def join_roles(tree: Tree) -> None:
    """Name roles among ``train.tokenizer.parts`` in one way.

    ``parts: {regularizers: {gan: …}}``, which is what an override of ``parts.regularizers.gan`` makes, becomes
    ``parts: {regularizers.gan: …}``, over what is said there already.
    """
    key = ("train", "tokenizer", "parts")
    parts = at(tree.data, key)
    roles = at(parts, ("regularizers",))
    if not isinstance(roles, Mapping):
        return
    del parts["regularizers"]
    inside = {each: origin for each, origin in tree.origins.items() if each[:4] == (*key, "regularizers")}
    origins = {(*key, f"regularizers.{each[4]}", *each[5:]): origin for each, origin in inside.items() if each[4:]}
    named = {f"regularizers.{role}": value for role, value in roles.items()}
    tree.merge(Tree(nested(key, named), origins))


def probe_of(recipe: Recipe, track: Track) -> Probe | None:
    """The AR probe of a cell: the track's, with what the recipe says of the model, its optimisation and its sampler.

    Raises:
        TokzooError: the recipe's ``sampler.ar`` is not of the sampler of that model.
    """
    probe = track.probe
    if probe is None or not recipe.judged:
        return None
    ar, sampler = probe.ar, probe.sampler
    if recipe.ar is not None:
        ar, own = recipe.ar, cast(ARConfig, recipe.ar.config).sampler
        sampler = sampler if isinstance(sampler, own) else own()
    if recipe.sampler.ar is not None:
        sampler = _over(sampler, recipe.sampler.ar, recipe)
    return probe.model_copy(update={"ar": ar, "train": recipe.train.ar or probe.train, "sampler": sampler})


def _over(sampler: Config, said: Mapping[str, Any], recipe: Recipe) -> Config:
    tree = Tree.from_data({"sampler": {"ar": sampler.model_dump(mode="json")}}, "the track's sampler")
    tree.merge(Tree({"sampler": {"ar": said}}, dict(recipe.origins)))
    return Resolver(tree, Catalogue()).validate(type(sampler), tree.data["sampler"]["ar"], ("sampler", "ar"))


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
