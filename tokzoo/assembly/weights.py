"""Weights in safetensors files."""

from pathlib import Path

from torch import Tensor, nn

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.tensors import load_tensors


def load_weights(module: nn.Module, path: Path) -> None:
    """Load into a module what its ``state_dict()`` was saved as.

    Raises:
        TokzooError: the file is damaged, or its tensors are not the module's in name or shape.
    """
    try:
        module.load_state_dict(read_weights(path))
    except RuntimeError as error:
        raise TokzooError(f"{path}: these weights are of another model. {error}") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU.

    Raises:
        TokzooError: the file is missing or damaged.
    """
    return load_tensors(path, "a whole file of weights")[0]
