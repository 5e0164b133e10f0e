"""Files of recipes, tracks and suites: found by name or path, and laid over what they extend."""

import os
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from tokzoo.contracts.errors import TokzooError, suggest
from tokzoo.data.files import expanded
from tokzoo.data.run_folder import CellFolder
from tokzoo.recipes.resolve import join_roles
from tokzoo.recipes.saved import DESCRIPTION, Saved
from tokzoo.recipes.track_changes import lay_over
from tokzoo.recipes.tree import Tree
from tokzoo.registry.plugins import Registry, find_file

SUFFIXES = (".yaml", ".yml")


def is_file(name: str) -> bool:
    """Whether a name is the path of a file, or of the folder of a saved tokenizer or of a cell."""
    return name.endswith(SUFFIXES) or is_saved(name)


def is_saved(name: str) -> bool:
    """Whether a name is the path of the folder of a saved tokenizer, or of a cell, which stands for its own."""
    # False of what no path can be, where pathlib raises.
    return os.path.isfile(os.path.join(name, DESCRIPTION)) or CellFolder(Path(name)).is_there()


def read(what: str, name: str, registry: Registry) -> tuple[Path, Tree]:
    """The file of a recipe, track or suite, and its tree. A user's own file is told by its path, ours by its name.

    The folder of a saved tokenizer stands for its recipe, with its weights; a saved model that a recipe names is looked
    for beside its file.
    """
    if not is_file(name):
        _refuse_other_paths(what, name, getattr(registry, what))
        path = find_file(registry, what, name)
        return path, Tree.from_file(path, path.name)
    if is_saved(name):
        if what == "tracks":
            raise TokzooError(f"{name}: a tokenizer, which is run like a recipe; name a track, or its file")
        path = Saved.of(name).folder / DESCRIPTION
        return path, Tree.from_data({**Saved.of(name).recipe, "weights": name}, str(path))
    path = Path(name)
    tree = Tree.from_file(path)
    init, ar = tree.data.get("init"), tree.data.get("ar")
    named = [(tree.data, "weights"), (init, "folder") if isinstance(init, dict) else (tree.data, "init")]
    for holder, key in [*named, (ar, "weights")]:
        if isinstance(holder, dict) and isinstance(holder.get(key), str):
            holder[key] = str(path.parent / expanded(holder[key]))
    return path, tree


def _refuse_other_paths(what: str, name: str, known: Mapping[str, Any]) -> None:
    """Tell of a path that is there, but no file of ours, why it is none."""
    if name in known:
        return
    path, kind = Path(name), what[:-1]
    try:
        if path.is_file():
            raise TokzooError(f"{name}: the file of a {kind} ends in {' or '.join(SUFFIXES)}; rename it so")
        if path.is_dir():
            raise TokzooError(f"{name}: a folder without {DESCRIPTION}; name a {kind}, its file, or a saved tokenizer")
    except (OSError, ValueError):
        return


def beside(parent: str, child: Path) -> str:
    """A file named by another is looked for beside it."""
    return str(child.parent / parent) if is_file(parent) else parent


def recipe_tree(name: str, registry: Registry) -> Tree:
    """The tree of a recipe by name or by file, laid over the recipe it ``extends``.

    Raises:
        TokzooError: no such recipe, a file that is not one, or recipes that extend each other in a circle.
    """
    layers = _layers("recipes", name, registry)
    merged = Tree(origins={(): ""})
    for path, layer in layers:
        join_roles(layer)
        if layer.data.get("name") is None:
            layer.data["name"] = path.stem
        for role in dropped(layer.data):
            refuse_drop(merged, role, layer.origin(("regularizers", role)))
        merged.merge(layer)
    merged.origins[()] = layers[-1][1].origins[()]
    return merged


def dropped(data: Mapping[str, Any]) -> list[str]:
    """The roles that a layer says null of."""
    roles = data.get("regularizers")
    return [str(role) for role, value in roles.items() if value is None] if isinstance(roles, Mapping) else []


def refuse_drop(tree: Tree, role: str, origin: str) -> None:
    """Raise TokzooError unless the recipe has a regularizer in that role, which can be dropped."""
    roles = tree.data.get("regularizers")
    known = [each for each, value in roles.items() if value is not None] if isinstance(roles, Mapping) else []
    if role not in known:
        raise TokzooError(f"regularizers.{role}: there is none to drop; {suggest(role, known)} ({origin})")


def track_tree(name: str, registry: Registry) -> tuple[Path, Tree]:
    """The file of a track, and its tree laid over the track it ``extends``.

    One that extends another is called by its file where it does not say its name and version: ``mine@2.yaml``.

    Raises:
        TokzooError: as for a recipe.
    """
    (path, merged), *layers = _layers("tracks", name, registry)
    for path, layer in layers:
        called, _, version = path.stem.partition("@")
        if layer.data.get("name") is None:
            layer.data["name"] = called
        if layer.data.get("version") is None:
            layer.data["version"] = int(version) if version.isdecimal() else 1
        lay_over(merged, partial(Tree.merge, other=layer), registry.components)
        merged.origins[()] = layer.origins[()]
    return path, merged


def latest(name: str, registry: Registry) -> str:
    """The highest version of a track named without one."""
    versions = [known for known in registry.tracks if re.fullmatch(rf"{re.escape(name)}@\d+", known)]
    return max(versions, key=lambda known: int(known.rpartition("@")[2]), default=name)


def _layers(what: str, name: str, registry: Registry) -> list[tuple[Path, Tree]]:
    """A file and those it extends, one over the other, the lowest first."""
    kind = what[:-1]
    found: list[tuple[Path, Tree]] = []
    origin, wanted = "", name
    while wanted:
        try:
            path, tree = read(what, latest(wanted, registry) if what == "tracks" else wanted, registry)
        except TokzooError as error:
            raise TokzooError(f"extends: {error} ({origin})") if found else error from None
        if path.resolve() in [other.resolve() for other, _ in found]:
            circle = " → ".join(each.name for each in (*(other for other, _ in found), path))
            raise TokzooError(f"extends: {kind}s extend each other in a circle, {circle} ({origin})")
        found.append((path, tree))
        parent, origin = tree.data.pop("extends", None), tree.origin(("extends",))
        wanted = beside(str(parent), path) if parent is not None else ""
    return found[::-1]
