"""The exponential moving average of weights."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from tokzoo.contracts.outputs import Overwritten


class WeightAverage:
    """Keeps ``average ← decay · average + (1 - decay) · weight`` for trained parameters, by name.

    Early on the decay is ``min(decay, (1 + n) / (10 + n))`` after n updates, so that the average forgets the
    initialisation.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        self.decay = decay
        self.parameters = dict(parameters)
        self.average = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after update ``step``."""
        decay = min(self.decay, (1 + step) / (10 + step))
        weights = [parameter.detach() for parameter in self.parameters.values()]
        torch._foreach_lerp_(list(self.average.values()), weights, 1 - decay)

    @torch.no_grad()
    def restart(self, overwritten: Iterable[Overwritten]) -> None:
        """Take over rows that were replaced outside the optimizer."""
        for change in overwritten:
            for name, parameter in self.parameters.items():
                if parameter is change.parameter:
                    self.average[name] = where_rows(change.rows, parameter.detach(), self.average[name])

    @torch.no_grad()
    def copy_to_weights(self) -> None:
        """Make the average the weights, for good."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])


def where_rows(rows: Tensor, new: Tensor, old: Tensor) -> Tensor:
    """``new`` in the rows of a mask, ``old`` elsewhere."""
    return torch.where(rows.view(-1, *[1] * (old.ndim - 1)), new, old)
