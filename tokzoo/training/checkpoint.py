"""Exact checkpoints: one safetensors file, written in one step, holding all that the next step depends on.

Randomness needs no state: the loop seeds torch's generators from (seed, step), and the order of batches is a function
of the step. So a checkpoint is tensors and a step number.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from tokzoo.assembly.weights import save_weights

FORMAT = "tokzoo.checkpoint/1"

Parts = dict[str, dict[str, Tensor]]
"""Tensors by name, by part. A part's name holds no ``/``."""


@dataclass(slots=True)
class Checkpoint:
    """The state after ``step`` updates."""

    step: int
    parts: Parts

    def save(self, path: Path) -> None:
        """Write it to ``path``, replacing an older one only once this one is whole."""
        tensors = {f"{part}/{name}": tensor for part, named in self.parts.items() for name, tensor in named.items()}
        save_weights(tensors, path, {"tokzoo": json.dumps({"format": FORMAT, "step": self.step})})

    @classmethod
    def load(cls, path: Path) -> "Checkpoint | None":
        """Read a checkpoint into CPU memory; None where there is none, or it cannot be read."""
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                about = json.loads(file.metadata()["tokzoo"])
                if about["format"] != FORMAT:
                    return None
                parts: Parts = {}
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    part, _, name = key.partition("/")
                    parts.setdefault(part, {})[name] = file.get_tensor(key)
                return cls(int(about["step"]), parts)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError):
            return None

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
