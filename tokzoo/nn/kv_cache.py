"""Keys and values of the codes decoded so far, at a size that never changes. For use without gradients.

Every step has the same shapes, whatever its position, so that one step can be compiled or captured as a graph.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class LayerCache(NamedTuple):
    """One block's part of the cache, as it stands in one decoding step.

    Attributes:
        store: ``[2, B, heads, length, head_dim]``, keys and values.
        position: int64 ``[1]``, the slot of this step.
        visible: bool ``[1, length]``, the slots written by now.
    """

    store: Tensor
    position: Tensor
    visible: Tensor

    def write(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Put ``[B, heads, 1, head_dim]`` into this step's slot; return all slots, written or not."""
        for store, new in zip(self.store, (keys, values), strict=True):
            store.index_copy_(2, self.position, new.to(store.dtype))
        return self.store[0], self.store[1]


class KVCache:
    """The cache of a whole model.

    Args:
        shape: ``(layers, B, heads, length, head_dim)``.
        device: where it is kept.
        dtype: what it is kept in.
    """

    def __init__(self, shape: tuple[int, int, int, int, int], device: torch.device, dtype: torch.dtype) -> None:
        layers, *rest = shape
        # Zeros, not empty memory: a hidden slot still meets a weight of 0, and 0 · NaN is NaN.
        self.store = torch.zeros((layers, 2, *rest), device=device, dtype=dtype)
        self.slots = torch.arange(shape[3], device=device)

    def at(self, step: int) -> list[LayerCache]:
        """What each block needs to decode position ``step``."""
        position = self.slots[step : step + 1]
        visible = (self.slots <= position)[None]
        return [LayerCache(store, position, visible) for store in self.store]
