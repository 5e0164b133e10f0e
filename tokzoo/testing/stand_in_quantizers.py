"""The kit's own quantizers: one of each kind of codes, for what has to work with codes of any kind."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from tokzoo.contracts.configs import QuantizerConfig
from tokzoo.contracts.interfaces import Quantizer
from tokzoo.contracts.outputs import Assignment, Quantized
from tokzoo.contracts.specs import ASSIGNMENT, NEXT_SCALE, PREFIX_DECODING, CodeSpec, LatentSpec, Layout

DIM, CODES = 4, 32
"""The codebook's dimension and size."""


class NearestConfig(QuantizerConfig):
    """The nearest vector of a codebook."""

    provides: ClassVar[frozenset[str]] = frozenset({ASSIGNMENT})

    codes: int = Field(CODES, ge=1, description="codes of the codebook")

    def wants(self, layout: Layout) -> int:
        """The codebook's dimension."""
        return DIM

    def code_spec(self, latent: LatentSpec) -> CodeSpec:
        """One code for each position."""
        return CodeSpec(latent.shape, (self.codes,))


class Nearest(Quantizer):
    """Straight-through, with a codebook and a commitment loss."""

    def __init__(self, config: Any, latent: LatentSpec) -> None:
        super().__init__(config, latent)
        self.spec: CodeSpec = config.code_spec(latent)
        self.shape = latent.shape
        self.codebook = nn.Parameter(torch.randn(*self.books(), self.spec.largest, latent.channels))

    def books(self) -> tuple[int, ...]:
        """How many codebooks there are, if there are several."""
        return ()

    def forward(self, latent: Tensor) -> Quantized:
        """The nearest codes."""
        with torch.no_grad():
            codes = self.choose(latent.float())
        chosen = self.decode(codes)
        losses = {
            "codebook": F.mse_loss(chosen, latent.detach().float()),
            "commitment": F.mse_loss(latent.float(), chosen.detach()),
        }
        through = latent + (chosen - latent).detach() if self.training else chosen
        return Quantized(through, codes, losses)

    def choose(self, latent: Tensor) -> Tensor:
        """The codes of a latent."""
        return nearest(latent, self.codebook)

    def decode(self, codes: Tensor) -> Tensor:
        """Rows of the codebook."""
        return F.embedding(codes, self.codebook)

    def assignment(self, latent: Tensor) -> Sequence[Assignment]:
        """Latents and codebook as they are."""
        return (Assignment(latent.flatten(0, -2), self.codebook),)


def nearest(latent: Tensor, codebook: Tensor) -> Tensor:
    """The nearest rows of ``[K, c]`` to ``[..., c]``."""
    return (latent[..., None, :] - codebook).square().sum(-1).argmin(-1)


class LevelsConfig(NearestConfig):
    """Codebooks one after the other, each for what those before it left."""

    levels: int = Field(3, ge=1, description="codebooks")

    def code_spec(self, latent: LatentSpec) -> CodeSpec:
        """A code of each level at each position, of equal vocabularies."""
        return CodeSpec(latent.shape, (self.codes,) * self.levels)


class Levels(Nearest):
    """Residual quantization (arXiv 2203.01941)."""

    def books(self) -> tuple[int, ...]:
        """One a level."""
        return (self.spec.levels,)

    def choose(self, latent: Tensor) -> Tensor:
        """Level by level."""
        codes = []
        for codebook in self.codebook:
            codes.append(nearest(latent, codebook))
            latent = latent - F.embedding(codes[-1], codebook)
        return torch.stack(codes, -1)

    def decode(self, codes: Tensor) -> Tensor:
        """The sum of the levels' vectors."""
        books = zip(codes.unbind(-1), self.codebook, strict=True)
        return torch.stack([F.embedding(these, codebook) for these, codebook in books]).sum(0)

    def assignment(self, latent: Tensor) -> Sequence[Assignment]:
        """A factor for each level, of what is left for it."""
        factors = []
        for codebook in self.codebook:
            factors.append(Assignment(latent.flatten(0, -2), codebook))
            latent = latent - F.embedding(nearest(latent.detach(), codebook), codebook).detach()
        return factors


class PlacesConfig(NearestConfig):
    """Another codebook at each position, of another size."""

    sizes: tuple[int, ...] | None = Field(None, description="codes at each position; null: fewer and fewer")

    def code_spec(self, latent: LatentSpec) -> CodeSpec:
        """One code for each position, of its own vocabulary."""
        sizes = self.sizes or tuple(max(2, self.codes - place) for place in range(latent.positions))
        return CodeSpec(latent.shape, sizes, vocab_by="position")


