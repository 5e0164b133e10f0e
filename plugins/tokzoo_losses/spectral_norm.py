"""Spectral normalisation (arXiv 1802.05957, section 2.1): weights divided by their largest singular value.

As torch's own, but in full precision under autocast too, where torch's would mix the types of its factors.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tokzoo.nn.precision import without_autocast

FIRST_ITERATIONS = 15


class SpectralNorm(nn.Module):
    """A parametrization of weights ``[out, ...]``, taken as a matrix of ``out`` rows.

    In training mode every use of the weights improves the two singular vectors, which are buffers, by one power
    iteration. Gradients take them as constants.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("left", F.normalize(torch.randn(len(matrix), device=matrix.device), dim=0))
        self.register_buffer("right", torch.empty(matrix.shape[1], device=matrix.device))
        for _ in range(FIRST_ITERATIONS):
            self._improve(matrix)

    def forward(self, weight: Tensor) -> Tensor:
        """The weights, divided."""
        matrix = weight.flatten(1)
        with without_autocast(weight.device):
            if self.training:
                self._improve(matrix)
            # Copies, since another use of the weights may change the vectors before this one's backward pass.
            return weight / (self.left.clone() @ (matrix @ self.right.clone()))

    @torch.no_grad()
    def _improve(self, matrix: Tensor) -> None:
        self.right.copy_(F.normalize(self.left @ matrix, dim=0))
        self.left.copy_(F.normalize(matrix @ self.right, dim=0))


def spectral_norm(layer: nn.Module) -> nn.Module:
    """The layer, with its ``weight`` normalised whenever it is used."""
    parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))
    return layer
