"""Codes whose vocabulary depends on the position, and a model of them.

Finite scalar quantization (arXiv 2309.15505, section 3.1) where the first positions are finer than the last: scalars of
one channel, each rounded to as many values as its position has. The model is a bigram: the chain rule with a memory of
one code, a table for each position.
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.sampling import draw, filtered_probabilities, seeded_uniforms

LARGEST = 2**20
"""Codes that a table may have a row for."""


class TaperedConfig(tokzoo.QuantizerConfig):
    first: int = Field(17, ge=2, description="values at the first position")
    last: int = Field(2, ge=2, description="values at the last")

    def wants(self, layout: str) -> int:
        return 1

    def code_spec(self, latent: tokzoo.LatentSpec) -> tokzoo.CodeSpec:
        return tokzoo.CodeSpec(latent.shape, self.vocab(latent.positions), vocab_by="position")

    def vocab(self, positions: int) -> tuple[int, ...]:
        step = (self.last - self.first) / max(1, positions - 1)
        return tuple(round(self.first + step * i) for i in range(positions))


class Tapered(tokzoo.Quantizer):
    def __init__(self, config: TaperedConfig, latent: tokzoo.LatentSpec) -> None:
        super().__init__(config, latent)
        self.register_buffer("tops", torch.tensor(config.vocab(latent.positions)) - 1, persistent=False)

    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        bounded = latent.float().squeeze(-1).sigmoid()
        codes = (bounded * self.tops).round().long()
        out = self.decode(codes)
        if not self.training:
            return tokzoo.Quantized(out, codes)
        soft = 2 * bounded[..., None] - 1
        return tokzoo.Quantized(soft + (out - soft).detach(), codes)

    def decode(self, codes: Tensor) -> Tensor:
        return (2 * codes / self.tops - 1)[..., None]


class BigramSampler(tokzoo.Config):
    temperature: float = Field(1.0, gt=0)


class BigramConfig(tokzoo.ARConfig):
    sampler = BigramSampler

    width: int = Field(16, ge=1)

    def accepts(self, tokens: tokzoo.Tokens) -> None:
        if tokens.codes is None or tokens.codes.levels != 1:
            raise tokzoo.Refusal(f"learns one code at each position, and these are {tokens.codes or 'no codes at all'}")
        if tokens.codes.largest > LARGEST:
            raise tokzoo.Refusal(f"has a row for each code, and {tokens.codes.largest:,} are too many")


class Bigram(tokzoo.ARModel):
    """Every code given the one before it, and the class."""

    depth = 1

    def __init__(self, config: BigramConfig, tokens: tokzoo.Tokens, quantizer: tokzoo.Quantizer | None = None) -> None:
        super().__init__(config, tokens, quantizer)
        codes = tokens.codes
        self.null = tokens.classes or 0
        self.starts = nn.Embedding(self.null + 1, config.width)
        sizes = codes.vocab if codes.vocab_by == "position" else codes.vocab * codes.positions
        self.words = nn.ModuleList(nn.Embedding(size, config.width) for size in sizes[:-1])
        self.heads = nn.ModuleList(nn.Linear(config.width, size) for size in sizes)

    def forward(self, codes: Tensor, labels: Tensor | None, progress: tokzoo.Progress | None = None) -> tokzoo.ARLoss:
        states = self.features(codes, labels, 1)
        each = [
            F.cross_entropy(head(state).float(), code, reduction="none")
            for head, state, code in zip(self.heads, states.unbind(1), codes.unbind(1), strict=True)
        ]
        nats = torch.stack(each, 1).mean(1)
        return tokzoo.ARLoss(nats.mean(), nats.detach(), exact=True)

    def features(self, codes: Tensor, labels: Tensor | None, layer: int) -> Tensor:
        start = self._start(labels, len(codes))
        before = zip(self.words, codes.unbind(1), strict=False)
        return torch.stack([start, *(start + word(code) for word, code in before)], 1)

    @torch.no_grad()
    def sample(self, labels: Tensor | None, sampler: BigramSampler, seeds: Tensor) -> Tensor:
        start = state = self._start(labels, len(seeds))
        uniforms = seeded_uniforms(seeds.tolist(), len(self.heads)).to(start.device)
        codes = []
        for position, head in enumerate(self.heads):
            p = filtered_probabilities(head(state).float(), sampler.temperature, 0, 1.0)
            codes.append(draw(p, uniforms[:, position]))
            state = start + self.words[position](codes[-1]) if position < len(self.words) else None
        return torch.stack(codes, 1)

    def _start(self, labels: Tensor | None, batch: int) -> Tensor:
        device = self.starts.weight.device
        return self.starts(torch.full((batch,), self.null, device=device) if labels is None else labels)


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    return [
        tokzoo.ComponentSpec("quantizer", "strain/tapered", TaperedConfig, Tapered, "finer at first"),
        tokzoo.ComponentSpec("ar", "strain/bigram", BigramConfig, Bigram, "a code from the one before"),
    ]
