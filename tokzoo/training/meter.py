"""Means of loss terms over a log interval, gathered on the device and read once."""

import math

import torch
from torch import Tensor

from tokzoo.contracts.errors import Diverged


class Meter:
    """Adds up terms without a host sync; :meth:`read` makes the only one."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def add(self, terms: dict[str, Tensor]) -> None:
        """Add one step's terms; a term need not be there in every step."""
        for name, value in terms.items():
            self._sums[name] = self._sums[name] + value.float() if name in self._sums else value.float()
            self._counts[name] = self._counts.get(name, 0) + 1

    def read(self, step: int) -> dict[str, float]:
        """The means since the last read, and start anew.

        Raises:
            Diverged: a term is not finite.
        """
        values = torch.stack(list(self._sums.values())).tolist()
        means = {name: value / self._counts[name] for name, value in zip(self._sums, values, strict=True)}
        self._sums, self._counts = {}, {}
        broken = [name for name, value in means.items() if not math.isfinite(value)]
        if broken:
            raise Diverged(
                f"{', '.join(broken)} became non-finite in the steps before step {step}; "
                "try a lower learning rate, a longer warm-up, or gradient clipping"
            )
        return means
