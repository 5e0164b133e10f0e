"""Which images make a batch: a pure function of the step, so that a resumed run needs the step number and no more."""

from collections.abc import Iterator

import torch
from torch import Tensor

from tokzoo.data.seeding import derive_seed


class Batches:
    """The order in which training sees a split.

    Every epoch is a fresh permutation; the permutations are laid end to end and cut into windows of ``batch``. So every
    batch is full, no image is left out of an epoch, and a batch may span two epochs (or more, of a small split).

    Args:
        length: images in the split.
        batch: images in a batch.
        seed: decides every permutation.

    Raises:
        ValueError: ``length`` or ``batch`` is not positive.
    """

    def __init__(self, length: int, batch: int, seed: int) -> None:
        if length < 1 or batch < 1:
            raise ValueError(f"cannot make batches of {batch} from a split of {length} images")
        self.length = length
        self.size = batch
        self.seed = seed
        # One permutation is enough to walk forward; any other step still gives the same answer, only later.
        self._kept: tuple[int, Tensor] = (-1, torch.empty(0, dtype=torch.int64))

    def batch(self, step: int) -> Tensor:
        """The indices int64 ``[batch]`` of step ``step``, counted from 0, on the CPU."""
        position = step * self.size
        stop = position + self.size
        parts = []
        while position < stop:
            epoch, start = divmod(position, self.length)
            parts.append(self._permutation(epoch)[start : start + stop - position])
            position += len(parts[-1])
        return torch.cat(parts)

    def _permutation(self, epoch: int) -> Tensor:
        if self._kept[0] != epoch:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, "epoch", epoch))
            self._kept = (epoch, torch.randperm(self.length, generator=generator))
        return self._kept[1]


def in_order(length: int, batch: int) -> Iterator[Tensor]:
    """Indices 0 … ``length`` - 1 in batches of ``batch``; the last one may be smaller.

    For evaluation: ``for indices in in_order(len(split), 250): images, labels = feed.batch(indices)``.
    """
    for start in range(0, length, batch):
        yield torch.arange(start, min(start + batch, length))
