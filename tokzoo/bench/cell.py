"""A cell: recipe × track × seed, checked and with its shapes solved. No torch here."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

from tokzoo.contracts.configs import DatasetConfig, first_step, never_opens
from tokzoo.contracts.errors import Refusal, TokzooError
from tokzoo.contracts.specs import CROPS, Chain, ImageSpec
from tokzoo.data.files import LONGEST_NAME
from tokzoo.recipes.hashing import content_hash
from tokzoo.recipes.models import PARTS, Probe, Recipe, Track
from tokzoo.recipes.optimization import PartTraining
from tokzoo.recipes.resolve import probe_of, resolve_recipe, resolve_track
from tokzoo.recipes.saved import AR_DESCRIPTION, DESCRIPTION, Saved, SavedAR
from tokzoo.recipes.slots import Slot, ask_config
from tokzoo.recipes.solver import check_ar, solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Cell:
    """The unit of running, caching, resuming and failing.

    Attributes:
        probe: the AR model that judges; None where the codes or the track have none.
        data: what identifies the dataset's content.
    """

    recipe: Recipe
    track: Track
    seed: int
    chain: Chain
    probe: Probe | None
    data: dict[str, Any]

    @property
    def recipe_hash(self) -> str:
        """What its results depend on, of the recipe."""
        return content_hash(self.recipe.identity())

    @property
    def track_hash(self) -> str:
        """What its results depend on, of the track."""
        return content_hash({**self.track.identity(), "data": self.data})

    @property
    def id(self) -> str:
        """Its folder's name: readable, and distinct wherever its content is."""
        name = re.sub(r"[^A-Za-z0-9.]+", "-", self.recipe.name).strip("-") or "recipe"
        digest = content_hash([self.recipe_hash, self.track_hash, self.seed], 8)
        end = f"--s{self.seed}--{digest}"
        # The digest tells it from others: of two long names the beginnings will do.
        readable = f"{name}--{self.track.id}".encode()[: LONGEST_NAME - len(end)]
        return readable.decode(errors="ignore") + end

    def dump(self) -> dict[str, Any]:
        """As JSON, for another process."""
        return {
            "recipe": self.recipe.dump(),
            "track": self.track.dump(),
            "override": self.track.override,
            "seed": self.seed,
        }


def make_cell(recipe: Recipe, track: Track, seed: int, catalogue: Catalogue) -> Cell:
    """Check that everything fits before anything is trained.

    Raises:
        Refusal: two components do not fit.
        TokzooError: the dataset cannot be found.
    """
    dataset = cast(DatasetConfig, track.dataset.config)
    image, names = dataset.image_spec(), dataset.class_names()
    classes = len(names) if names else None
    if track.needs_crops and CROPS not in dataset.provides:
        raise Refusal(
            f"{track.id}: dataset '{track.dataset.use}' holds images of one size, from which no crops can be cut; "
            "choose a dataset of picture files such as live-images, or leave out augment.crop and probe.codes: ten-crop"
        )
    if recipe.weights is not None:
        _check_weights(recipe, recipe.weights, image, track, catalogue)
    try:
        chain = solve(recipe, image, classes, catalogue)
        probe = probe_of(recipe, track) if chain.codes is not None else None
        if probe is not None:
            check_ar(probe.ar, recipe, chain, catalogue)
            if probe.ar.weights is not None:
                _check_ar_weights(recipe, probe.ar.weights, chain, catalogue)
    except Refusal as refusal:
        raise Refusal(f"{recipe.name} does not fit together. {refusal}") from None
    data = {
        "use": track.dataset.use,
        "version": track.dataset.entry.spec.version,
        "fingerprint": dataset.fingerprint(),
        "image": asdict(image),
        "classes": classes,
    }
    return Cell(recipe, track, seed, chain, probe, data)


def _check_weights(recipe: Recipe, saved: Saved, image: ImageSpec, track: Track, catalogue: Catalogue) -> None:
    """Refuse weights of another tokenizer than the recipe describes, or of other images than the track's."""
    if saved.image != image:
        raise Refusal(
            f"{recipe.name}: weights: {saved.folder} is of a {saved.image}, and track {track.id} has a {image}; "
            "choose a track with such images"
        )
    parts = {part: saved.recipe[part] for part in PARTS}
    made = resolve_recipe(Tree.from_data(parts, DESCRIPTION), catalogue)
    for part in PARTS:
        wanted, found = (getattr(each, part).dump() for each in (recipe, made))
        # Neither does it matter where something lies, nor what a part once started from.
        config = getattr(recipe, part).config
        for name in sorted({*wanted, *found} - config.places - config.contents):
            if wanted.get(name) != found.get(name):
                raise Refusal(
                    f"{recipe.name}: weights: {saved.folder} was made with {part}.{name} {found.get(name)!r}, and this "
                    f"recipe says {wanted.get(name)!r}; leave the parts as they were, or train anew with weights=null"
                )


