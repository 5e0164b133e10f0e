"""What was meant by a key that is not of a recipe, or by values a comma apart."""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import BaseModel

from tokzoo.contracts.configs import KINDS
from tokzoo.contracts.errors import TokzooError
from tokzoo.data.config import Augmentation
from tokzoo.recipes.label import short
from tokzoo.recipes.models import PARTS, Probe, Recipe, Track
from tokzoo.recipes.optimization import Budget, Optimization
from tokzoo.recipes.tree import APPEND, COMMAND_LINE, Override, Tree, at
from tokzoo.registry.catalogue import Catalogue

OPTIONS = {name: f"--{name}" for name in ("seeds", "data", "grid", "out", "jobs", "device", "plugin")}
OPTIONS["seed"] = "--seeds"
NEXT = re.compile(r",(?=\s*[A-Za-z_][\w.-]*\+?=)")
"""A comma before what looks like another override."""
MANY = 4
"""More places than these are not listed."""


def refuse_options(changes: Iterable[Override]) -> None:
    """Tell what is an option and no field of a recipe.

    Raises:
        TokzooError: there is one.
    """
    for key, value in changes:
        if len(key) == 1 and key[0] in OPTIONS:
            text = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
            raise TokzooError(
                f"{key[0]}: no field of a recipe; give it as {OPTIONS[key[0]]} {text}, in Python as an argument"
            )


def refuse_misplaced(changes: Iterable[Override], tree: Tree, catalogue: Catalogue, dataset: str | None = None) -> None:
    """Tell where a key is that a recipe, or under ``track`` a track, does not have, but something in it does.

    ``dataset`` is the track's; None: it may be any.

    Raises:
        TokzooError: there is one.
    """
    for key, _ in changes:
        on_track = key[0] == "track"
        name = (key[1] if on_track else key[0]).removesuffix(APPEND)
        if len(key) != 1 + on_track or name in (Track if on_track else Recipe).model_fields:
            continue
        places = list(dict.fromkeys(_places(name, tree, catalogue, on_track, dataset)))[:MANY]
        if places:
            said = ".".join(key)
            raise TokzooError(f"{said}: unknown; did you mean {' or '.join(places)}? ({COMMAND_LINE})")


def _places(name: str, tree: Tree, catalogue: Catalogue, on_track: bool, dataset: str | None) -> Iterator[str]:
    """Dotted keys that end in a name: of the recipe's own components first, then of the track."""
    if not on_track:
        roles = at(tree.data, ("regularizers",), {})
        slots = [(place, place, tree.data.get(place)) for place in (*PARTS, "ar")]
        slots += [
            (f"regularizers.{role}", "regularizer", roles[role]) for role in (roles if isinstance(roles, dict) else ())
        ]
        for place, kind, slot in slots:
            use = slot.get("use") if isinstance(slot, dict) else slot
            yield from (f"{place}.{name}" for model in _models(kind, catalogue, use) if name in model.model_fields)
        if name in Optimization.model_fields:
            yield f"train.tokenizer.{name}"
    models: dict[str, Sequence[type[BaseModel]]] = {
        "track": [Track],
        "track.dataset": _models("dataset", catalogue, dataset),
        "track.tokenizer": [Budget],
        "track.probe": [Probe],
        "track.augment": [Augmentation],
    }
    for place, each in models.items():
        if any(name in model.model_fields for model in each):
            yield f"{place}.{name}"


def _models(kind: str, catalogue: Catalogue, use: Any = None) -> list[type[BaseModel]]:
    """The configs of a kind of component, or of one of them; a broken plugin's has no say."""
    assert kind in KINDS
    return [entry.config for entry in catalogue.sound(kind)[0] if use in (None, entry.spec.name)]


@contextmanager
def several_hinted(changes: Sequence[Override]) -> Iterator[None]:
    """Where a wrong value is several, in a list or a comma apart, say how each of them is run, or set."""
    try:
        yield
    except TokzooError as error:
        lines = str(error).splitlines()
        told = list(lines)
        for key, value in changes:
            dotted = ".".join(key)
            if isinstance(value, str) and "," in value:
                each, places = f"[{', '.join(part.strip() for part in value.split(','))}]", (f"{dotted}:", f"{dotted}.")
            elif isinstance(value, list) and len(value) > 1:
                # Of the items of a list that may be one, something else is wrong.
                each, places = short(value), (f"{dotted}: input should be ", f"{dotted}: expected {{use")
            else:
                continue
            hint = f"; to run each of them: --grid '{dotted}={each}'"
            if isinstance(value, str) and NEXT.search(value):
                apart = " ".join(part.strip() for part in NEXT.split(f"{dotted}={value}"))
                hint = f"; each override is an argument of its own, with a space between them: {apart}"
            told = [f"{line}{hint}" if line.startswith(places) else line for line in told]
        if told == lines:
            raise
        raise type(error)("\n".join(told)) from error
