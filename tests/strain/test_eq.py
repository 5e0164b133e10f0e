"""EQ-VAE (arXiv 2502.09509): a latent that is rotated and scaled decodes to the image rotated and scaled.

It adds ``L(τ∘x, D(τ∘E(x)))`` with τ drawn anew in each step; here any image term is the L, on a further view.
"""

from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import tokzoo
from tokzoo.nn.tokens import to_map, to_tokens

ANY_SQUARE = "any-square"
"""A capability of our own: the decoder is convolutional, and decodes a square latent of any size."""


class ConvDecoderConfig(tokzoo.DecoderConfig):
    provides: ClassVar = frozenset({ANY_SQUARE})
    width: int = 16

    def accepts(self, latent, image):
        if latent.layout != "grid" or [8 * side for side in latent.shape] != list(image.size):
            raise tokzoo.Refusal("makes 8×8 pixels of each place of a grid")


class ConvDecoder(tokzoo.Decoder):
    config: ConvDecoderConfig

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        up = [nn.ConvTranspose2d(latent.channels, config.width, 2, 2), nn.SiLU()]
        up += [nn.ConvTranspose2d(config.width, config.width, 2, 2), nn.SiLU()]
        self.net = nn.Sequential(*up, nn.ConvTranspose2d(config.width, image.channels, 2, 2))

    def forward(self, latent, target=None):
        side = round(latent.shape[1] ** 0.5)
        return tokzoo.Decoded(self.net(to_map(latent, (side, side))))


class EquivarianceConfig(tokzoo.RegularizerConfig):
    requires: ClassVar = frozenset({f"decoder.{ANY_SQUARE}"})
    smallest: float = 0.25

    def accepts(self, chain):
        if chain.quantized.layout != "grid" or len(set(chain.quantized.shape)) != 1:
            raise tokzoo.Refusal("rotates and scales a square grid")


class Equivariance(tokzoo.Regularizer):
    """A quarter turn, or more, and a factor between ``smallest`` and 1, the same for a batch."""

    config: EquivarianceConfig

    def views(self, state):
        latent = state.quantized.latent
        side = round(latent.shape[1] ** 0.5)
        turns = int(torch.randint(0, 4, ()))
        places = max(1, round(side * float(torch.empty(()).uniform_(self.config.smallest, 1))))
        moved = to_tokens(transform(to_map(latent, (side, side)), turns, places / side))
        target = transform(state.images, turns, places / side)
        return {"moved": tokzoo.View(state.tokenizer.decoder(moved, target), target)}


def transform(pixels, turns, factor):
    """Quarter turns and a size, of images or of latents ``[B, c, h, w]``."""
    return F.interpolate(pixels.rot90(turns, (2, 3)), scale_factor=factor, mode="bilinear", antialias=factor < 1)


def test_the_transformed_latent_is_a_view_that_image_terms_compare(train):
    recipe = {"decoder": "conv-decoder", "regularizers": {"l2": "l2", "eq": "equivariance"}}
    done = train(recipe, ConvDecoder, Equivariance)
    assert done.terms["l2.moved"] > 0
    assert done.terms["loss"] > done.terms["l2.moved"] + done.terms["l2"]
    assert done.tokenizer.reconstruct(done.images)[0].shape == done.images.shape


def test_a_decoder_of_one_size_is_refused_with_one_that_fits(train):
    wanted = "needs the capability 'decoder.any-square'.*provided by decoder 'conv-decoder'"
    with pytest.raises(tokzoo.TokzooError, match=wanted):
        train({"regularizers": {"l2": "l2", "eq": "equivariance"}}, Equivariance, ConvDecoder)
