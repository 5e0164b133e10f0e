"""Root-mean-square normalisation (Zhang and Sennrich, arXiv 1910.07467, equation 4), as Llama-style models use it."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import Parameter


class RMSNorm(nn.Module):
    """``x / sqrt(mean(x²) + eps) · weight`` over the last axis.

    The mean is taken in fp32 and the result cast back before it is weighed: in half precision the squares would lose
    most of their digits.

    Args:
        dim: size of the last axis.
        eps: added to the mean square.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise ``[..., dim]``."""
        return F.rms_norm(x.float(), self.weight.shape, eps=self.eps).type_as(x) * self.weight

    def extra_repr(self) -> str:
        """Shown by ``print``."""
        return f"{self.weight.shape[0]}, eps={self.eps}"
