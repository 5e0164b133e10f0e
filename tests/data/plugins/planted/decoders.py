"""Small decoders: good ones, and others that are each broken in one way."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

import tokzoo
from planted.offering import offered
from tokzoo import Decoded
from tokzoo.nn.sampling import seeded_uniforms

PATCH = 8


class DecoderConfig(tokzoo.DecoderConfig):
    provides: ClassVar[frozenset[str]] = frozenset({"feature_map_decoding"})
    width: int = 8

    def grid(self, image):
        return tuple(side // PATCH for side in image.size)

    def accepts(self, latent, image):
        if (latent.layout, latent.shape) != ("grid", self.grid(image)):
            raise tokzoo.Refusal("wants a grid of patches")

    def accepts_feature_map(self, feature_map, image):
        if feature_map != tokzoo.FeatureMapSpec(self.width, self.grid(image)):
            raise tokzoo.Refusal("wants a map of patches")

    def hidden_spec(self, tap, latent, image):
        if tap not in (1, 2):
            raise tokzoo.Refusal("has two layers")
        return tokzoo.HiddenSpec(latent.shape, self.width)


@offered("decoder", "good-decoder", DecoderConfig)
class Decoder(tokzoo.Decoder):
    """Two layers, and a linear map to patches."""

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        self.taps, self.grid = taps, config.grid(image)
        self.layers = nn.ModuleList(nn.Linear(width, config.width) for width in (latent.channels, config.width))
        self.head = nn.Linear(config.width, image.channels * PATCH * PATCH)

    def forward(self, latent, target=None):
        hidden = {}
        for number, layer in enumerate(self.layers, start=1):
            latent = F.gelu(layer(latent))
            if number in self.taps:
                hidden[number] = latent
        return Decoded(self.paint(latent), hidden)

    def paint(self, tokens):
        return F.pixel_shuffle(self.head(tokens).transpose(1, 2).unflatten(2, self.grid), PATCH)

    def decode_feature_map(self, feature_map):
        return Decoded(self.paint(feature_map.flatten(2).transpose(1, 2)))


class FlowConfig(DecoderConfig):
    provides: ClassVar[frozenset[str]] = frozenset()

    def weight_of(self, term):
        return {"flow": 0.5}[term]


@offered("decoder", "good-flow", FlowConfig)
class Flow(Decoder):
    """Learns by a loss of its own, and decodes with noise."""

    def forward(self, latent, target=None):
        out = super().forward(latent)
        losses = {} if target is None else {"flow": F.mse_loss(out.images.float(), target)}
        return Decoded(out.images, out.hidden, losses)

    def decode(self, latent, seeds, sampler=None):
        images = super().decode(latent, seeds)
        return images + 0.1 * self.noise(images, seeds)

    def noise(self, images, seeds):
        drawn = seeded_uniforms(seeds.tolist(), images[0].numel())
        return drawn.to(images).view_as(images)


@offered("decoder", "half-size", DecoderConfig)
class HalfSize(Decoder):
    """Images of half the size."""

    def paint(self, tokens):
        return F.avg_pool2d(super().paint(tokens), 2)


@offered("decoder", "detached-images", DecoderConfig)
class DetachedImages(Decoder):
    """Cuts the latent off."""

    def forward(self, latent, target=None):
        return super().forward(latent.detach())


@offered("decoder", "unused-layer", DecoderConfig)
class UnusedLayer(Decoder):
    """Has a layer that nothing passes through."""

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        self.spare = nn.Linear(2, 2)


@offered("decoder", "unasked-tap", DecoderConfig)
class UnaskedTap(Decoder):
    """Keeps hidden states nobody asked for."""

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, (1, *taps))


@offered("decoder", "missing-tap", DecoderConfig)
class MissingTap(Decoder):
    """Promises a tap it does not serve."""

    def forward(self, latent, target=None):
        out = super().forward(latent)
        out.hidden.pop(2, None)
        return out


class WideConfig(DecoderConfig):
    def hidden_spec(self, tap, latent, image):
        spec = super().hidden_spec(tap, latent, image)
        return tokzoo.HiddenSpec(spec.shape, 2 * spec.dim)


@offered("decoder", "narrow-tap", WideConfig)
class NarrowTap(Decoder):
    """Hidden states narrower than promised."""


@offered("decoder", "detached-tap", DecoderConfig)
class DetachedTap(Decoder):
    """Hidden states that no regularizer can shape."""

    def forward(self, latent, target=None):
        out = super().forward(latent)
        return Decoded(out.images, {tap: states.detach() for tap, states in out.hidden.items()})


@offered("decoder", "unseeded-noise", FlowConfig)
class UnseededNoise(Flow):
    """Does not draw from the seeds it is given."""

    def noise(self, images, seeds):
        return torch.rand_like(images)


@offered("decoder", "no-map-decoding", DecoderConfig)
class NoMapDecoding(Decoder):
    """Says it decodes feature maps, and cannot."""

    decode_feature_map = None


class ShyConfig(DecoderConfig):
    def accepts_feature_map(self, feature_map, image):
        raise tokzoo.Refusal("wants another map")


@offered("decoder", "accepts-no-map", ShyConfig)
class AcceptsNoMap(Decoder):
    """Says it decodes feature maps, and accepts none."""


class PickyConfig(DecoderConfig):
    def accepts(self, latent, image):
        raise tokzoo.Refusal("wants another latent")


@offered("decoder", "accepts-no-latent", PickyConfig)
class AcceptsNoLatent(Decoder):
    """Accepts no latent at all."""


@offered("decoder", "loss-of-each-image", FlowConfig)
class LossOfEachImage(Flow):
    """A loss for each image."""

    def forward(self, latent, target=None):
        out = super().forward(latent)
        each = {} if target is None else {"flow": (out.images - target).square().mean((1, 2, 3))}
        return Decoded(out.images, out.hidden, each)


@offered("decoder", "contrast-of-batch", DecoderConfig)
class ContrastOfBatch(Decoder):
    """Stretches the batch to one contrast."""

    def paint(self, tokens):
        images = super().paint(tokens)
        return images / images.std()


@offered("decoder", "tanh-of-its-input", DecoderConfig)
class TanhOfItsInput(Decoder):
    """Bounds the latent in place."""

    def forward(self, latent, target=None):
        return super().forward(latent if latent.requires_grad else latent.tanh_())
