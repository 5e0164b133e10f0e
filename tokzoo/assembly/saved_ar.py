"""AR models in folders of their own, beside saved tokenizers."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from tokzoo.assembly.build import build_ar
from tokzoo.assembly.weights import load_weights
from tokzoo.contracts.interfaces import ARModel, Quantizer
from tokzoo.contracts.specs import Chain, Tokens
from tokzoo.data.tensors import save_tensors
from tokzoo.recipes.models import PARTS, Recipe
from tokzoo.recipes.saved import AR_DESCRIPTION, AR_WEIGHTS, SavedAR
from tokzoo.recipes.slots import Slot


def save_ar(folder: Path, tensors: Mapping[str, Tensor], ar: Slot, recipe: Recipe, chain: Chain) -> list[str]:
    """Write an AR model's ``state_dict()`` and what it is to a folder.

    Args:
        folder: where to.
        tensors: the state.
        ar: what it is.
        recipe: of the tokenizer whose codes it learned.
        chain: that tokenizer's.

    Returns:
        The names of the files.

    Raises:
        TokzooError: a file that one of them started from is gone.
    """
    # How the two were trained, and where weights once came from, does not matter to those who read them.
    slots = {**{part: getattr(recipe, part) for part in PARTS}, "ar": replace(ar, weights=None)}
    said = {name: {**slot.dump(), **slot.hashes()} for name, slot in slots.items()}
    about = {"name": recipe.name, "summary": recipe.summary, **said}
    SavedAR(folder, about, chain.image, chain.classes).write()
    save_tensors(tensors, folder / AR_WEIGHTS)
    return [AR_WEIGHTS, AR_DESCRIPTION]


def load_ar(folder: Path, ar: Slot, tokens: Tokens, quantizer: Quantizer) -> ARModel:
    """The AR model saved in a folder, on the CPU and in eval mode."""
    model = build_ar(ar, tokens, quantizer)
    load_weights(model, folder / AR_WEIGHTS)
    return model.eval()
