"""Names for rows: recipes of one name are told apart by what they differ in."""

from collections.abc import Mapping, Sequence
from typing import Any

from tokzoo.recipes.hashing import canonical
from tokzoo.records.schema import Named

FEW = 3
"""More differences than these are not spelt out."""


def labels(recipes: Sequence[Named]) -> list[str]:
    """A label for each recipe, no two alike: its name, with the few values that set it apart, or with its hash."""
    groups: dict[str, list[Named]] = {}
    for recipe in recipes:
        groups.setdefault(recipe.name, []).append(recipe)
    found = {id(recipe): label for group in groups.values() for recipe, label in zip(group, _apart(group), strict=True)}
    return [found[id(recipe)] for recipe in recipes]


def _apart(recipes: Sequence[Named]) -> list[str]:
    """Labels of recipes that share a name."""
    if len(recipes) == 1:
        return [recipes[0].name]
    values = [_flat(recipe.content) for recipe in recipes]
    keys = sorted({key for each in values for key in each if any(other.get(key) != each[key] for other in values)})
    # Another component has other fields: its name says enough.
    swapped = tuple(key.removesuffix("use") for key in keys if key.endswith(".use"))
    keys = [key for key in keys if key.endswith(".use") or not key.startswith(swapped)]
    told = [", ".join(f"{key}={each.get(key, '–')}" for key in keys) for each in values]
    if len(keys) > FEW or len(set(told)) < len(told):
        return [f"{recipe.name} ({recipe.hash[:8]})" for recipe in recipes]
    return [f"{recipe.name} [{text}]" for recipe, text in zip(recipes, told, strict=True)]


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The values of a recipe by dotted key, but not what it is called."""
    flat: dict[str, str] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif prefix or name not in ("name", "summary"):
            flat[f"{prefix}{name}"] = value if isinstance(value, str) else canonical(value)
    return flat
