"""A whole plugin under test: how it loads, its recipes, tracks and suites, and each of its components."""

from collections.abc import Callable, Iterator
from typing import Any

from tokzoo.contracts.errors import TokzooError, describe
from tokzoo.recipes.load import load_recipe, load_suite, load_track, plan_recipes
from tokzoo.registry.component import import_target
from tokzoo.registry.plugins import Plugin, Registry
from tokzoo.testing.conformance import Finding, check_component


def check_plugin(plugin: Plugin, registry: Registry) -> Iterator[Finding]:
    """Check everything a plugin offers, one finding after the other.

    A component is tried in its ``example`` config; recipes, tracks and suites are read against everything installed;
    formats and renderers are imported.
    """
    if plugin.error:
        yield Finding(f"plugin {plugin.name}", "loads", "failed", plugin.error)
        return
    yield Finding(f"plugin {plugin.name}", "loads", "passed")
    for note in plugin.notes:
        yield Finding(f"plugin {plugin.name}", "has_no_notes", "failed", note)
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


READERS: dict[str, Callable[[str, Registry], Any]] = {
    "recipe": load_recipe,
    "track": load_track,
    "suite": lambda name, registry: plan_recipes(load_suite(name, registry), registry),
    "format": lambda name, registry: registry.formats[name].load(),
    "renderer": _renderer,
}
"""How each offer that is no component is read."""
