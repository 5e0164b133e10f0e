"""Means of loss terms over a log interval, gathered on the device and read once."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from tokzoo.contracts.errors import Diverged

LOSS = "loss"
GRADIENT = "grad_norm"


class Meter:
    """Keeps the terms of every step without a host sync; :meth:`read` makes the only one."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, str, Tensor]] = []

    def add(self, step: int, terms: Mapping[str, Tensor]) -> None:
        """Keep scalars of step ``step``; a term need not be there in every step."""
        self._kept += [(step, name, value) for name, value in terms.items()]

    def read(self) -> dict[str, float]:
        """The means since the last read, and start anew.

        Raises:
            Diverged: a term was not finite in some step; it names the first such step, and what broke there.
        """
        values = torch.stack([value.detach().float() for _, _, value in self._kept]).tolist()
        series: dict[str, list[float]] = {}
        broken: dict[int, list[str]] = {}
        for (step, name, _), value in zip(self._kept, values, strict=True):
            series.setdefault(name, []).append(value)
            if not math.isfinite(value):
                broken.setdefault(step, []).append(name)
        self._kept = []
        if broken:
            raise _diverged(min(broken), broken[min(broken)])
        return {name: math.fsum(column) / len(column) for name, column in series.items()}


def _diverged(step: int, names: list[str]) -> Diverged:
    # Where a term broke, the total and the gradient broke for that reason alone.
    causes = [name for name in names if name != LOSS and name.rpartition(".")[2] != GRADIENT] or names
    return Diverged(
        f"{', '.join(causes)} became non-finite at step {step} (counted from 0); "
        "try a lower learning rate, a longer warm-up, or gradient clipping"
    )
