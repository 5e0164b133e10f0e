"""Names for rows: a recipe's own says what was changed in it; those that share one are told apart by their hash."""

from collections import Counter
from collections.abc import Sequence

from tokzoo.records.schema import Named

DIGITS = 8


def labels(recipes: Sequence[Named]) -> list[str]:
    """A label for each recipe, no two alike: its name, with its hash where another has the same."""
    names = Counter(recipe.name for recipe in recipes)
    short = Counter((recipe.name, recipe.hash[:DIGITS]) for recipe in recipes)
    return [
        f"{each.name} ({each.hash[: DIGITS if short[each.name, each.hash[:DIGITS]] == 1 else None]})"
        if names[each.name] > 1
        else each.name
        for each in recipes
    ]
