"""Whether defaults are still what they were. No torch here.

A hash leaves out what equals its default, so a default that changes must raise the version of its component: otherwise
old and new results pass for one another. A snapshot in the author's repository shows what the defaults were::

    python -m tokzoo.testing.defaults tests/defaults.json PLUGIN …   # writes it

    def test_defaults():
        tokzoo.testing.check_defaults(Path(__file__).parent / "defaults.json", "PLUGIN", …)
"""

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel

from tokzoo.contracts.configs import ARConfig, Config, DecoderConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.data.files import read_json, write_json
from tokzoo.recipes.identity import default_of
from tokzoo.recipes.mistakes import models_in
from tokzoo.recipes.models import Recipe, Track
from tokzoo.recipes.resolver import example_slot
from tokzoo.registry.catalogue import Catalogue, Entry
from tokzoo.registry.plugins import Registry, load_registry

ENGINE = "tokzoo"
"""Stands for a plugin: the defaults of recipes, tracks and training."""

Snapshot = Mapping[str, Mapping[str, Any]]
"""By component: its ``version``, and its ``defaults`` by dotted field."""


def check_defaults(snapshot: Path, *plugins: str, registry: Registry | None = None) -> None:
    """Check the components of plugins against a snapshot of their defaults.

    Raises:
        AssertionError: a default changed and the component's version is the same, or the snapshot is out of date; a
            line each, with what to do.
    """
    now = defaults(plugins, registry or load_registry())
    before = read_json(snapshot)
    lines = [*changed(before, now)]
    if not lines and before != now:
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        command = f"python -m tokzoo.testing.defaults {os.path.relpath(snapshot)} {' '.join(plugins)}"
        lines = [f"{snapshot.name} is out of date ({', '.join(names)}); write it anew: {command}"]
    assert not lines, "\n".join(lines)


def write_defaults(snapshot: Path, *plugins: str, registry: Registry | None = None) -> None:
    """Write a snapshot.

    Raises:
        TokzooError: a default changed and the component's version is the same.
    """
    now = defaults(plugins, registry or load_registry())
    lines = [*changed(read_json(snapshot), now)] if snapshot.exists() else []
    if lines:
        raise TokzooError("\n".join(lines))
    write_json(snapshot, now)


def defaults(plugins: tuple[str, ...], registry: Registry) -> Snapshot:
    """The defaults of every component of these plugins, those of the models and samplers it contains too.

    Raises:
        TokzooError: there is no such plugin.
    """
    unknown = set(plugins) - {ENGINE, *(plugin.name for plugin in registry.plugins)}
    if unknown:
        raise TokzooError(f"plugin {', '.join(sorted(unknown))}: unknown")
    found: dict[str, dict[str, Any]] = {}
    if ENGINE in plugins:
        for model in (Recipe, Track):
            found[f"{ENGINE}/{model.__name__}"] = {"version": 0, "defaults": dict(sorted(_defaults(model)))}
    for entry in registry.components:
        if entry.plugin in plugins:
            fields = [*_defaults(entry.config), *_defaults(_sampler(entry, registry.components), "sampler.")]
            name = f"{entry.spec.kind}/{entry.spec.name}"
            found[name] = {"version": entry.spec.version, "defaults": dict(sorted(fields))}
    return found


def changed(before: Snapshot, now: Snapshot) -> Iterator[str]:
    """A line for each default that changed without a new version."""
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        if old["version"] != new["version"]:
            continue
        version = new["version"]
        remedy = f"raise its version from {version}" if version else "write the new value where it is meant"
        for field in sorted(old["defaults"].keys() & new["defaults"].keys()):
            was, default = old["defaults"][field], new["defaults"][field]
            if was != default:
                yield f"{name}: the default of '{field}' was {was!r} and is {default!r}: {remedy}"


def _defaults(model: type[BaseModel], place: str = "", around: tuple[type, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each field with a default, and those of the models that a field may hold."""
    for name, field in model.model_fields.items():
        default = default_of(field)
        if default is not ...:
            yield f"{place}{name}", default
        inside = [each for each in models_in(field.annotation) if each not in around]
        for each in inside:
            branch = f"{each.__name__}." if len(inside) > 1 else ""
            yield from _defaults(each, f"{place}{name}.{branch}", (*around, each))


def _sampler(entry: Entry, catalogue: Catalogue) -> type[Config]:
    sampler = getattr(entry.config, "sampler", Config)
    if isinstance(sampler, type):
        return sampler
    return cast(DecoderConfig | ARConfig, example_slot(entry, catalogue).config).sampler


if __name__ == "__main__":
    try:
        write_defaults(Path(sys.argv[1]), *sys.argv[2:])
    except TokzooError as error:
        sys.exit(str(error))
