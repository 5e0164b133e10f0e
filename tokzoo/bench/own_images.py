"""What a track takes away of the pictures of one's own (``--data``), told before anything runs. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from tokzoo.bench.cell import Cell
from tokzoo.bench.plan import Request
from tokzoo.contracts.configs import DatasetConfig
from tokzoo.contracts.errors import Refusal, TokzooError
from tokzoo.contracts.specs import ImageSpec
from tokzoo.data.files import open_file, shown
from tokzoo.data.opening import open_picture
from tokzoo.data.pictures import find_pictures
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.solver import solve
from tokzoo.registry.catalogue import Catalogue

LOOKED_AT = 64
"""Pictures, from all over the folder: looking at every one would take long."""
GREY = ("1", "L", "LA", "La", "I", "F")


@dataclass(frozen=True, slots=True)
class _Look:
    name: str
    width: int
    height: int
    coloured: bool


def losses(request: Request, cells: Sequence[Cell], catalogue: Catalogue) -> list[str]:
    """One line where pictures lose colour or size, and what would keep them; none where all of that was asked for."""
    axes = (tuple(axis.key.split(".")) for axis in request.axes)
    said = {key[1:] for key in axes if key[0] == "track"} | {key for key, _ in request.changes.track}
    dataset = cells[0].track.dataset
    if request.data is None or dataset.use != "images" or ("dataset",) in said:
        return []
    looks = _look_at(request.data)
    image = cast(DatasetConfig, dataset.config).image_spec()
    size = image.size[0]
    coloured = [look for look in looks if look.coloured and image.channels == 1]
    larger = [look for look in looks if min(look.width, look.height) > size]
    done, keep = [], []
    if coloured and ("dataset", "channels") not in said:
        done.append("made grey")
        keep.append((replace(image, channels=3), "track.dataset.channels=3", "keeps colour"))
    if larger and ("dataset", "size") not in said:
        done += ["cut to their central square"] if any(look.width != look.height for look in larger) else []
        done.append(f"resized to {size}×{size}")
        side = _larger(size, larger)
        keep.append((replace(image, size=(side, side)), f"track.dataset.size={side}", "keeps more of their size"))
    if not done:
        return []
    first = next(look for look in looks if look in coloured or look in larger)
    example = f"{shown(first.name)} ({first.width}×{first.height}{', in colour' if first.coloured else ''})"
    hints = [_hint(*each, cells, catalogue) for each in keep]
    told = "; ".join(filter(None, (", ".join(done), ", ".join(filter(None, hints)))))
    return [f"{shown(request.data)}: pictures such as {example} are {told}"]


def _hint(image: ImageSpec, change: str, gain: str, cells: Sequence[Cell], catalogue: Catalogue) -> str:
    """The change with all that has to be dropped for it; nothing where a tokenizer would not take such images."""
    without: dict[str, None] = {}
    for recipe in {cell.recipe.name: cell.recipe for cell in cells}.values():
        classes = cells[0].data["classes"]
        if recipe.weights is not None or not _takes(recipe, (), image, classes, catalogue):
            return ""
        refusing = [role for role in recipe.regularizers if not _takes(recipe, (role,), image, classes, catalogue)]
        without |= {f"regularizers.{role}=null": None for role in refusing}
    return " ".join((change, *without, gain))


def _takes(recipe: Recipe, roles: Sequence[str], image: ImageSpec, classes: int | None, catalogue: Catalogue) -> bool:
    """Whether its tokenizer, with no other regularizers than these, fits such images."""
    kept = {role: recipe.regularizers[role] for role in roles}
    try:
        solve(recipe.model_copy(update={"regularizers": kept}), image, classes, catalogue)
    except Refusal:
        return False
    return True


def _larger(size: int, looks: Sequence[_Look]) -> int:
    """A size that encoders like: doubled as often as the pictures have so many pixels; else as large as they are."""
    short = min(min(look.width, look.height) for look in looks)
    doubled = size
    while doubled * 2 <= short:
        doubled *= 2
    return doubled if doubled > size else short


def _look_at(folder: Path) -> list[_Look]:
    names = list(find_pictures(folder))
    looks = []
    for name in names[:: len(names) // LOOKED_AT + 1]:
        # One that cannot be opened is told by those who read all of them.
        try:
            with open_file(folder / name) as file, open_picture(file, folder / name, 1) as picture:
                coloured = picture.mode not in GREY and not picture.mode.startswith("I;16")
                looks.append(_Look(name, *picture.size, coloured))
        except (TokzooError, OSError):
            continue
    return looks
