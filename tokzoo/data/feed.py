"""Batches of a split on a device."""

import torch
from torch import Tensor

from tokzoo.contracts.interfaces import Split
from tokzoo.data.pixels import to_unit
from tokzoo.data.split import InMemorySplit

RESIDENT_BYTES = 4 << 30
"""Splits in memory up to this size move to the device whole: a batch is then a gather there."""


class DeviceFeed:
    """Brings batches of ``split`` to ``device``, without waiting for it."""

    def __init__(self, split: Split, device: torch.device | str) -> None:
        self.split = split
        self.device = torch.device(device)
        self._resident: Split = split
        # On the CPU a split in memory is where it is needed already.
        if isinstance(split, InMemorySplit) and self.device.type != "cpu" and split.images.nbytes <= RESIDENT_BYTES:
            labels = None if split.labels is None else split.labels.to(self.device)
            self._resident = InMemorySplit(split.images.to(self.device), labels)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images float32 ``[B, C, H, W]`` in [-1, 1] and labels int64 ``[B]`` (or None), on the device.

        Args:
            indices: int64 ``[B]`` on the CPU.
        """
        if self._resident is self.split:
            images, labels = self.split.batch(indices)
            images = self._move(images)
            labels = None if labels is None else self._move(labels)
        else:
            images, labels = self._resident.batch(self._move(indices))
        return to_unit(images), labels

    def _move(self, tensor: Tensor) -> Tensor:
        # Only a copy from pinned memory is asynchronous; its allocator keeps that memory until the copy is done.
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)
