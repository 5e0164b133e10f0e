"""Scalar quantization trained with noise: arXiv 1611.01704, section 2.

Rounding has no gradient. Adding uniform noise of the width of a rounding step has one, and the same range of errors:
training adds noise where evaluation rounds.
"""

import torch
from torch import Tensor

import tokzoo
from tokzoo_example.configs import DitheredConfig


class Dithered(tokzoo.Quantizer):
    """Bounds each channel to [-1, 1] and rounds it to evenly spaced levels."""

    def __init__(self, config: DitheredConfig, latent: tokzoo.LatentSpec) -> None:
        super().__init__(config, latent)
        places = config.levels ** torch.arange(config.dim)
        self.register_buffer("places", places, persistent=False)

    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        """Quantize ``[B, N, dim]``; codes ``[B, N]``."""
        # Between -1/2 and levels - 1/2, where every level has the same room. float32, whatever autocast is around.
        height = torch.sigmoid(latent.float()) * self.config.levels - 0.5
        digits = height.detach().round().clamp(0, self.config.levels - 1).long()
        codes = (digits * self.places).sum(-1)
        if not self.training:
            return tokzoo.Quantized(self.decode(codes), codes)
        return tokzoo.Quantized(self._value(height + torch.rand_like(height) - 0.5), codes)

    def decode(self, codes: Tensor) -> Tensor:
        """The values of codes ``[B, N]``, as ``[B, N, dim]`` in [-1, 1]."""
        return self._value(codes[..., None] // self.places % self.config.levels)

    def _value(self, height: Tensor) -> Tensor:
        return height * (2 / (self.config.levels - 1)) - 1
