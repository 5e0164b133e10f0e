"""Names and files to resolved recipes, tracks and suites, with what the command line changed in them."""

import itertools
import os
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from tokzoo.contracts.configs import Config, DatasetConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.files import beside, dropped, is_file, is_saved, read, recipe_tree, refuse_drop, track_tree
from tokzoo.recipes.hints import refuse_misplaced, refuse_options, several_hinted
from tokzoo.recipes.label import differing, label
from tokzoo.recipes.models import Recipe, Track
from tokzoo.recipes.resolve import resolve_recipe, resolve_track
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.track_changes import lay_over
from tokzoo.recipes.tree import (
    COMMAND_LINE,
    Key,
    Override,
    Tree,
    apply_overrides,
    nested,
    parse_key,
    parse_override,
    parse_value,
)
from tokzoo.registry.plugins import Registry


@dataclass(frozen=True, slots=True)
class Changes:
    """What the command line changes: in the recipe, and in the track (keys under ``track.``)."""

    recipe: tuple[Override, ...] = ()
    track: tuple[Override, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "Changes":
        """From ``key=value`` arguments."""
        return cls.of(map(parse_override, texts))

    @classmethod
    def of(cls, overrides: Iterable[Override]) -> "Changes":
        """Overrides told apart by their first name.

        Raises:
            TokzooError: a track is named by an override, or a recipe is made to extend another.
        """
        recipe: list[Override] = []
        track: list[Override] = []
        for key, value in overrides:
            if key == ("track",):
                raise TokzooError("track=…: name a track with --track; track.KEY=… changes one")
            if key == ("extends",):
                raise TokzooError("extends=…: only a recipe file extends another recipe; name that recipe instead")
            if key[0] == "track":
                track.append((key[1:], value))
            else:
                recipe.append((key, value))
        return cls(tuple(recipe), tuple(track))


def load_recipe(
    name: str,
    registry: Registry,
    changes: Sequence[Override] = (),
    axes: Sequence[Override] = (),
    track: Track | None = None,
) -> Recipe:
    """A resolved recipe: component defaults < recipe < file that extends it < command line < its place in a grid.

    What was changed is said in its name, unless the changes name it; its place in a grid, ``axes``, always. The folder
    of a saved tokenizer is judged as it is, and that is said too. What was meant by a wrong key is looked for in the
    ``track``, if there is one.

    Raises:
        TokzooError: unknown, or something in it is wrong.
    """
    tree = recipe_tree(name, registry)
    judged: list[Override] = []
    if is_saved(name) and (("weights",), None) not in (*changes, *axes):
        judged.append((("weights",), os.path.abspath(name)))
        # How it was trained does not matter, and who trained it so may not be installed.
        tree.drop(("regularizers",))
        tree.drop(("train", "tokenizer"))
    before, called = deepcopy(tree.data), tree.data["name"]
    for key, value in changes:
        for role in dropped(nested(key, value)):
            refuse_drop(tree, role, COMMAND_LINE)
    own = [(key, value) for key, value in axes if key[0] != "track"]
    refuse_options(changes)
    refuse_misplaced((*changes, *own), tree, registry.components, track.dataset.use if track else None)
    with several_hinted((*changes, *own)):
        apply_overrides(tree, (*changes, *own))
        said = [*judged, *differing(changes, before, tree.data)]
        recipe = resolve_recipe(tree, registry.components)
    told = [*(said if recipe.name == called else ()), *axes]
    return recipe.changed(label(recipe, told), (*said, *axes))


def load_track(name: str, registry: Registry, changes: Sequence[Override] = ()) -> Track:
    """A resolved track by ``name@version``, by ``name`` (its highest version) or by file.

    Raises:
        TokzooError: unknown, wrong in itself, or shipped in a file that is not named by its id.
    """
    shipped = not is_file(name)
    path, tree = track_tree(name, registry)
    said = [(("track", *key), value) for key, value in changes]
    refuse_misplaced(said, tree, registry.components, _dataset(tree, changes))
    with several_hinted(said):
        lay_over(tree, lambda changed: apply_overrides(changed, changes), registry.components)
        track = resolve_track(tree, registry.components, official=True)
    if not shipped or not all(_only_says_where(track, key) for key, _ in changes):
        track = track.overridden()
    if shipped and track.official_id != path.stem:
        raise TokzooError(f"track {track.id}: its file is named {path.name}; give both the same name@version")
    return track


def _dataset(tree: Tree, changes: Sequence[Override]) -> str | None:
    """The name of a track's dataset once it is changed; None where it is in doubt."""
    given = [tree.data.get("dataset"), *(nested(key[1:], value) for key, value in changes if key[0] == "dataset")]
    names = [each.get("use") if isinstance(each, dict) else each for each in given]
    return next((name for name in reversed(names) if isinstance(name, str)), None)


def _only_says_where(track: Track, key: Key) -> bool:
    """Whether an override tells a track no more than where a dataset lies whose files come with no package."""
    config = cast(DatasetConfig, track.dataset.config)
    return config.elsewhere and len(key) == 2 and key[0] == "dataset" and key[1] in config.places


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a grid: a key and its values."""

    key: str
    values: tuple[Any, ...]

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """From ``key=[a, b]``; only these brackets make an axis, so that list values stay values."""
        name, equals, value = text.partition("=")
        key = parse_key(name)
        values = parse_value(value, name) if equals else None
        if not key or not isinstance(values, list) or not values:
            raise TokzooError(f"--grid '{text}': expected key=[value, value], such as 'quantizer=[vq, fsq]'")
        return cls(".".join(key), tuple(values))


def grid(axes: Sequence[Axis]) -> list[tuple[Override, ...]]:
    """Every combination of the axes' values; one empty one without axes.

    Raises:
        TokzooError: a key that no override may have.
    """
    refuse_options(((axis.key,), axis.values) for axis in axes)
    keys = [tuple(axis.key.split(".")) for axis in axes]
    members = [tuple(zip(keys, values, strict=True)) for values in itertools.product(*(axis.values for axis in axes))]
    for member in members[:1]:
        Changes.of(member)
    return members


class SuiteFile(Config):
    """A suite as it is written: recipes × track × seeds × grid."""

    name: str
    summary: str = ""
    recipes: tuple[str, ...] = Field(min_length=1)
    track: str
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field((0,), min_length=1)
    grid: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command line asks for: recipes × grid on one track, for some seeds."""

    recipes: tuple[str, ...]
    track: str
    seeds: tuple[int, ...] = (0,)
    axes: tuple[Axis, ...] = ()
    changes: Changes = field(default_factory=Changes)


def is_suite(name: str, registry: Registry) -> bool:
    """Whether a name or a file is a suite and not a recipe: a suite lists recipes."""
    if not is_file(name):
        return name in registry.suites
    return "recipes" in read("suites", name, registry)[1].data


def load_suite(name: str, registry: Registry) -> Plan:
    """A suite by name or file.

    Raises:
        TokzooError: unknown name, or a file that is not a suite, with the field.
    """
    path, tree = read("suites", name, registry)
    tree.data.setdefault("name", path.stem)
    suite = Resolver(tree, registry.components).validate(SuiteFile, tree.data, ())
    axes = tuple(Axis(key, values) for key, values in suite.grid.items())
    recipes = tuple(beside(recipe, path) for recipe in suite.recipes)
    return Plan(recipes, beside(suite.track, path), suite.seeds, axes)


def with_images(plan: Plan, folder: Path, registry: Registry) -> Plan:
    """The plan on a folder of images instead of the track's dataset, brought to the size of that dataset's images."""
    track = load_track(plan.track, registry)
    image = cast(DatasetConfig, track.dataset.config).image_spec()
    if image.size[0] != image.size[1]:
        raise TokzooError(f"--data: track {track.id} is of {image}s, and images of a folder are made square")
    images = {"use": "images", "root": str(folder), "size": image.size[0], "channels": image.channels}
    # First, so that track.dataset.… on the command line can say more of it.
    changes = replace(plan.changes, track=((("dataset",), images), *plan.changes.track))
    return replace(plan, changes=changes)


def plan_recipes(plan: Plan, registry: Registry) -> list[tuple[Recipe, Track]]:
    """Every recipe of a plan, resolved, with its track."""
    members = grid(plan.axes)
    tracks = [load_track(plan.track, registry, (*plan.changes.track, *Changes.of(each).track)) for each in members]
    return [
        (load_recipe(name, registry, plan.changes.recipe, member, track), track)
        for name in plan.recipes
        for member, track in zip(members, tracks, strict=True)
    ]
