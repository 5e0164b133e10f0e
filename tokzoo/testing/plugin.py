"""A whole plugin under test: how it loads, its recipes, tracks and suites, and each of its components."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, cast

from tokzoo.contracts.configs import DatasetConfig
from tokzoo.contracts.errors import Refusal, TokzooError, describe
from tokzoo.recipes.load import load_recipe, load_suite, load_track, plan_recipes
from tokzoo.recipes.models import Recipe, Track
from tokzoo.recipes.resolve import probe_of
from tokzoo.recipes.solver import check_ar, solve
from tokzoo.registry.component import import_target
from tokzoo.registry.plugins import Plugin, Registry
from tokzoo.testing.conformance import Finding, check_component


def check_plugin(plugin: Plugin, registry: Registry) -> Iterator[Finding]:
    """Check everything a plugin offers, one finding after the other.

    A component is tried in its ``example`` config; recipes, tracks and suites are read against everything installed,
    and recipes solved: alone on the tracks there are, until one fits, and in a suite on its track; formats and
    renderers are imported.
    """
    if plugin.error:
        yield Finding(f"plugin {plugin.name}", "loads", "failed", plugin.error)
        return
    yield Finding(f"plugin {plugin.name}", "loads", "passed")
    for note in plugin.notes:
        yield Finding(f"plugin {plugin.name}", "loads_without_warnings", "failed", note)
    for entry in registry.components:
        if entry.plugin == plugin.name:
            yield from check_component(entry, registry.components, registry.files)
    for offer in plugin.offers:
        kind, _, name = offer.partition("/")
        if kind in READERS:
            yield _read(offer, lambda read=READERS[kind], name=name: read(name, registry))  # type: ignore[misc]


def _read(offer: str, read: Callable[[], Any]) -> Finding:
    try:
        read()
    except TokzooError as error:
        return Finding(offer, "can_be_read", "failed", describe(error))
    # Whatever a plugin's own code raises is a finding about it.
    except Exception as error:
        return Finding(offer, "can_be_read", "failed", f"raised {describe(error)}")
    return Finding(offer, "can_be_read", "passed")


def _renderer(name: str, registry: Registry) -> None:
    target = registry.renderers[name]
    found = import_target(target, f"renderer {name}")
    if not callable(found):
        raise TokzooError(f"renderer {name}: {target} is {found!r}, not a function")


def _recipe(name: str, registry: Registry) -> None:
    """Solve a recipe on the tracks there are, until it fits one."""
    recipe = load_recipe(name, registry)
    refusals: dict[str, str] = {}
    for known in registry.tracks:
        try:
            track = load_track(known, registry)
        except TokzooError:
            continue  # it is told where tracks are read
        try:
            _solve(recipe, track, registry)
            return
        except Refusal as refusal:
            refusals.setdefault(str(refusal), known)
    if refusals:
        told = "; ".join(f"{refusal} (on {known})" for refusal, known in refusals.items())
        raise TokzooError(f"it fits together on no track: {told}")


def _suite(name: str, registry: Registry) -> None:
    """Solve every recipe of a suite on its track."""
    for recipe, track in plan_recipes(load_suite(name, registry), registry):
        try:
            _solve(recipe, track, registry)
        except Refusal as refusal:
            raise TokzooError(f"{recipe.name} does not fit together on {track.id}: {refusal}") from refusal


def _solve(recipe: Recipe, track: Track, registry: Registry) -> None:
    """Agree the shapes of a recipe for a track's images; of what lies elsewhere the classes may not be known."""
    dataset = cast(DatasetConfig, track.dataset.config)
    names = None
    with suppress(TokzooError):
        names = dataset.class_names()
    chain = solve(recipe, dataset.image_spec(), len(names) if names else None, registry.components)
    probe = probe_of(recipe, track) if chain.codes is not None else None
    if probe is not None:
        check_ar(probe.ar, recipe, chain, registry.components)


READERS: dict[str, Callable[[str, Registry], Any]] = {
    "recipe": _recipe,
    "track": load_track,
    "suite": _suite,
    "format": lambda name, registry: registry.formats[name].load(),
    "renderer": _renderer,
}
"""How each offer that is no component is read."""
