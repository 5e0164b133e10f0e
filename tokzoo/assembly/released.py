"""Released checkpoints into folders of our own, and back."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from tokzoo.assembly.build import build_ar, build_regularizers
from tokzoo.assembly.foreign import REGULARIZER, located, read_foreign, write_foreign
from tokzoo.assembly.objective import Objective
from tokzoo.assembly.saved_ar import save_ar
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.assembly.weights import read_weights
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.formats import CheckpointFormat
from tokzoo.contracts.specs import Chain, ImageSpec
from tokzoo.data.files import new_folder, refuse_taken
from tokzoo.data.tensors import save_tensors
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.saved import AR_WEIGHTS, REGULARIZERS, WEIGHTS, Saved, SavedAR
from tokzoo.recipes.solver import check_ar, solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue

TOKENIZER, AR = "tokenizer.", "ar."
PLACES = {"tokenizer": {TOKENIZER: WEIGHTS, REGULARIZER: REGULARIZERS}, "ar": {AR: AR_WEIGHTS}}
"""By what a checkpoint holds: which of our names are saved in which file, without their beginning."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What came of an export.

    Attributes:
        tensors: how many were written.
        left_out: of the saved ones, those that such files keep nowhere, by our names.
    """

    tensors: int
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import.

    Attributes:
        tensors, parameters: how many tensors and numbers were read.
        weights, without, unread: see :class:`~tokzoo.assembly.foreign.Read`.
    """

    weights: str
    tensors: int
    parameters: int
    without: tuple[str, ...]
    unread: tuple[str, ...]


def import_checkpoint(
    path: Path,
    kind: CheckpointFormat,
    recipe: Recipe,
    catalogue: Catalogue,
    folder: Path,
    image: ImageSpec | None = None,
    weights: str | None = None,
    classes: int | None = None,
) -> Imported:
    """Read a foreign checkpoint; write a saved tokenizer or AR model, as the format has it, that can be run.

    Args:
        path: the file.
        kind: its format.
        recipe: what its model is made of; of an AR model, ``ar``, and the tokenizer whose codes it learned.
        catalogue: of components.
        folder: a new folder, or an empty one.
        image: of its model; None: as released.
        weights: which part of the file to take; None: the format's first choice that is there.
        classes: of an AR model; None: as released.

    Raises:
        TokzooError: see :func:`~tokzoo.assembly.foreign.read_foreign`. Nothing is written then.
    """
    refuse_taken(folder)
    ar = recipe.ar if kind.holds == "ar" else None
    if kind.holds == "ar" and ar is None:
        raise TokzooError(f"{recipe.name} says nothing of an AR model, and the checkpoint is of one; add ar.use=NAME")
    kind.accepts(recipe)
    if ar is not None:
        # What shaped the tokenizer is not asked for: only its codes matter.
        recipe = recipe.model_copy(update={"regularizers": {}})
    chain = solve(recipe, image or kind.image, kind.classes if classes is None else classes, catalogue)
    if ar is not None:
        check_ar(ar, recipe, chain, catalogue)
    read = read_foreign(path, kind, recipe, _wanted(kind, recipe, chain), weights)
    with new_folder(folder, SafetensorError) as unfinished:
        _write(unfinished, kind, recipe, chain, read.tensors)
    numbers = sum(tensor.numel() for tensor in read.tensors.values())
    return Imported(read.weights, len(read.tensors), numbers, read.without, read.unread)


def export_checkpoint(folder: Path, kind: CheckpointFormat, catalogue: Catalogue, path: Path) -> Exported:
    """Write a saved tokenizer (with the regularizers saved beside it) or AR model as its origin can read it.

    Raises:
        TokzooError: not such a folder, or of a model that such checkpoints cannot hold.
    """
    saved = (SavedAR if kind.holds == "ar" else Saved).read(folder)
    recipe = resolve_recipe(Tree.from_data(saved.recipe, saved.files[0]), catalogue)
    kind.accepts(recipe)
    ours = {
        prefix + name: tensor
        for prefix, file in PLACES[kind.holds].items()
        if (folder / file).is_file()
        for name, tensor in read_weights(folder / file).items()
    }
    kept = located(kind, recipe, ours, kind.written[0])
    tensors = write_foreign(path, kind, recipe, ours)
    return Exported(tensors, tuple(name for name in ours if name not in kept))


def _wanted(kind: CheckpointFormat, recipe: Recipe, chain: Chain) -> dict[str, Tensor]:
    """Everything that is saved of a recipe, on the meta device: no memory, and no weights."""
    with torch.device("meta"):
        tokenizer = Tokenizer(recipe, chain)
        if kind.holds == "tokenizer":
            return Objective(tokenizer, build_regularizers(recipe, chain)).state_dict()
        assert recipe.ar is not None
        model = build_ar(recipe.ar, chain.tokens, tokenizer.quantizer)
    return {AR + name: tensor for name, tensor in model.state_dict().items()}


def _write(folder: Path, kind: CheckpointFormat, recipe: Recipe, chain: Chain, tensors: Mapping[str, Tensor]) -> None:
    parts = {
        file: {ours.removeprefix(prefix): value for ours, value in tensors.items() if ours.startswith(prefix)}
        for prefix, file in PLACES[kind.holds].items()
    }
    if kind.holds == "ar":
        assert recipe.ar is not None
        save_ar(folder, parts[AR_WEIGHTS], recipe.ar, recipe, chain)
        return
    for file, part in parts.items():
        if part:
            save_tensors(part, folder / file)
    Saved(folder, recipe.dump(), chain.image, chain.classes).write()
