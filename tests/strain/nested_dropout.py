"""Nested dropout (Rippel et al., arXiv 1402.0915, section 3): the first tokens say most, since later ones may be gone.

Of each image the first k tokens are kept, k drawn anew in each step; FlexTok (arXiv 2502.13967) and One-D-Piece (arXiv
2501.10064) train one-dimensional tokenizers so. What stands for a missing token is learned, and belongs to the decoder.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

import tokzoo
from tokzoo.contracts.specs import PREFIX_DECODING
from tokzoo.nn.tokens import learned_tokens
from tokzoo.nn.transformer import SelfAttentionLayer


class OrderedDecoderConfig(tokzoo.DecoderConfig):
    provides: ClassVar[frozenset[str]] = frozenset({PREFIX_DECODING})
    width: int = 16
    patch: int = 8

    def accepts(self, latent: tokzoo.LatentSpec, image: tokzoo.ImageSpec) -> None:
        if any(side % self.patch for side in image.size):
            raise tokzoo.Refusal(f"makes patches of {self.patch}×{self.patch}")


class OrderedDecoder(tokzoo.Decoder):
    """Patches are read off one transformer layer over all tokens; missing ones are ``missing``."""

    def __init__(self, config: Any, latent: Any, image: Any, taps: tuple[tokzoo.Tap, ...] = ()) -> None:
        super().__init__(config, latent, image, taps)
        self.rows, self.columns = (side // config.patch for side in image.size)
        self.positions = latent.positions
        self.missing = nn.Parameter(torch.zeros(latent.channels))
        self.enter = nn.Linear(latent.channels, config.width)
        self.places = learned_tokens(latent.positions + self.rows * self.columns, config.width)
        self.layer = SelfAttentionLayer(config.width, 2)
        self.leave = nn.Linear(config.width, image.channels * config.patch**2)

    def forward(self, latent: Tensor, target: Tensor | None = None) -> tokzoo.Decoded:
        patches = self.rows * self.columns
        tokens = nn.functional.pad(self.enter(latent), (0, 0, 0, patches)) + self.places
        pixels = self.leave(self.layer(tokens)[:, -patches:]).unflatten(1, (self.rows, self.columns))
        images = pixels.unflatten(3, (-1, self.config.patch, self.config.patch)).permute(0, 3, 1, 4, 2, 5)
        return tokzoo.Decoded(images.flatten(4, 5).flatten(2, 3))

    def decode(self, latent: Tensor, seeds: Tensor, sampler: Any = None) -> Tensor:
        rest = self.missing.expand(len(latent), self.positions - latent.shape[1], -1)
        return self.forward(torch.cat([latent, rest], 1)).images


class NestedDropoutConfig(tokzoo.RegularizerConfig):
    requires: ClassVar[frozenset[str]] = frozenset({f"decoder.{PREFIX_DECODING}"})


class NestedDropout(tokzoo.Regularizer):
    def transform(self, latent: Tensor, state: tokzoo.Pass) -> Tensor:
        count = latent.shape[1]
        kept = torch.randint(1, count + 1, (len(latent), 1, 1), device=latent.device)
        place = torch.arange(count, device=latent.device)[:, None]
        return torch.where(place < kept, latent, state.tokenizer.decoder.missing)


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    return [
        tokzoo.ComponentSpec("decoder", "strain/ordered", OrderedDecoderConfig, OrderedDecoder, "of some tokens"),
        tokzoo.ComponentSpec("regularizer", "strain/nested", NestedDropoutConfig, NestedDropout, "nested dropout"),
    ]
