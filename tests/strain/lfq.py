"""Lookup-free quantization: a code is the signs of the latent's channels, a bit each, and there is no codebook.

MAGVIT-v2 (arXiv 2310.05737, section 3.1). Its entropy penalty sums over 2^K codes; where the bits
are independent this is a sum over bits, and groups of bits between the two keep more of what they have in common
(Open-MAGVIT2's 6 + 12 of 18, arXiv 2409.04410).
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

import tokzoo

LARGEST_FACTOR = 16
"""Bits of one group: its codes are written out."""


class LFQConfig(tokzoo.QuantizerConfig):
    provides = frozenset({"assignment"})

    bits: int = Field(18, ge=1, le=62, description="channels; a code must fit int64")
    groups: tuple[int, ...] | None = Field(None, description="bits whose joint entropy counts; null: each by itself")
    commitment: float = Field(0.25, ge=0)

    @model_validator(mode="after")
    def _groups_are_the_bits(self) -> "LFQConfig":
        if sum(self.factors) != self.bits or max(self.factors) > LARGEST_FACTOR:
            raise ValueError(f"groups must add up to {self.bits} bits, each of at most {LARGEST_FACTOR}")
        return self

    @property
    def factors(self) -> tuple[int, ...]:
        return self.groups or (1,) * self.bits

    def weight_of(self, term: str) -> float:
        return {"commitment": self.commitment}[term]

    def wants(self, layout: str) -> int:
        return self.bits

    def code_spec(self, latent: tokzoo.LatentSpec) -> tokzoo.CodeSpec:
        if latent.channels != self.bits:
            raise tokzoo.Refusal(f"has {self.bits} bits and the latent has {latent.channels} channels; set bits")
        return tokzoo.CodeSpec(latent.shape, (2**self.bits,))


class LFQ(tokzoo.Quantizer):
    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        latent = latent.float()
        signs = torch.where(latent > 0, 1.0, -1.0)
        codes = ((latent > 0).long() << self._places(latent)).sum(-1)
        if not self.training:
            return tokzoo.Quantized(signs, codes)
        return tokzoo.Quantized(latent + (signs - latent).detach(), codes, {"commitment": F.mse_loss(latent, signs)})

    def decode(self, codes: Tensor) -> Tensor:
        return 2.0 * ((codes[..., None] >> self._places(codes)) & 1) - 1

    def assignment(self, latent: Tensor) -> Sequence[tokzoo.Assignment]:
        """A factor for each group of g bits: its 2^g corners of the cube."""
        flat = latent.float().flatten(0, -2)
        factors = []
        for start, end in pairwise(accumulate(self.config.factors, initial=0)):
            numbers = torch.arange(2 ** (end - start), device=flat.device)[:, None]
            corners = 2.0 * ((numbers >> torch.arange(end - start, device=flat.device)) & 1) - 1
            factors.append(tokzoo.Assignment(flat[:, start:end], corners))
        return factors

    def _places(self, like: Tensor) -> Tensor:
        return torch.arange(self.config.bits, device=like.device)


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    example = {"bits": 6, "groups": [2, 4]}
    summary = "signs of the channels"
    return [tokzoo.ComponentSpec("quantizer", "strain/lfq", LFQConfig, LFQ, summary, example=example)]
