"""VAR: a quantizer whose codes are maps of growing size, and a model that predicts map by map.

Tian et al. (arXiv 2404.02905): algorithm 1 encodes, algorithm 2 decodes; section 3.2 has the likelihood.
"""

import math
from collections.abc import Iterator
from itertools import accumulate, pairwise

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.nearest import nearest
from tokzoo.nn.sampling import draw, filtered_probabilities, seeded_uniforms
from tokzoo.nn.tokens import learned_tokens, to_map, to_tokens

LARGEST = 2**20
"""Codes that a table may have a row for."""


class MultiScaleConfig(tokzoo.QuantizerConfig):
    provides = frozenset({"next_scale", "prefix_decoding"})

    codes: int = Field(4096, ge=2)
    dim: int = Field(32, ge=1)
    sides: tuple[int, ...] = Field((1, 2, 3, 4, 5, 6, 8, 10, 13, 16), description="of the maps; the last, the latent's")
    commitment: float = Field(0.25, ge=0)

    def weight_of(self, term: str) -> float:
        return self.commitment if term == "commitment" else 1.0

    def wants(self, layout: str) -> int:
        return self.dim

    def code_spec(self, latent: tokzoo.LatentSpec) -> tokzoo.CodeSpec:
        last = self.sides[-1]
        if latent.layout != "grid" or latent.shape != (last, last):
            raise tokzoo.Refusal(f"ends with a map of {last}×{last}, and the latent has {latent}; set sides")
        return tokzoo.CodeSpec(latent.shape, (self.codes,), segments=tuple((side, side) for side in self.sides))


class MultiScale(tokzoo.Quantizer):
    """One codebook for all scales; φ is a convolution for each of them."""

    def __init__(self, config: MultiScaleConfig, latent: tokzoo.LatentSpec) -> None:
        super().__init__(config, latent)
        self.size = latent.shape
        self.codebook = nn.Parameter(torch.randn(config.codes, config.dim))
        self.phi = nn.ModuleList(nn.Conv2d(config.dim, config.dim, 3, padding=1) for _ in config.sides)

    def forward(self, latent: Tensor) -> tokzoo.Quantized:
        """Algorithm 1; the straight-through gradient passes the sum of all scales."""
        latent = latent.float()
        left, total, codes = to_map(latent, self.size), 0.0, []
        losses = {"commitment": latent.new_zeros(()), "codebook": latent.new_zeros(())}
        for scale, side in enumerate(self.config.sides):
            vectors = to_tokens(F.interpolate(left.detach(), (side, side), mode="area"))
            codes.append(nearest(vectors.flatten(0, 1), self.codebook).view(vectors.shape[:2]))
            added = self._added(codes[-1], scale)
            left, total = left - added, total + added
            losses["commitment"] = losses["commitment"] + F.mse_loss(latent, to_tokens(total).detach())
            losses["codebook"] = losses["codebook"] + F.mse_loss(to_tokens(total), latent.detach())
        out = to_tokens(total)
        if not self.training:
            return tokzoo.Quantized(out, torch.cat(codes, 1))
        losses = {name: value / len(codes) for name, value in losses.items()}
        return tokzoo.Quantized(latent + (out - latent).detach(), torch.cat(codes, 1), losses)

    def decode(self, codes: Tensor) -> Tensor:
        """Algorithm 2, of as many scales as there are codes of."""
        return to_tokens(self._sum(codes))

    def next_scale(self, codes: Tensor, scale: int) -> Tensor:
        """The sum of the scales before, as small as the scale to come."""
        side = self.config.sides[scale]
        return to_tokens(F.interpolate(self._sum(codes), (side, side), mode="area"))

    def _sum(self, codes: Tensor) -> Tensor:
        total = 0.0
        for scale, of_scale in enumerate(_by_scale(codes, self.config.sides)):
            total = total + self._added(of_scale, scale)
        return total

    def _added(self, codes: Tensor, scale: int) -> Tensor:
        side = self.config.sides[scale]
        grown = F.interpolate(to_map(F.embedding(codes, self.codebook), (side, side)), self.size, mode="bicubic")
        return self.phi[scale](grown)


def _by_scale(codes: Tensor, sides: tuple[int, ...]) -> Iterator[Tensor]:
    ends = accumulate((side * side for side in sides), initial=0)
    return (codes[:, start:end] for start, end in pairwise(ends) if end <= codes.shape[1])


