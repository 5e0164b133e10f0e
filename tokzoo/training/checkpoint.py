"""Exact checkpoints: one safetensors file, written in one step, holding all that the next step depends on.

Randomness needs no state: the loop seeds torch's generators from (seed, step), and the order of batches is a function
of the step. So a checkpoint is tensors, a step number, and the name of the result that it is on its way to.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from tokzoo.contracts.errors import TokzooError
from tokzoo.data.tensors import load_tensors, save_tensors

FORMAT = "tokzoo.checkpoint/1"

Parts = dict[str, dict[str, Tensor]]
"""Tensors by name, by part. A part's name holds no ``/``."""


@dataclass(slots=True)
class Checkpoint:
    """The state after ``step`` updates, on the way to the result called ``of``."""

    step: int
    parts: Parts
    of: str = ""

    def save(self, path: Path) -> None:
        """Write it to ``path``, replacing an older one only once this one is whole."""
        tensors = {f"{part}/{name}": tensor for part, named in self.parts.items() for name, tensor in named.items()}
        save_tensors(tensors, path, {"format": FORMAT, "step": self.step, "of": self.of})

    @classmethod
    def load(cls, path: Path) -> "Checkpoint | None":
        """Read a checkpoint into CPU memory; None where there is none.

        Raises:
            TokzooError: it is damaged, or of another format.
        """
        if not path.is_file():
            return None
        tensors, about = load_tensors(path, "a whole checkpoint")
        if about.get("format") != FORMAT:
            raise TokzooError(f"{path}: not a checkpoint that this version of tokzoo reads")
        parts: Parts = {}
        for key, tensor in tensors.items():
            part, _, name = key.partition("/")
            parts.setdefault(part, {})[name] = tensor
        return cls(int(about["step"]), parts, about.get("of", ""))

    @torch.no_grad()
    def restore(self, live: Parts) -> bool:
        """Copy into tensors of the same names, shapes and types; False, and nothing done, where they differ."""
        if _described(live) != _described(self.parts):
            return False
        for part, named in live.items():
            for name, tensor in named.items():
                tensor.copy_(self.parts[part][name])
        return True


def _described(parts: Parts) -> dict[tuple[str, str], tuple[torch.Size, torch.dtype]]:
    return {
        (part, name): (tensor.shape, tensor.dtype) for part, named in parts.items() for name, tensor in named.items()
    }


def module_state(module: nn.Module, names: frozenset[str]) -> dict[str, Tensor]:
    """The parameters called ``names``, and every buffer, also those a saved model leaves out."""
    state: dict[str, Tensor] = {name: p for name, p in module.named_parameters() if name in names}
    return {**state, **dict(module.named_buffers())}
