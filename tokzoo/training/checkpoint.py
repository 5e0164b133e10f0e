"""Exact checkpoints: one safetensors file, written in one step, holding all that the next step depends on.

Randomness needs no state: the loop seeds torch's generators from (seed, step), and the order of batches is a function
of the step. So a checkpoint is tensors and a step number.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tokzoo.data.files import write_atomic

FORMAT = "tokzoo.checkpoint/1"
CHECKPOINT = "checkpoint.safetensors"
"""Its file in a stage's folder."""


@dataclass(slots=True)
class Checkpoint:
    """The state after ``step`` updates. ``parts`` are tensors by name, by part."""

    step: int
    parts: dict[str, dict[str, Tensor]]

    def save(self, path: Path) -> None:
        """Write it to ``path``, replacing an older one only once this one is whole."""
        tensors = {
            f"{part}/{name}": tensor.detach().contiguous()
            for part, named in self.parts.items()
            for name, tensor in named.items()
        }
        about = {"tokzoo": json.dumps({"format": FORMAT, "step": self.step})}
        write_atomic(path, lambda temporary: save_file(tensors, temporary, metadata=about))

    @classmethod
    def load(cls, path: Path, device: torch.device) -> "Checkpoint | None":
        """Read a checkpoint; None where there is none, or it cannot be read (training then starts anew)."""
        if not path.is_file():
            return None
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                about = json.loads(file.metadata()["tokzoo"])
                if about["format"] != FORMAT:
                    return None
                parts: dict[str, dict[str, Tensor]] = {}
                for key in file.keys():  # noqa: SIM118 - not a mapping
                    part, _, name = key.partition("/")
                    parts.setdefault(part, {})[name] = file.get_tensor(key)
        except (SafetensorError, KeyError, ValueError):
            return None
        return cls(about["step"], parts)


def module_state(module: nn.Module, trained: frozenset[str]) -> dict[str, Tensor]:
    """The parameters named in ``trained``, and every buffer, also those a saved model leaves out.

    Frozen parameters are those of a weights file and cannot have changed.
    """
    state = {name: parameter for name, parameter in module.named_parameters() if name in trained}
    return {**state, **dict(module.named_buffers())}


@torch.no_grad()
def load_module_state(module: nn.Module, trained: frozenset[str], state: dict[str, Tensor]) -> None:
    """Restore in place what :func:`module_state` gave."""
    for name, tensor in module_state(module, trained).items():
        tensor.copy_(state[name])