class Places(Nearest):
    """Codebooks as large as the largest, of which each position uses the first rows."""

    beyond: Tensor

    def __init__(self, config: Any, latent: LatentSpec) -> None:
        super().__init__(config, latent)
        sizes = torch.tensor(self.spec.vocab)[:, None]
        self.register_buffer("beyond", torch.arange(self.spec.largest) >= sizes, persistent=False)

    def books(self) -> tuple[int, ...]:
        """One a position."""
        return (self.spec.positions,)

    def choose(self, latent: Tensor) -> Tensor:
        """Each position by itself."""
        distances = (latent[..., None, :] - self.codebook).square().sum(-1)
        return distances.masked_fill(self.beyond, torch.inf).argmin(-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Rows of each position's codebook."""
        return self.codebook[torch.arange(self.spec.positions, device=codes.device), codes]

    def assignment(self, latent: Tensor) -> Sequence[Assignment]:
        """A factor for each position."""
        places = zip(latent.unbind(1), self.codebook, self.spec.vocab, strict=True)
        return [Assignment(queries, codebook[:size]) for queries, codebook, size in places]


class ScalesConfig(NearestConfig):
    """Coarse to fine: each scale for what those before it left."""

    provides: ClassVar[frozenset[str]] = frozenset({NEXT_SCALE, PREFIX_DECODING})

    scales: tuple[tuple[int, ...], ...] | None = Field(None, description="their shapes; null: sides 1, 2, 4 …")

    def code_spec(self, latent: LatentSpec) -> CodeSpec:
        """The positions of all scales, one after the other."""
        return CodeSpec(latent.shape, (self.codes,), self.scales or _doubling(latent.shape))


def _doubling(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    scales = [shape]
    while max(scales[0]) > 1:
        scales.insert(0, tuple(max(1, side // 2) for side in scales[0]))
    return tuple(scales)


class Scales(Nearest):
    """Multi-scale residual quantization (VAR, arXiv 2404.02905, algorithms 1 and 2), without its convolutions."""

    def __init__(self, config: Any, latent: LatentSpec) -> None:
        super().__init__(config, latent)
        assert self.spec.segments is not None
        self.scales = self.spec.segments
        ends = [0]
        for scale in self.scales:
            ends.append(ends[-1] + math.prod(scale))
        self.spans = [slice(*ends) for ends in pairwise(ends)]

    def choose(self, latent: Tensor) -> Tensor:
        """Scale by scale."""
        codes = []
        for scale in self.scales:
            codes.append(nearest(_resized(latent, self.shape, scale), self.codebook))
            latent = latent - self._at_full_size(codes[-1], scale)
        return torch.cat(codes, 1)

    def decode(self, codes: Tensor) -> Tensor:
        """The sum of the scales that the codes are of."""
        known = [span for span in self.spans if span.stop <= codes.shape[1]]
        scales = zip(known, self.scales, strict=False)
        return torch.stack([self._at_full_size(codes[:, span], scale) for span, scale in scales]).sum(0)

    def next_scale(self, codes: Tensor, scale: int) -> Tensor:
        """The latent of the scales before, at the size of the next."""
        return _resized(self.decode(codes), self.shape, self.scales[scale])

    def _at_full_size(self, codes: Tensor, scale: tuple[int, ...]) -> Tensor:
        return _resized(F.embedding(codes, self.codebook), scale, self.shape)


def _resized(latent: Tensor, shape: tuple[int, ...], to: tuple[int, ...]) -> Tensor:
    """``[B, N, c]`` of one shape at another: averaged down, or repeated."""
    maps = latent.transpose(1, 2).unflatten(2, (1, *shape)[-2:])
    height, width = (1, *to)[-2:]
    smaller = height * width < math.prod(shape)
    resized = F.adaptive_avg_pool2d(maps, (height, width)) if smaller else F.interpolate(maps, (height, width))
    return resized.flatten(2).transpose(1, 2)


class ContinuousConfig(QuantizerConfig):
    """No codes at all."""

    def code_spec(self, latent: LatentSpec) -> None:
        """None."""
        return


class Continuous(Quantizer):
    """The latent as it is, and its size as a loss."""

    def forward(self, latent: Tensor) -> Quantized:
        """Without codes."""
        return Quantized(latent, None, {"size": latent.float().square().mean()})

    def decode(self, codes: Tensor) -> Tensor:
        """Never asked."""
        raise NotImplementedError


QUANTIZERS: dict[str, tuple[type[QuantizerConfig], type[Quantizer]]] = {
    "nearest": (NearestConfig, Nearest),
    "levels": (LevelsConfig, Levels),
    "scales": (ScalesConfig, Scales),
    "places": (PlacesConfig, Places),
    "continuous": (ContinuousConfig, Continuous),
}
"""By the names of the kit's components."""


def quantizer_of(codes: CodeSpec) -> tuple[QuantizerConfig, type[Quantizer]]:
    """The quantizer whose codes are such ones, for AR models that read latents."""
    if codes.segments is not None:
        return ScalesConfig(codes=codes.vocab[0], scales=codes.segments), Scales
    if codes.vocab_by == "position":
        return PlacesConfig(sizes=codes.vocab), Places
    if codes.levels > 1:
        # The vocabularies of a stand-in's levels are equal; a code beyond a smaller one is never asked for.
        return LevelsConfig(codes=codes.largest, levels=codes.levels), Levels
    return NearestConfig(codes=codes.vocab[0]), Nearest
