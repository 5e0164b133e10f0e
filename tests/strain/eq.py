"""EQ-VAE (arXiv 2502.09509): a latent that is rotated and scaled decodes to the image rotated and scaled.

It adds ``L(τ∘x, D(τ∘E(x)))`` with τ drawn anew in each step; here any image term is the L, on a further view.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.tokens import to_map, to_tokens

ANY_SQUARE = "strain/any-square"
"""A capability of our own: the decoder is convolutional, and decodes a square latent of any size."""


class ConvDecoderConfig(tokzoo.DecoderConfig):
    provides: ClassVar[frozenset[str]] = frozenset({ANY_SQUARE})
    width: int = 8

    def accepts(self, latent: tokzoo.LatentSpec, image: tokzoo.ImageSpec) -> None:
        if latent.layout != "grid" or tuple(4 * side for side in latent.shape) != image.size:
            raise tokzoo.Refusal("makes 4×4 pixels of each place of a grid")


class ConvDecoder(tokzoo.Decoder):
    def __init__(self, config: Any, latent: Any, image: Any, taps: tuple[tokzoo.Tap, ...] = ()) -> None:
        super().__init__(config, latent, image, taps)
        self.first = nn.ConvTranspose2d(latent.channels, config.width, 2, 2)
        self.second = nn.ConvTranspose2d(config.width, image.channels, 2, 2)

    def forward(self, latent: Tensor, target: Tensor | None = None) -> tokzoo.Decoded:
        side = round(latent.shape[1] ** 0.5)
        return tokzoo.Decoded(self.second(F.silu(self.first(to_map(latent, (side, side))))))


class EquivarianceConfig(tokzoo.RegularizerConfig):
    requires: ClassVar[frozenset[str]] = frozenset({f"decoder.{ANY_SQUARE}"})
    smallest: float = 0.25

    def accepts(self, chain: tokzoo.Chain) -> None:
        if chain.quantized.layout != "grid" or len(set(chain.quantized.shape)) != 1:
            raise tokzoo.Refusal("rotates and scales a square grid")


class Equivariance(tokzoo.Regularizer):
    """Quarter turns, and a factor between ``smallest`` and 1, the same for a batch."""

    def views(self, state: tokzoo.Pass) -> dict[str, tokzoo.View]:
        latent = state.quantized.latent
        side = round(latent.shape[1] ** 0.5)
        turns = int(torch.randint(0, 4, ()))
        factor = max(1, round(side * float(torch.empty(()).uniform_(self.config.smallest, 1)))) / side
        target = moved(state.images, turns, factor)
        decoded = state.tokenizer.decoder(to_tokens(moved(to_map(latent, (side, side)), turns, factor)), target)
        return {"moved": tokzoo.View(decoded, target)}


def moved(pixels: Tensor, turns: int, factor: float) -> Tensor:
    """Images or latents ``[B, c, h, w]``, turned and made smaller."""
    return F.interpolate(pixels.rot90(turns, (2, 3)), scale_factor=factor, mode="bilinear", antialias=factor < 1)


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    return [
        tokzoo.ComponentSpec("decoder", "strain/conv", ConvDecoderConfig, ConvDecoder, "convolutions alone"),
        tokzoo.ComponentSpec("regularizer", "strain/eq", EquivarianceConfig, Equivariance, "EQ-VAE's term"),
    ]
