"""Training that begins where a saved tokenizer ended (a recipe's ``init``)."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from tokzoo.assembly.objective import Objective
from tokzoo.assembly.weights import read_weights
from tokzoo.contracts.errors import TokzooError
from tokzoo.recipes.models import PARTS, Init
from tokzoo.recipes.saved import REGULARIZERS, WEIGHTS


def take_over(objective: Objective, init: Init) -> None:
    """Load the parts that ``init`` names into an objective.

    Raises:
        TokzooError: a file cannot be read, or a part of it is of other shapes than the recipe's.
    """
    folder = init.folder.folder
    tokenizer = read_weights(folder / WEIGHTS)
    # Read only where a regularizer is taken: there may be no such file.
    regularizers = read_weights(folder / REGULARIZERS) if set(init.parts) - set(PARTS) else {}
    for name in init.parts:
        tensors = tokenizer if name in PARTS else regularizers
        _load(objective, name, _under(tensors, name.removeprefix("regularizers.")), folder)


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): value for name, value in tensors.items() if name.startswith(f"{prefix}.")}


def _load(objective: Objective, name: str, tensors: Mapping[str, Tensor], folder: Path) -> None:
    try:
        objective.part(name).load_state_dict(tensors)
    except RuntimeError as error:
        raise TokzooError(
            f"init: {name} of {folder} is not that of this recipe. {' '.join(str(error).split())[:300]} Give it the "
            f"same sizes, or leave it out of init.parts"
        ) from error
