"""What a recipe is called that was changed: its name with the changes, so that it never passes for its parent."""

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from tokzoo.contracts.text import printable
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.models import LONGEST_NAME, Recipe
from tokzoo.recipes.slots import Slot
from tokzoo.recipes.tree import APPEND, Key, Override, at

LONGEST_VALUE = 32
LONGEST = 80
"""Of all that is said beside the name, before it becomes a number of changes and their hash."""

_FOLDERS = {("weights",), ("init",), ("init", "folder"), ("ar", "weights")}
_MISSING = object()


def differing(changes: Iterable[Override], before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Override]:
    """The changes that made a difference to a recipe's values."""

    def value(data: Mapping[str, Any], key: Key) -> str:
        return repr(at(data, (*key[:-1], key[-1].removesuffix(APPEND)), _MISSING))

    return [(key, given) for key, given in changes if value(before, key) != value(after, key)]


def label(recipe: Recipe, changes: Iterable[Override]) -> str:
    """The recipe's name with what was changed in it: ``gigatok-2d-nano quantizer=me/sign``.

    Only the last name of a path is said, and nothing of where things lie on this machine.
    """
    told: dict[str, str] = {}
    # A component before what is said of it.
    for key, value in sorted(changes, key=lambda change: _told_as(change[0])):
        kind = _kind(recipe, key)
        if kind != "place" and key not in (("name",), ("summary",)):
            told[".".join(_told_as(key))] = short(value, path=kind is not None)
    if not told:
        return recipe.name
    said = " ".join(f"{key}={_cut(text)}" for key, text in told.items())
    if len(said) > LONGEST:
        said = f"{len(told)} changes ({content_hash(told, 8)})"
    return printable(f"{_cut(recipe.name, LONGEST_NAME - LONGEST - 1)} {said}")


def _told_as(key: Key) -> Key:
    return key[:-1] if key[-1] == "use" else key


def _kind(recipe: Recipe, key: Key) -> str | None:
    """Whether the field at a key holds a path: to what counts by its ``content``, or to a mere ``place``."""
    if key in _FOLDERS:
        return "content"
    holder: Any = recipe
    for name in key[:-1]:
        holder = holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
        holder = holder.config if isinstance(holder, Slot) else holder
    if key[-1] in getattr(holder, "places", ()):
        return "place"
    return "content" if key[-1] in getattr(holder, "contents", ()) else None


def short(value: Any, path: bool = False) -> str:
    """A value in a label: a component by its name alone where nothing else is said of it."""
    if isinstance(value, Mapping):
        if set(value) == {"use"}:
            return short(value["use"])
        return "{" + ", ".join(f"{name}: {short(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(short, value)) + "]"
    if isinstance(value, str | PurePath):
        text = str(value)
        return PurePath(text).name if path or text.startswith(("/", "~", "./", "../")) else text
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _cut(text: str, longest: int = LONGEST_VALUE) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
