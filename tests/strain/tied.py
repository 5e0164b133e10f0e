"""An encoder and a decoder of one weight: the transposed map (tied weights: Vincent et al., JMLR 2010, section 3.1)."""

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

import tokzoo
from tokzoo.nn.tokens import to_map, to_tokens

PATCH = 4


class TiedEncoderConfig(tokzoo.EncoderConfig):
    layout: ClassVar[str] = "grid"

    def latent_spec(self, image: tokzoo.ImageSpec, channels: int | None) -> tokzoo.LatentSpec:
        return tokzoo.LatentSpec("grid", (image.size[0] // PATCH, image.size[1] // PATCH), channels or 4)


class TiedEncoder(tokzoo.Encoder):
    def __init__(self, config: Any, image: Any, latent: Any, taps: tuple[tokzoo.Tap, ...] = ()) -> None:
        super().__init__(config, image, latent, taps)
        self.patches = nn.Conv2d(image.channels, latent.channels, PATCH, PATCH)

    def forward(self, images: Tensor) -> tokzoo.Encoded:
        return tokzoo.Encoded(to_tokens(self.patches(images)))


class TiedDecoderConfig(tokzoo.DecoderConfig):
    def accepts(self, latent: tokzoo.LatentSpec, image: tokzoo.ImageSpec) -> None:
        if latent.layout != "grid" or tuple(PATCH * side for side in latent.shape) != image.size:
            raise tokzoo.Refusal(f"makes {PATCH}×{PATCH} pixels of each place of a grid")


class TiedDecoder(tokzoo.Decoder):
    """The encoder's weight, and a bias of its own."""

    def __init__(self, config: Any, latent: Any, image: Any, taps: tuple[tokzoo.Tap, ...] = ()) -> None:
        super().__init__(config, latent, image, taps)
        self.grid = latent.shape
        self.weight = nn.Conv2d(image.channels, latent.channels, PATCH, PATCH, bias=False).weight
        self.bias = nn.Parameter(self.weight.new_zeros(image.channels))

    def share(self, encoder: tokzoo.Encoder) -> None:
        if isinstance(encoder, TiedEncoder):
            self.weight = encoder.patches.weight

    def forward(self, latent: Tensor, target: Tensor | None = None) -> tokzoo.Decoded:
        return tokzoo.Decoded(F.conv_transpose2d(to_map(latent, self.grid), self.weight, self.bias, stride=PATCH))


@tokzoo.hookimpl
def tokzoo_components() -> list[tokzoo.ComponentSpec]:
    return [
        tokzoo.ComponentSpec("encoder", "strain/tied", TiedEncoderConfig, TiedEncoder, "patches"),
        tokzoo.ComponentSpec("decoder", "strain/tied", TiedDecoderConfig, TiedDecoder, "patches, by the same weight"),
    ]