class NextScaleSampler(tokzoo.Config):
    temperature: float = Field(1.0, gt=0)


class NextScaleConfig(tokzoo.ARConfig):
    requires = frozenset({"next_scale"})
    sampler = NextScaleSampler

    layers: int = Field(16, ge=1)
    heads: int = Field(16, ge=1)
    width: int = Field(1024, ge=1)

    def accepts(self, tokens: tokzoo.Tokens) -> None:
        if tokens.codes is None or tokens.codes.segments is None:
            raise tokzoo.Refusal(f"learns maps of growing size, and these are {tokens.codes or 'no codes at all'}")
        if tokens.codes.largest > LARGEST:
            raise tokzoo.Refusal(f"scores every code, and {tokens.codes.largest:,} are too many")


class NextScale(tokzoo.ARModel):
    """A transformer whose positions see their own scale and those before: all codes of a scale are drawn at once."""

    def __init__(
        self, config: NextScaleConfig, tokens: tokzoo.Tokens, quantizer: tokzoo.Quantizer | None = None
    ) -> None:
        super().__init__(config, tokens, quantizer)
        width, codes = config.width, tokens.codes
        self.sizes = [math.prod(shape) for shape in codes.segments]
        self.null = tokens.classes or 0
        self.starts = nn.Embedding(self.null + 1, width)
        self.words = nn.Linear(tokens.latent.channels, width)
        self.places = learned_tokens(codes.positions, width)
        layer = nn.TransformerEncoderLayer(width, config.heads, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.ModuleList(nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False).layers)
        self.head = nn.Linear(width, codes.largest)
        scale_of = torch.tensor([scale for scale, size in enumerate(self.sizes) for _ in range(size)])
        self.register_buffer("hidden", scale_of[:, None] < scale_of, persistent=False)

    @property
    def depth(self) -> int:
        return len(self.blocks)

    def forward(self, codes: Tensor, labels: Tensor | None, progress: tokzoo.Progress | None = None) -> tokzoo.ARLoss:
        logits = self.head(self.features(codes, labels, self.depth)).float()
        nats = F.cross_entropy(logits.transpose(1, 2), codes, reduction="none").mean(1)
        return tokzoo.ARLoss(nats.mean(), nats.detach(), exact=True)

    def features(self, codes: Tensor, labels: Tensor | None, layer: int) -> Tensor:
        return self._run(self._inputs(codes, labels, len(self.sizes)), layer)

    @torch.no_grad()
    def sample(self, labels: Tensor | None, sampler: NextScaleSampler, seeds: Tensor) -> Tensor:
        device = self.places.device
        uniforms = seeded_uniforms(seeds.tolist(), len(self.places)).to(device)
        codes = torch.empty(len(seeds), 0, dtype=torch.int64, device=device)
        for scale, size in enumerate(self.sizes):
            x = self._run(self._inputs(codes, labels, scale + 1), self.depth)[:, -size:]
            p = filtered_probabilities(self.head(x).float(), sampler.temperature, 0, 1.0)
            here = uniforms[:, codes.shape[1] : codes.shape[1] + size]
            codes = torch.cat([codes, draw(p.flatten(0, 1), here.flatten()).view(here.shape)], 1)
        return codes

    def _inputs(self, codes: Tensor, labels: Tensor | None, scales: int) -> Tensor:
        """The start, then of each scale what the quantizer knows of it from the codes before."""
        starts = codes.new_full((len(codes),), self.null) if labels is None else labels
        known, end = [self.starts(starts)[:, None]], 0
        for scale in range(1, scales):
            end += self.sizes[scale - 1]
            with torch.no_grad():
                latent = self.quantizer.next_scale(codes[:, :end], scale)
            known.append(self.words(latent))
        x = torch.cat(known, 1)
        return x + self.places[: x.shape[1]]

    def _run(self, x: Tensor, layers: int) -> Tensor:
        hidden = self.hidden[: x.shape[1], : x.shape[1]]
        for block in self.blocks[:layers]:
            x = block(x, hidden)
        return x


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    maps = {"codes": 16, "dim": 4, "sides": [1, 2, 4]}
    small = {"layers": 2, "heads": 2, "width": 16}
    spec = tokzoo.ComponentSpec
    return [
        spec("quantizer", "strain/multi-scale", MultiScaleConfig, MultiScale, "maps of growing size", example=maps),
        spec("ar", "strain/next-scale", NextScaleConfig, NextScale, "map by map", example=small),
    ]