def _check_ar_weights(recipe: Recipe, saved: SavedAR, chain: Chain, catalogue: Catalogue) -> None:
    """Refuse a saved AR model of other codes or classes than the cell's."""
    parts = {name: value for name, value in saved.recipe.items() if name in PARTS}
    made = resolve_recipe(Tree.from_data(parts, AR_DESCRIPTION), catalogue)
    learned = solve(made, saved.image, saved.classes, catalogue).tokens
    if (learned.codes, learned.latent, learned.classes) != (chain.codes, chain.quantized, chain.classes):
        raise Refusal(
            f"ar.weights: {saved.folder} learned {learned.codes} and {learned.classes or 'no'} classes, and here are "
            f"{chain.codes} and {chain.classes or 'no'} classes; choose the tokenizer and the track it was trained for"
        )


def warnings(cell: Cell) -> list[str]:
    """What the components say may not be meant, trained as long as the track says; a line each."""
    recipe, steps = cell.recipe, cell.track.tokenizer.steps
    if recipe.weights is not None:
        return []
    places = {place: slot for part in PARTS for place, slot in _with_parts(part, getattr(recipe, part))}
    for role, slot in recipe.regularizers.items():
        places |= dict(_with_parts(f"regularizers.{role}", slot))
    lines = [
        f"{place} {line}"
        for place, slot in places.items()
        for line in ask_config(slot, lambda config: list(config.warnings(steps)))
    ]
    lines += _idle(recipe.train.tokenizer.parts, steps)
    return [f"{recipe.name} on {cell.track.id} ({steps} steps): {line}" for line in lines]


def data_warnings(cell: Cell) -> list[str]:
    """What the dataset says may not be meant; a line each."""
    steps = cell.track.tokenizer.steps
    lines = ask_config(cell.track.dataset, lambda config: list(config.warnings(steps)))
    return [f"{cell.track.id}: track.dataset {line}" for line in lines]


def _idle(parts: Mapping[str, PartTraining], steps: int) -> list[str]:
    """The parts of a tokenizer that are never trained without that being said, and the first step without any."""
    never = {name: never_opens(each.start, each.stop, steps) for name, each in parts.items() if each.stop != 0}
    lines = [f"{name} is never trained: {why}" for name, why in never.items() if why]
    gates = [
        (first_step(each.start, steps), steps if each.stop is None else first_step(each.stop, steps))
        for each in (parts.get(part, PartTraining()) for part in PARTS)
    ]
    # Nothing changes but where one begins or ends.
    at = sorted({0, *(step for gate in gates for step in gate if step < steps)})
    idle = next((step for step in at if not any(first <= step < end for first, end in gates)), None)
    return lines if idle is None else [*lines, f"no part of the tokenizer is trained at step {idle}"]


def _with_parts(place: str, slot: Slot) -> Iterator[tuple[str, Slot]]:
    """A component and those within it, and how each is told."""
    yield place, slot
    for part in slot.parts():
        yield from _with_parts(f"{part.kind} '{part.use}' of {place}", part)


def check_files(cell: Cell, catalogue: Catalogue) -> None:
    """Hold the files that recipe and track name to what they contained when the cell was made.

    The data is none of them: a dataset reads what its fingerprint says, or nothing.

    Raises:
        TokzooError: one of them is another by now, so it is not known which of both was read.
    """
    recipe = resolve_recipe(Tree.from_data(cell.recipe.dump(), "cell"), catalogue)
    official = cell.track.override is None
    track = resolve_track(Tree.from_data(cell.track.dump(), "cell"), catalogue, official=official)
    for made, found in ((cell.recipe, recipe), (cell.track, track)):
        if made.identity() != found.identity():
            raise TokzooError(f"a file that {made.name} names changed while it was in use; run it again")


def load_cell(dump: dict[str, Any], catalogue: Catalogue) -> Cell:
    """The cell another process dumped."""
    recipe = resolve_recipe(Tree.from_data(dump["recipe"], "cell"), catalogue)
    track = resolve_track(Tree.from_data(dump["track"], "cell"), catalogue, official=dump["override"] is None)
    if track.override != dump["override"]:
        raise TokzooError(
            f"track {track.id} was +{dump['override']} when this began: a component or the data changed meanwhile; "
            "run it again"
        )
    return make_cell(recipe, track, dump["seed"], catalogue)
