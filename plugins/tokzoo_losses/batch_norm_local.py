"""Batch norm over a few images at a time, without running statistics.

A discriminator's statistics then depend neither on how large the batch is nor on how many devices share it: StyleGAN-T
(arXiv 2301.09515), VAR and GigaTok normalise the heads of their DINO discriminator so.
"""

import torch
from torch import Tensor, nn

from tokzoo.nn.precision import at_least_float32

EPSILON = 1e-6


class BatchNormLocal(nn.Module):
    """Normalises ``[B, C, T]`` by the mean and biased variance of groups of consecutive images, in float32.

    There are as few groups of one size as leave none larger than ``group``.
    """

    def __init__(self, channels: int, group: int) -> None:
        super().__init__()
        self.group = group
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, T]``, in at least float32."""
        batch = len(x)
        groups = next(count for count in range(-(-batch // self.group), batch + 1) if batch % count == 0)
        grouped = at_least_float32(x).unflatten(0, (groups, -1))
        variance, mean = torch.var_mean(grouped, dim=(1, 3), keepdim=True, correction=0)
        normed = ((grouped - mean) * (variance + EPSILON).rsqrt()).flatten(0, 1)
        return normed * self.weight[:, None] + self.bias[:, None]
