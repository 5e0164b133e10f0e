"""The frame of GigaTok's encoders and decoders: a CNN, a transformer, and the projection to or from the latent."""

from torch import Tensor, nn

from tokzoo import Decoded, Decoder, Encoded, Encoder, ImageSpec, LatentSpec
from tokzoo.contracts.specs import Tap
from tokzoo.nn.tokens import to_tokens
from tokzoo_gigatok.cnn import CNNDecoder, CNNEncoder
from tokzoo_gigatok.configs import MAP_TAP, CNNDecoderConfig, CNNEncoderConfig


def initialise(module: nn.Module, std: float | None) -> None:
    """GigaTok's start: weights of linear maps and convolutions normal with deviation ``std``, their biases 0.

    The published code cuts the normal at ±2, a hundred deviations out, which is no cut. Norms, positions, queries and
    the packed input projections of attention keep their own start. At 0.02 the scale that adaptive GroupNorm reads off
    the style starts near 0.

    Args:
        module: what to initialise.
        std: 0.02 in the published models; None for fan-in^-1/2 of each weight.
    """
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.normal_(part.weight, std=part.weight[0].numel() ** -0.5 if std is None else std)
            nn.init.zeros_(part.bias)


class BackboneEncoder(Encoder):
    """Images, CNN, feature map, transformer, projection, latent.

    Args:
        config: the sizes.
        image: what images are.
        latent: what was promised.
        taps: layer numbers, and ``"map"``, to keep.
        transformer: a feature map ``[B, C', h, w]`` and taps to tokens ``[B, N, C']`` and the stream at each tap.
    """

    def __init__(
        self,
        config: CNNEncoderConfig,
        image: ImageSpec,
        latent: LatentSpec,
        taps: tuple[Tap, ...],
        transformer: nn.Module,
    ) -> None:
        super().__init__(config, image, latent, taps)
        self.taps = taps
        self.cnn = CNNEncoder(config, image.channels)
        self.transformer = transformer
        initialise(self, config.init_std)
        # Made after that pass: the published models leave this projection at torch's default.
        self.projection = nn.Linear(config.map_channels, latent.channels)

    def forward(self, images: Tensor) -> Encoded:
        """Encode ``[B, C, H, W]``; the feature map is the CNN's output."""
        feature_map = self.cnn(images)
        tokens, hidden = self.transformer(feature_map, self.taps)
        if MAP_TAP in self.taps:
            hidden[MAP_TAP] = to_tokens(feature_map)
        return Encoded(self.projection(tokens), feature_map, hidden)

    def last_layer(self) -> Tensor:
        """The weight of the projection to the latent."""
        return self.projection.weight


class BackboneDecoder(Decoder):
    """Latent, projection, transformer, feature map, CNN, images.

    Args:
        config: the sizes.
        latent: what it is given.
        image: what it makes.
        taps: layer numbers, and ``"map"``, to keep.
        transformer: tokens ``[B, N, C']`` and taps to a feature map ``[B, C', h, w]`` and the stream at each tap.
    """

    def __init__(
        self,
        config: CNNDecoderConfig,
        latent: LatentSpec,
        image: ImageSpec,
        taps: tuple[Tap, ...],
        transformer: nn.Module,
    ) -> None:
        super().__init__(config, latent, image, taps)
        self.taps = taps
        self.transformer = transformer
        self.cnn = CNNDecoder(config, image.channels)
        initialise(self, config.init_std)
        self.projection = nn.Linear(latent.channels, config.map_channels)

    def forward(self, latent: Tensor, target: Tensor | None = None) -> Decoded:
        """Decode ``[B, N, c]``; nothing is learned from ``target`` here."""
        feature_map, hidden = self.transformer(self.projection(latent), self.taps)
        if MAP_TAP in self.taps:
            hidden[MAP_TAP] = to_tokens(feature_map)
        return Decoded(self.cnn(feature_map), hidden)

    def decode_feature_map(self, feature_map: Tensor) -> Decoded:
        """Images straight from the encoder's feature map ``[B, C', h, w]``, around quantizer and transformer."""
        return Decoded(self.cnn(feature_map))

    def last_layer(self) -> Tensor:
        """The weight of the last convolution."""
        return self.cnn.conv_out.weight
