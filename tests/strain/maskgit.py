"""MaskGIT: a bidirectional transformer that fills in masked codes, the most certain first.

Chang et al. (arXiv 2202.04200): section 3.1 trains, section 3.2 decodes. Of its likelihood there is a bound: with m
of M codes masked, m and their places uniform, ``-log p(x) ≤ E[M/m · Σ over the masked of -log p(code | the rest)]``
(order-agnostic models, arXiv 2110.02037, section 3). One draw for each image estimates it.
"""

import math

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.sampling import draw, filtered_probabilities, seeded_uniforms
from tokzoo.nn.tokens import learned_tokens
from tokzoo.nn.transformer import SelfAttentionLayer

LARGEST = 2**20
"""Codes that a table may have a row for."""


class MaskGITSampler(tokzoo.Config):
    steps: int = Field(8, ge=1, description="passes in which all codes are drawn")
    temperature: float = Field(1.0, gt=0)
    choice_temperature: float = Field(4.5, ge=0, description="of the noise on how certain a code is; falls to 0")


class MaskGITConfig(tokzoo.ARConfig):
    sampler = MaskGITSampler

    layers: int = Field(24, ge=1)
    heads: int = Field(16, ge=1)
    width: int = Field(768, ge=1)

    def accepts(self, tokens: tokzoo.Tokens) -> None:
        codes = tokens.codes
        if codes is None or codes.levels != 1 or codes.vocab_by != "level":
            raise tokzoo.Refusal(f"learns one code of one vocabulary at each position, not {codes or 'latents'}")
        if codes.largest > LARGEST:
            raise tokzoo.Refusal(f"has a row for each code, and {codes.largest:,} are too many")


class MaskGIT(tokzoo.ARModel):
    def __init__(self, config: MaskGITConfig, tokens: tokzoo.Tokens, quantizer: tokzoo.Quantizer | None = None) -> None:
        super().__init__(config, tokens, quantizer)
        self.mask, self.null = tokens.codes.largest, tokens.classes or 0
        self.length = tokens.codes.positions
        self.words = nn.Embedding(self.mask + 1, config.width)
        self.starts = nn.Embedding(self.null + 1, config.width)
        self.places = learned_tokens(self.length + 1, config.width)
        self.blocks = nn.ModuleList(SelfAttentionLayer(config.width, config.heads) for _ in range(config.layers))
        self.head = nn.Linear(config.width, self.mask)

    @property
    def depth(self) -> int:
        return len(self.blocks)

    def forward(self, codes: Tensor, labels: Tensor | None, progress: tokzoo.Progress | None = None) -> tokzoo.ARLoss:
        """Over masked codes, with the cosine schedule."""
        ratio = (math.pi / 2 * torch.rand(len(codes), 1, device=codes.device)).cos()
        masked = _smallest(torch.rand(codes.shape, device=codes.device), (ratio * self.length).ceil().clamp(min=1))
        nats = self._nats(codes, labels, masked)
        bound = ((nats * masked).sum(1) / masked.sum(1)).detach()
        return tokzoo.ARLoss((nats * masked).sum() / masked.sum(), bound, exact=False)

    def likelihood(self, codes: Tensor, labels: Tensor | None, seeds: Tensor) -> tokzoo.ARLoss:
        uniforms = seeded_uniforms(seeds.tolist(), self.length + 1).to(codes.device)
        masked = _smallest(uniforms[:, 1:], 1 + (uniforms[:, :1] * self.length).floor())
        bound = (self._nats(codes, labels, masked) * masked).sum(1) / masked.sum(1)
        return tokzoo.ARLoss(bound.mean(), bound.detach(), exact=False)

    def features(self, codes: Tensor, labels: Tensor | None, layer: int) -> Tensor:
        starts = codes.new_full((len(codes),), self.null) if labels is None else labels
        x = torch.cat([self.starts(starts)[:, None], self.words(codes)], 1) + self.places
        for block in self.blocks[:layer]:
            x = block(x)
        return x[:, 1:]

    @torch.no_grad()
    def sample(self, labels: Tensor | None, sampler: MaskGITSampler, seeds: Tensor) -> Tensor:
        device = self.places.device
        numbers = seeded_uniforms(seeds.tolist(), 2 * sampler.steps * self.length).to(device)
        uniforms, choices = numbers.unflatten(1, (2, sampler.steps, self.length)).unbind(1)
        codes = torch.full((len(seeds), self.length), self.mask, device=device)
        for step in range(sampler.steps):
            logits = self.head(self.features(codes, labels, self.depth)).float()
            p = filtered_probabilities(logits, sampler.temperature, 0, 1.0)
            drawn = draw(p.flatten(0, 1), uniforms[:, step].flatten()).view(codes.shape)
            masked = codes == self.mask
            certain = p.gather(-1, drawn[..., None]).squeeze(-1).log()
            noise = -(-choices[:, step].clamp(min=1e-12).log()).log()
            done = (step + 1) / sampler.steps
            certain = certain + sampler.choice_temperature * (1 - done) * noise
            left = math.floor(math.cos(math.pi / 2 * done) * self.length)
            again = _smallest(certain.masked_fill(~masked, torch.inf), codes.new_full((len(codes), 1), left))
            codes = torch.where(masked & ~again, drawn, codes)
        return codes

    def _nats(self, codes: Tensor, labels: Tensor | None, masked: Tensor) -> Tensor:
        logits = self.head(self.features(codes.masked_fill(masked, self.mask), labels, self.depth)).float()
        return F.cross_entropy(logits.transpose(1, 2), codes, reduction="none")


def _smallest(values: Tensor, count: Tensor) -> Tensor:
    """Which of ``[B, M]`` are among the ``count`` ``[B, 1]`` smallest of their row."""
    return values.argsort(1).argsort(1) < count


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    small = {"layers": 2, "heads": 2, "width": 16}
    return [tokzoo.ComponentSpec("ar", "strain/maskgit", MaskGITConfig, MaskGIT, "masked codes", example=small)]
