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
        torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - decay)

    @torch.no_grad()
    def restart(self, overwritten: Iterable[Overwritten]) -> None:
        """Take over rows that were replaced outside the optimizer."""
        for change in overwritten:
            for name, parameter in self.parameters.items():
                if parameter is change.parameter:
                    average = self.average[name]
                    average.copy_(torch.where(of_rows(change.rows, average), parameter, average))

    @torch.no_grad()
    def copy_to_weights(self) -> None:
        """Make the average the weights, for good."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])


def of_rows(mask: Tensor, tensor: Tensor) -> Tensor:
    """A mask over the first axis of ``tensor``, shaped so that it broadcasts over the others."""
    return mask.view(-1, *[1] * (tensor.ndim - 1))
