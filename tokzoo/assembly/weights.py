"""Weights in safetensors files."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.files import open_file, reading, write_atomic


def save_weights(tensors: Mapping[str, Tensor], path: Path, about: dict[str, str] | None = None) -> None:
    """Write tensors by name to ``path`` in one step, with ``about`` in the file's header."""
    whole: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in tensors.items():
        kept = tensor.detach().contiguous()
        memory = kept.untyped_storage().data_ptr()
        # The format refuses tensors that share memory, as tied weights do: each is written out.
        whole[name] = kept.clone() if memory in seen else kept
        seen.add(memory)
    write_atomic(path, lambda temporary: save_file(whole, temporary, metadata=about))


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
    with reading(path, "a whole file of weights", SafetensorError):
        open_file(path).close()
        return load_file(path)
