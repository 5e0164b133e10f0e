"""Nested dropout (Rippel et al., arXiv 1402.0915, section 3): the first tokens say most, since later ones may be gone.

Of each image the first k tokens are kept, k drawn anew in each step; FlexTok (arXiv 2502.13967) and One-D-Piece (arXiv
2501.10064) train one-dimensional tokenizers so. What stands for a missing token is learned, and belongs to the decoder.
"""

from typing import ClassVar

import pytest
import torch
from torch import nn

import tokzoo
from tokzoo.contracts.specs import PREFIX_DECODING
from tokzoo.nn.tokens import learned_tokens
from tokzoo.nn.transformer import SelfAttentionLayer


class OrderedDecoderConfig(tokzoo.DecoderConfig):
    provides: ClassVar = frozenset({PREFIX_DECODING})
    width: int = 16
    patch: int = 8

    def accepts(self, latent, image):
        if any(side % self.patch for side in image.size):
            raise tokzoo.Refusal(f"makes patches of {self.patch}×{self.patch}")


class OrderedDecoder(tokzoo.Decoder):
    """Patches are read off one transformer layer over all tokens; missing ones are ``missing``."""

    config: OrderedDecoderConfig

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        self.rows, self.columns = (side // config.patch for side in image.size)
        self.positions = latent.positions
        self.missing = nn.Parameter(torch.zeros(latent.channels))
        self.enter = nn.Linear(latent.channels, config.width)
        self.places = learned_tokens(latent.positions + self.rows * self.columns, config.width)
        self.layer = SelfAttentionLayer(config.width, 2)
        self.leave = nn.Linear(config.width, image.channels * config.patch**2)

    def forward(self, latent, target=None):
        patches = self.rows * self.columns
        tokens = nn.functional.pad(self.enter(latent), (0, 0, 0, patches)) + self.places
        pixels = self.leave(self.layer(tokens)[:, -patches:]).unflatten(1, (self.rows, self.columns))
        images = pixels.unflatten(3, (-1, self.config.patch, self.config.patch)).permute(0, 3, 1, 4, 2, 5)
        return tokzoo.Decoded(images.flatten(4, 5).flatten(2, 3))

    def decode(self, latent, seeds, sampler=None):
        rest = self.missing.expand(len(latent), self.positions - latent.shape[1], -1)
        return self.forward(torch.cat([latent, rest], 1)).images


class NestedDropoutConfig(tokzoo.RegularizerConfig):
    requires: ClassVar = frozenset({f"decoder.{PREFIX_DECODING}"})


class NestedDropout(tokzoo.Regularizer):
    config: NestedDropoutConfig

    def transform(self, latent, state):
        count = latent.shape[1]
        kept = torch.randint(1, count + 1, (len(latent), 1, 1), device=latent.device)
        place = torch.arange(count, device=latent.device)[:, None]
        return torch.where(place < kept, latent, state.tokenizer.decoder.missing)


RECIPE = {
    "encoder": {"use": "gigatok-qformer", "size": None, "width": 16, "layers": 1, "heads": 2, "channels": 4}
    | {"multipliers": [1, 1, 1, 1], "groups": 2, "map_channels": 8, "blocks": 1, "tokens": 8},
    "decoder": "ordered-decoder",
    "regularizers": {"l2": "l2", "nested": "nested-dropout"},
}


def test_images_are_decoded_from_the_first_tokens_and_judged_by_their_number(train):
    done = train(RECIPE, OrderedDecoder, NestedDropout, metrics=["psnr", "prefix-psnr"])
    assert done.tokenizer.prefixes == tuple(range(1, 9))
    reported = {name for name in done.record.metrics if "psnr_at" in name}
    assert reported == {f"reconstruction.psnr_at_{n}" for n in (1, 2, 4, 8)}
    assert done.value("reconstruction.psnr_at_8") == done.value("reconstruction.psnr")
    assert done.value("reconstruction.psnr_at_1") != done.value("reconstruction.psnr_at_2")

    codes = done.tokenizer.encode(done.images)
    whole, first = done.tokenizer.decode(codes), done.tokenizer.decode(codes[:, :3])
    assert not torch.equal(whole, first)
    changed = codes.clone()
    changed[:, 3:] = 0
    assert torch.equal(done.tokenizer.from_prefix(changed, 3), first)
    assert bool(done.tokenizer.decoder.missing.any())  # it was learned


def test_a_decoder_that_needs_all_tokens_is_refused(train):
    with pytest.raises(tokzoo.TokzooError, match="needs the capability 'decoder.prefix_decoding'"):
        train({"regularizers": RECIPE["regularizers"]}, NestedDropout)
