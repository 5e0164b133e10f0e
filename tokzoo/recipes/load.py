"""Names and files to resolved recipes, tracks and suites, with what the command line changed in them."""

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import Field

from tokzoo.contracts.configs import Config, DatasetConfig
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.hashing import canonical
from tokzoo.recipes.models import Recipe, Track
from tokzoo.recipes.resolve import join_roles, resolve_recipe, resolve_track
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.saved import RECIPE
from tokzoo.recipes.tree import Key, Tree, apply_overrides, parse_key, parse_override, parse_value
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


def recipe_tree(name: str, registry: Registry) -> Tree:
    """The tree of a recipe by name or by file, laid over the recipe it ``extends``.

    Raises:
        TokzooError: no such recipe, a file that is not one, or recipes that extend each other in a circle.
    """
    trees: list[Tree] = []
    paths: list[Path] = []
    origin, wanted = "", name
    while wanted:
        try:
            path, tree = _read("recipes", wanted, registry)
        except TokzooError as error:
            raise TokzooError(f"extends: {error} ({origin})") if trees else error from None
        if path.resolve() in paths:
            circle = " → ".join(each.name for each in (*paths, path))
            raise TokzooError(f"extends: recipes extend each other in a circle, {circle} ({origin})")
        paths.append(path.resolve())
        trees.append(tree)
        join_roles(tree)
        if tree.data.get("name") is None:
            tree.data["name"] = path.stem
        parent, origin = tree.data.pop("extends", None), tree.origin(("extends",))
        wanted = _beside(str(parent), path) if parent is not None else ""
    merged = trees[-1]
    for tree in reversed(trees[:-1]):
        merged.merge(tree)
    merged.origins[()] = trees[0].origins[()]
    return merged


def _is_file(name: str) -> bool:
    return name.endswith((".yaml", ".yml")) or (Path(name) / RECIPE).is_file()


def _read(what: str, name: str, registry: Registry) -> tuple[Path, Tree]:
    """The file of a recipe, track or suite, and its tree. A user's own file is told by its path, ours by its name.

    A folder stands for the recipe in it; a saved model that a recipe names is looked for beside its file.
    """
    if not _is_file(name):
        path = find_file(registry, what, name)
        return path, Tree.from_file(path, path.name)
    path = Path(name) / RECIPE if (Path(name) / RECIPE).is_file() else Path(name)
    tree = Tree.from_file(path)
    init, ar = tree.data.get("init"), tree.data.get("ar")
    named = [(tree.data, "weights"), (init, "folder") if isinstance(init, dict) else (tree.data, "init")]
    for holder, key in [*named, (ar, "weights")]:
        if isinstance(holder, dict) and isinstance(holder.get(key), str):
            holder[key] = str(path.parent / Path(holder[key]).expanduser())
    return path, tree


def _beside(parent: str, child: Path) -> str:
    """A file named by a recipe is looked for beside that recipe."""
    return str(child.parent / parent) if _is_file(parent) else parent


def load_recipe(name: str, registry: Registry, changes: Sequence[Override] = (), suffix: str = "") -> Recipe:
    """A resolved recipe: component defaults < recipe < file that extends it < command line.

    ``suffix`` is put after its name, to tell the members of a grid apart.
    """
    tree = recipe_tree(name, registry)
    apply_overrides(tree, changes)
    if suffix:
        tree.data["name"] = f"{tree.data['name']}{suffix}"
    return resolve_recipe(tree, registry.components)


def load_track(name: str, registry: Registry, changes: Sequence[Override] = ()) -> Track:
    """A resolved track by ``name@version``, by ``name`` (its highest version) or by file.

    Raises:
        TokzooError: unknown, wrong in itself, or shipped in a file that is not named by its id.
    """
    shipped = not _is_file(name)
    path, tree = _read("tracks", _latest(name, registry), registry)
    apply_overrides(tree, changes)
    track = resolve_track(tree, registry.components, official=True)
    if not shipped or not all(_only_says_where(track, key) for key, _ in changes):
        track = track.overridden()
    if shipped and track.official_id != path.stem:
        raise TokzooError(f"track {track.id}: its file is named {path.name}; give both the same name@version")
    return track


def _only_says_where(track: Track, key: Key) -> bool:
    """Whether an override tells a track no more than where a dataset lies whose files come with no package."""
    config = cast(DatasetConfig, track.dataset.config)
    return config.elsewhere and len(key) == 2 and key[0] == "dataset" and key[1] in config.places


def _latest(name: str, registry: Registry) -> str:
    """The highest version of a track named without one."""
    versions = [known for known in registry.tracks if re.fullmatch(rf"{re.escape(name)}@\d+", known)]
    return max(versions, key=lambda known: int(known.rpartition("@")[2]), default=name)


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


def grid(axes: Sequence[Axis]) -> list[tuple[str, Changes]]:
    """Every combination of the axes' values: a suffix that names it, and its changes. One empty one without axes."""
    members = []
    for values in itertools.product(*(axis.values for axis in axes)):
        pairs = list(zip((axis.key for axis in axes), values, strict=True))
        label = ", ".join(f"{key}={_short(value)}" for key, value in pairs)
        changes = Changes.of((tuple(key.split(".")), value) for key, value in pairs)
        members.append((f" [{label}]" if label else "", changes))
    return members


def _short(value: Any) -> str:
    """A value in a name: a component by its name alone where nothing else is said of it."""
    if isinstance(value, Mapping) and set(value) == {"use"}:
        return str(value["use"])
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_short(inner)}" for name, inner in value.items()) + "}"
    return value if isinstance(value, str) else canonical(value)


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
    if not _is_file(name):
        return name in registry.suites
    return "recipes" in _read("suites", name, registry)[1].data


def load_suite(name: str, registry: Registry) -> Plan:
    """A suite by name or file.

    Raises:
        TokzooError: unknown name, or a file that is not a suite, with the field.
    """
    path, tree = _read("suites", name, registry)
    tree.data.setdefault("name", path.stem)
    suite = Resolver(tree, registry.components).validate(SuiteFile, tree.data, ())
    axes = tuple(Axis(key, values) for key, values in suite.grid.items())
    recipes = tuple(_beside(recipe, path) for recipe in suite.recipes)
    return Plan(recipes, _beside(suite.track, path), suite.seeds, axes)


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
    pairs = []
    for name in plan.recipes:
        for suffix, member in grid(plan.axes):
            recipe = load_recipe(name, registry, (*plan.changes.recipe, *member.recipe), suffix)
            track = load_track(plan.track, registry, (*plan.changes.track, *member.track))
            pairs.append((recipe, track))
    return pairs
