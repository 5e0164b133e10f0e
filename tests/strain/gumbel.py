"""Gumbel-softmax quantization: in training a code is drawn, softly, at a temperature that falls.

Jang et al. (arXiv 1611.01144, equation 2); as a tokenizer with the KL to uniform codes in DALL-E (arXiv 2102.12092,
section 2.1), whose temperature falls from 1 to 1/16 by half a cosine (its appendix A.2).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.precision import at_least_float32, without_autocast


class GumbelConfig(tokzoo.QuantizerConfig):
    provides = frozenset({"assignment"})

    codes: int = Field(8192, ge=2)
    dim: int = Field(32, ge=1, description="channels it hands on")
    coldest: float = Field(1 / 16, gt=0, le=1)
    anneal: float = Field(0.9, gt=0, le=1, description="part of the budget over which the temperature falls from 1")
    divergence: float = Field(6.6, ge=0, description="weight of the KL to uniform codes")

    def weight_of(self, term: str) -> float:
        return {"divergence": self.divergence}[term]

    def code_spec(self, latent: tokzoo.LatentSpec) -> tokzoo.CodeSpec:
        return tokzoo.CodeSpec(latent.shape, (self.codes,))

    def hands_on(self, latent: tokzoo.LatentSpec) -> tokzoo.LatentSpec:
        return replace(latent, channels=self.dim)


class Gumbel(tokzoo.Quantizer):
    def __init__(self, config: GumbelConfig, latent: tokzoo.LatentSpec) -> None:
        super().__init__(config, latent)
        self.logits = nn.Linear(latent.channels, config.codes)
        self.codebook = nn.Parameter(torch.randn(config.codes, config.dim))
        # A tensor: a number that changes in every step would be compiled anew each time.
        self.register_buffer("temperature", torch.ones(()), persistent=False)

    def before_step(self, context: tokzoo.StepContext) -> None:
        progress = context.progress
        done = min(1.0, progress.step / max(1, progress.steps(self.config.anneal)))
        coldest = self.config.coldest
        self.temperature.fill_(coldest + (1 - coldest) * (1 + math.cos(math.pi * done)) / 2)

    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        with without_autocast(latent.device):
            logits = self.logits(at_least_float32(latent))
        codes = logits.argmax(-1)
        if not self.training:
            return tokzoo.Quantized(self.decode(codes), codes)
        log_p = logits.log_softmax(-1)
        noise = -torch.empty_like(logits).exponential_().log()
        soft = ((logits + noise) / self.temperature).softmax(-1)
        losses = {"divergence": (log_p.exp() * log_p).sum(-1).mean() + math.log(self.config.codes)}
        return tokzoo.Quantized(soft @ self.codebook, codes, losses, {"temperature": self.temperature.clone()})

    def decode(self, codes: Tensor) -> Tensor:
        return F.embedding(codes, self.codebook)

    def assignment(self, latent: Tensor) -> Sequence[tokzoo.Assignment]:
        """A dot product as a distance: ``q·w + b = -½‖q - w‖² + ½‖w‖² + b``, up to what is the same for all codes."""
        weight, bias = self.logits.weight, self.logits.bias
        norms = weight.square().sum(-1)
        return [tokzoo.Assignment(at_least_float32(latent).flatten(0, -2), weight, 0.5, norms / 2 + bias)]


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    example = {"codes": 16, "dim": 4}
    return [tokzoo.ComponentSpec("quantizer", "strain/gumbel", GumbelConfig, Gumbel, "drawn softly", example=example)]
