"""A split held in memory."""

import torch
from torch import Tensor

from tokzoo.contracts.interfaces import Split


class InMemorySplit(Split):
    """Images and labels as two tensors on the CPU.

    Attributes:
        images: uint8 ``[N, C, H, W]``.
        labels: int64 ``[N]``, or None.

    Raises:
        ValueError: a tensor has another type or shape, or the two have different lengths.
    """

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        if images.dtype != torch.uint8 or images.ndim != 4:
            raise ValueError(f"images must be uint8 [N, C, H, W], not {images.dtype} {list(images.shape)}")
        if labels is not None and (labels.dtype != torch.int64 or labels.shape != images.shape[:1]):
            raise ValueError(f"labels must be int64 [{len(images)}], not {labels.dtype} {list(labels.shape)}")
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images and labels at ``indices`` int64 ``[B]``."""
        labels = None if self.labels is None else self.labels.index_select(0, indices)
        return self.images.index_select(0, indices), labels
