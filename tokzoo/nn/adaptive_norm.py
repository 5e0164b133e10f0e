"""Adaptive GroupNorm: the scale and shift of a decoder's features come from the statistics of its latent.

MAGVIT-v2 (arXiv 2310.05737) and GigaTok (arXiv 2504.08736) decode with it: per channel of the latent map
z, ``out = gamma(std z) · GN(h) + beta(mean z)`` with two linear maps.
"""

import torch
from torch import Tensor, nn

from tokzoo.nn.resnet import EPS


def style_statistics(style: Tensor) -> tuple[Tensor, Tensor]:
    """The standard deviation (unbiased variance + 1e-6, square root) and mean of ``[B, c, h, w]`` over h and w.

    Both are float32 ``[B, c]``. A map of one position has no deviation: h · w must be at least 2.
    """
    variance, mean = torch.var_mean(style.float(), dim=(2, 3), correction=1)
    return (variance + EPS).sqrt(), mean


class AdaptiveGroupNorm(nn.Module):
    """GroupNorm whose affine part is read from another map (see :func:`style_statistics`).

    The scale is ``gamma(std)`` itself, not ``1 + gamma(std)``.

    Args:
        channels: channels of the normalised features, a multiple of ``groups``.
        style_channels: channels of the map that the statistics come from.
        groups: groups of the norm.
    """

    def __init__(self, channels: int, style_channels: int, groups: int = 32) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=EPS, affine=False)
        self.gamma = nn.Linear(style_channels, channels)
        self.beta = nn.Linear(style_channels, channels)

    def forward(self, x: Tensor, deviation: Tensor, mean: Tensor) -> Tensor:
        """Normalise ``[B, channels, h, w]`` with the statistics ``[B, style_channels]``."""
        gamma: Tensor = self.gamma(deviation)[:, :, None, None]
        beta: Tensor = self.beta(mean)[:, :, None, None]
        normed: Tensor = self.norm(x)
        return normed * gamma + beta
