"""Names and files to resolved recipes, tracks and suites, with what the command line changed in them."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from tokzoo.contracts.configs import Config
from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.recipes.models import Recipe, Track
from tokzoo.recipes.resolve import RECIPE_KEYS, TRACK_KEYS, resolve_recipe, resolve_track
from tokzoo.recipes.tree import Key, Tree, apply_overrides, parse_override, parse_value
from tokzoo.registry.plugins import Registry, find_file

Override = tuple[Key, Any]


@dataclass(frozen=True, slots=True)
class Changes:
    """What the command line changes: in the recipe, and in the track (keys under ``track.``)."""

    recipe: tuple[Override, ...] = ()
    track: tuple[Override, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Changes":
        """From ``key=value`` arguments."""
        recipe, track = [], []
        for key, value in map(parse_override, texts):
            if key[0] == "track":
                if len(key) == 1:
                    raise TokzooError("track=…: name a track with --track; track.KEY=… changes one")
                track.append((key[1:], value))
            else:
                recipe.append((key, value))
        return cls(tuple(recipe), tuple(track))


def recipe_tree(name: str, registry: Registry, seen: tuple[str, ...] = ()) -> Tree:
    """The tree of a recipe by name or by file, laid over the recipe it ``extends``.

    Raises:
        TokzooError: no such recipe, a file that is not one, or recipes that extend each other in a circle.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else find_file(registry, "recipes", name)
    tree = Tree.from_file(path)
    tree.data.setdefault("name", path.stem)
    parent = tree.data.pop("extends", None)
    if parent is None:
        return tree
    if str(path) in seen:
        raise TokzooError(f"{path.name}: recipes extend each other in a circle: {' → '.join((*seen, str(path)))}")
    merged = recipe_tree(_beside(str(parent), path), registry, (*seen, str(path)))
    merged.merge(tree)
    return merged


def _beside(parent: str, child: Path) -> str:
    """A file named by a recipe is looked for beside that recipe."""
    return str(child.parent / parent) if parent.endswith((".yaml", ".yml")) else parent


def load_recipe(name: str, registry: Registry, changes: Sequence[Override] = (), suffix: str = "") -> Recipe:
    """A resolved recipe: component defaults < recipe < file that extends it < command line.

    ``suffix`` is put after its name, to tell the members of a grid apart.
    """
    tree = recipe_tree(name, registry)
    _check_heads(changes, RECIPE_KEYS, "")
    apply_overrides(tree, changes)
    tree.data["name"] = f"{tree.data['name']}{suffix}"
    return resolve_recipe(tree, registry.components)


def load_track(name: str, registry: Registry, changes: Sequence[Override] = ()) -> Track:
    """A resolved track by ``name@version``, by ``name`` (its highest version) or by file."""
    if name.endswith((".yaml", ".yml")):
        path, official = Path(name), False
    else:
        path, official = find_file(registry, "tracks", _latest(name, registry)), not changes
    tree = Tree.from_file(path)
    _check_heads(changes, TRACK_KEYS, "track.")
    apply_overrides(tree, changes)
    return resolve_track(tree, registry.components, official=official)


def _latest(name: str, registry: Registry) -> str:
    if "@" in name:
        return name
    versions = [known for known in registry.tracks if known.rpartition("@")[0] == name]
    return max(versions, key=lambda known: int(known.rpartition("@")[2]), default=name)


def _check_heads(changes: Sequence[Override], known: Sequence[str], prefix: str) -> None:
    for key, _ in changes:
        if key[0] not in known:
            raise TokzooError(f"{prefix}{'.'.join(key)}: unknown; {suggest(key[0], known)} (command line)")


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a grid: a key and its values."""

    key: str
    values: tuple[Any, ...]

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """From ``key=[a, b]``; only these brackets make an axis, so that list values stay values."""
        name, equals, value = text.partition("=")
        values = parse_value(value, name) if equals else None
        if not isinstance(values, list) or not values:
            raise TokzooError(f"--grid '{text}': expected key=[value, value], such as 'quantizer=[vq, fsq]'")
        return cls(name.strip(), tuple(values))


def grid(axes: Sequence[Axis]) -> list[tuple[str, Changes]]:
    """Every combination of the axes' values: a suffix that names it, and its changes. One empty one without axes."""
    members = []
    for values in itertools.product(*(axis.values for axis in axes)):
        pairs = [(tuple(axis.key.split(".")), value) for axis, value in zip(axes, values, strict=True)]
        label = ", ".join(f"{axis.key}={_short(value)}" for axis, value in zip(axes, values, strict=True))
        recipe = tuple((key, value) for key, value in pairs if key[0] != "track")
        track = tuple((key[1:], value) for key, value in pairs if key[0] == "track")
        members.append((f" [{label}]" if label else "", Changes(recipe, track)))
    return members


def _short(value: Any) -> str:
    if value is None:
        return "null"
    return str(value.get("use", value)) if isinstance(value, Mapping) else str(value)


class SuiteFile(Config):
    """A suite as it is written: recipes × track × seeds × grid."""

    name: str
    summary: str = ""
    recipes: tuple[str, ...] = Field(min_length=1)
    track: str
    seeds: tuple[int, ...] = (0,)
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command line asks for: recipes × grid on one track, for some seeds."""

    recipes: tuple[str, ...]
    track: str
    seeds: tuple[int, ...] = (0,)
    axes: tuple[Axis, ...] = ()
    changes: Changes = field(default_factory=Changes)


def load_suite(name: str, registry: Registry) -> Plan:
    """A suite by name or file.

    Raises:
        TokzooError: unknown name, or a file that is not a suite, with the field.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else find_file(registry, "suites", name)
    tree = Tree.from_file(path)
    tree.data.setdefault("name", path.stem)
    try:
        suite = SuiteFile.model_validate(tree.data)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        hint = (
            f"unknown; {suggest(place, SuiteFile.model_fields)}"
            if problem["type"] == "extra_forbidden"
            else problem["msg"]
        )
        raise TokzooError(f"suite {path.name}: {place}: {hint}") from None
    axes = tuple(Axis(key, values) for key, values in suite.grid.items())
    recipes = tuple(_beside(recipe, path) for recipe in suite.recipes)
    return Plan(recipes, suite.track, suite.seeds, axes)


def plan_recipes(plan: Plan, registry: Registry) -> list[tuple[Recipe, Track]]:
    """Every recipe of a plan, resolved, with its track."""
    pairs = []
    for name in plan.recipes:
        for suffix, member in grid(plan.axes):
            recipe = load_recipe(name, registry, (*plan.changes.recipe, *member.recipe), suffix)
            track = load_track(plan.track, registry, (*plan.changes.track, *member.track))
            pairs.append((recipe, track))
    return pairs
