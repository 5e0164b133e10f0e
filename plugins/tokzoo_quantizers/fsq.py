"""Finite scalar quantization: every channel rounded to one of a few levels (Mentzer et al., arXiv 2309.15505).

Section 3 and the listing of appendix A.1: a channel with ``L`` levels is bounded to slightly less than ``L - 1`` wide,
half a step off centre where ``L`` is even, and rounded; divided by ``L // 2`` it lies in [-1, 1].
"""

import math

import torch
from torch import Tensor

from tokzoo import Assignment, LatentSpec, Quantized, Quantizer
from tokzoo.nn.code_statistics import code_statistics
from tokzoo_quantizers.configs import FSQConfig

COUNTED = 1 << 18
"""Of larger codebooks no batch shows how they are used, and there are no statistics."""

MARGIN = 1e-3
"""By what fraction the bounded range is narrower than the levels, so that rounding never leaves them."""


class FiniteScalarQuantizer(Quantizer):
    """Codes are mixed-radix numbers of the channels' levels, first channel fastest.

    There is nothing to learn and no loss: gradients pass straight through the rounding to the bounded latent. All
    is computed in at least float32 and handed on so, whatever the latent's dtype.
    """

    def __init__(self, config: FSQConfig, latent: LatentSpec) -> None:
        super().__init__(config, latent)
        radix = [math.prod(config.levels[:channel]) for channel in range(len(config.levels))]
        # Integers, which a change of the module's dtype leaves exact.
        self.register_buffer("levels", torch.tensor(config.levels), persistent=False)
        self.register_buffer("radix", torch.tensor(radix), persistent=False)

    def forward(self, latent: Tensor) -> Quantized:
        """Quantize ``[B, N, c]`` to values in [-1, 1] and codes ``[B, N]``."""
        bounded = self._bounded(latent)
        rounded = bounded.detach().round()
        codes = ((rounded.long() + self.levels // 2) * self.radix).sum(-1)
        # Exactly the rounded value: a number's distance to its nearest integer has a float of its own.
        values = bounded + (rounded - bounded).detach()
        return Quantized(values / (self.levels // 2), codes, statistics=self._statistics(codes))

    def _statistics(self, codes: Tensor) -> dict[str, Tensor]:
        count = math.prod(self.config.levels)
        return code_statistics(codes, count) if self.training and count <= COUNTED else {}

    def decode(self, codes: Tensor) -> Tensor:
        """The values ``[B, N, c]`` of codes ``[B, N]`` in ``[0, K)``."""
        digits = codes[..., None] // self.radix % self.levels
        return (digits - self.levels // 2).float() / (self.levels // 2)

    def assignment(self, latent: Tensor) -> tuple[Assignment, ...]:
        """The bounded latents ``[B·N, c]`` before rounding, and all codes ``[K, c]``, on the scale of the values."""
        queries = self._bounded(latent) / (self.levels // 2)
        codes = torch.arange(math.prod(self.config.levels), device=latent.device)
        return (Assignment(queries.flatten(0, -2), self.decode(codes)),)

    def _bounded(self, latent: Tensor) -> Tensor:
        half_range = (self.levels - 1) * ((1 - MARGIN) / 2)
        offset = (1 - self.levels % 2) * 0.5
        # The tangent is the paper's as printed. The inverse of tanh, with which 0 would stay 0, differs by less than
        # 1e-3 from 4 levels on, and does not exist for 2. It is float32, and makes half precision so too.
        shift = (offset / half_range).tan()
        return (latent + shift).tanh() * half_range - offset
