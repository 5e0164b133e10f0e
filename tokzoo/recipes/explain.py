"""Every value of a resolved recipe or track, with where it came from."""

from dataclasses import asdict, dataclass
from typing import Any

from tokzoo.recipes.hashing import canonical
from tokzoo.recipes.models import Recipe, Track
from tokzoo.recipes.tree import Key, Tree


@dataclass(frozen=True, slots=True)
class Line:
    """One value: its dotted key, its text, and its origin (``file:line``, ``command line`` or ``default``)."""

    key: str
    value: str
    origin: str

    def as_dict(self) -> dict[str, str]:
        """As JSON."""
        return asdict(self)


def explain_recipe(recipe: Recipe) -> list[Line]:
    """The recipe's values in the order of a recipe file."""
    return _lines(recipe.dump(), Tree(origins=dict(recipe.origins)), "")


def explain_track(track: Track) -> list[Line]:
    """The track's values, under ``track.``."""
    return _lines(track.dump(), Tree(origins=dict(track.origins)), "track.")


def _lines(data: dict[str, Any], tree: Tree, prefix: str, key: Key = ()) -> list[Line]:
    lines: list[Line] = []
    for name, value in data.items():
        here = (*key, name)
        if isinstance(value, dict) and value:
            lines += _lines(value, tree, prefix, here)
        else:
            text = value if isinstance(value, str) else canonical(value)
            # A field nobody wrote is the component's default, whatever wrote the slot around it. The component itself
            # may be written without ``use``, ``quantizer: vq``, and what is started from without ``folder``.
            short = name in ("use", "folder") and tree.origins.get(key)
            origin = tree.origins.get(here) or short or "default"
            lines.append(Line(prefix + ".".join(here), text, origin))
    return lines
