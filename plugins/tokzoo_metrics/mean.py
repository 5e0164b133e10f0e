"""A mean over images, whatever the batches they come in."""

from torch import Tensor

import tokzoo


class Mean:
    """Sums values on their device in float64, and divides once."""

    def __init__(self) -> None:
        self.count = 0
        self._sum: Tensor | None = None

    def add(self, values: Tensor) -> None:
        """Take in one value per image, ``[B]``."""
        total = values.detach().double().sum()
        self._sum = total if self._sum is None else self._sum + total
        self.count += len(values)

    def value(self) -> float:
        """The mean.

        Raises:
            tokzoo.TokzooError: nothing was taken in.
        """
        if self._sum is None:
            raise tokzoo.TokzooError("nothing was measured: the metric was given no batch")
        return float(self._sum) / self.count
