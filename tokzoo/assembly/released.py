"""Released checkpoints into folders of our own, and back."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

from tokzoo.assembly.build import build_regularizers
from tokzoo.assembly.foreign import REGULARIZER, located, read_foreign, write_foreign
from tokzoo.assembly.objective import Objective
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.assembly.weights import save_weights
from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.formats import CheckpointFormat
from tokzoo.contracts.specs import Chain, ImageSpec
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.resolve import resolve_recipe
from tokzoo.recipes.saved import DESCRIPTION, RECIPE, REGULARIZERS, WEIGHTS, Saved
from tokzoo.recipes.solver import solve
from tokzoo.recipes.tree import Tree
from tokzoo.registry.catalogue import Catalogue

TOKENIZER = "tokenizer."


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
) -> Imported:
    """Read a foreign checkpoint of ``recipe``; write a saved tokenizer that can be run, encoded and decoded with.

    Args:
        path: the file.
        kind: its format.
        recipe: what its model is made of.
        catalogue: of components.
        folder: a new folder, or an empty one.
        image: of its model; None: as released.
        weights: which part of the file to take; None: the format's first choice that is there.

    Raises:
        TokzooError: see :func:`~tokzoo.assembly.foreign.read_foreign`. Nothing is written then.
    """
    _check_new(folder)
    kind.accepts(recipe)
    chain = solve(recipe, image or kind.image, None, catalogue)
    with torch.device("meta"):
        objective = Objective(Tokenizer(recipe, chain), build_regularizers(recipe, chain))
    read = read_foreign(path, kind, recipe, objective.state_dict(), weights)
    _write(folder, recipe, chain, read.tensors)
    numbers = sum(tensor.numel() for tensor in read.tensors.values())
    return Imported(read.weights, len(read.tensors), numbers, read.without, read.unread)


def export_checkpoint(folder: Path, kind: CheckpointFormat, catalogue: Catalogue, path: Path) -> Exported:
    """Write a saved tokenizer, with the regularizers saved beside it, as a checkpoint that its origin can read.

    Raises:
        TokzooError: not a tokenizer's folder, or one that such checkpoints cannot hold.
    """
    saved = Saved.read(folder)
    recipe = resolve_recipe(Tree.from_data(saved.recipe, DESCRIPTION), catalogue)
    kind.accepts(recipe)
    ours = {TOKENIZER + name: tensor for name, tensor in load_file(folder / WEIGHTS).items()}
    if (folder / REGULARIZERS).is_file():
        ours |= {REGULARIZER + name: tensor for name, tensor in load_file(folder / REGULARIZERS).items()}
    kept = located(kind, recipe, ours, kind.written[0])
    tensors = write_foreign(path, kind, recipe, ours)
    return Exported(tensors, tuple(name for name in ours if name not in kept))


def _check_new(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TokzooError(f"{folder}: is there already; name a new folder, or an empty one")


def _write(folder: Path, recipe: Recipe, chain: Chain, tensors: Mapping[str, Tensor]) -> None:
    """The whole folder, in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        for prefix, name in ((TOKENIZER, WEIGHTS), (REGULARIZER, REGULARIZERS)):
            part = {ours.removeprefix(prefix): value for ours, value in tensors.items() if ours.startswith(prefix)}
            if part:
                save_weights(part, temporary / name)
        dump = recipe.dump()
        Saved(temporary, dump, chain.image, None).write()
        text = yaml.safe_dump({"weights": ".", **dump}, sort_keys=False, allow_unicode=True)
        (temporary / RECIPE).write_text(text, encoding="utf-8")
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
