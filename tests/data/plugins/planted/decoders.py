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


class StepsSampler(tokzoo.Config):
    steps: int = 4


class SampledConfig(FlowConfig):
    sampler: ClassVar = StepsSampler


@offered("decoder", "good-sampled", SampledConfig)
class Sampled(Flow):
    """Draws its noise in as many steps as its sampler says."""

    def decode(self, latent, seeds, sampler=None):
        steps = (sampler or StepsSampler()).steps
        images = Decoder.decode(self, latent, seeds)
        for step in range(steps):
            images = images + 0.1 / steps * self.noise(images, seeds + step)
        return images


class NeedySampler(tokzoo.Config):
    steps: int


class NeedyConfig(FlowConfig):
    sampler: ClassVar = NeedySampler


@offered("decoder", "sampler-without-defaults", NeedyConfig)
class SamplerWithoutDefaults(Flow):
    """Cannot be sampled unless somebody chooses."""


@offered("decoder", "other-defaults", SampledConfig)
class OtherDefaults(Sampled):
    """Takes more steps when nobody tells it how many."""

    def decode(self, latent, seeds, sampler=None):
        return super().decode(latent, seeds, sampler or StepsSampler(steps=8))


@offered("decoder", "seed-of-the-batch", FlowConfig)
class SeedOfTheBatch(Flow):
    """One seed makes the noise of all."""

    def noise(self, images, seeds):
        return super().noise(images, seeds[:1].expand(len(seeds)))


@offered("decoder", "seeds-the-global-generator", FlowConfig)
class SeedsGlobally(Flow):
    """Seeds torch's generator for everybody."""

    def noise(self, images, seeds):
        torch.manual_seed(int(seeds[0]))
        return super().noise(images, seeds)


class OrderedConfig(tokzoo.DecoderConfig):
    provides: ClassVar[frozenset[str]] = frozenset({"prefix_decoding", "last_layer"})

    def accepts(self, latent, image):
        if latent.layout != "sequence":
            raise tokzoo.Refusal("wants a sequence")


@offered("decoder", "good-ordered", OrderedConfig)
class Ordered(tokzoo.Decoder):
    """A coarse picture from the sum of as many tokens as there are."""

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        self.size, self.places = image.size, nn.Parameter(torch.randn(latent.positions, latent.channels))
        self.pixels = nn.Linear(latent.channels, image.channels * 16)
        self.register_buffer("missing", torch.zeros(latent.channels), persistent=False)

    def forward(self, latent, target=None):
        told = (latent * self.places[: latent.shape[1]]).sum(1)
        return Decoded(F.interpolate(self.pixels(told).unflatten(1, (-1, 4, 4)), self.size))

    def last_layer(self):
        return self.pixels.weight


@offered("decoder", "whole-or-nothing", OrderedConfig)
class WholeOrNothing(Ordered):
    """Says it decodes prefixes, and makes smaller pictures of them."""

    def decode(self, latent, seeds, sampler=None):
        images = super().decode(latent, seeds)
        return images if latent.shape[1] == len(self.places) else images[..., ::2]


@offered("decoder", "misses-another", OrderedConfig)
class MissesAnother(Ordered):
    """What it says stands for a token that is not there is not what it decodes without one."""

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        self.missing += 1


@offered("decoder", "foreign-last-layer", OrderedConfig)
class ForeignLastLayer(Ordered):
    """Names a copy as its last layer."""

    def last_layer(self):
        return self.pixels.weight.detach().clone().requires_grad_()


@offered("decoder", "unreached-last-layer", OrderedConfig)
class UnreachedLastLayer(Ordered):
    """Names a layer that only its own loss reads."""

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        self.other = nn.Parameter(torch.ones(3))

    def forward(self, latent, target=None):
        return Decoded(super().forward(latent).images, {}, {"other": self.other.square().sum()})

    def last_layer(self):
        return self.other


class TiedConfig(DecoderConfig):
    provides: ClassVar[frozenset[str]] = frozenset()

    def accepts(self, latent, image):
        super().accepts(latent, image)
        if latent.channels != 6:
            raise tokzoo.Refusal("wants six channels")


@offered("decoder", "good-tied", TiedConfig)
class Tied(Decoder):
    """Its first layer is the transpose of its encoder's last."""

    def share(self, encoder):
        if not hasattr(encoder, "project"):
            raise tokzoo.Refusal("shares the projection of this plugin's encoders")
        self.layers = nn.ModuleList([Transposed(self.take(encoder)), *self.layers[1:]])

    def take(self, encoder):
        return encoder.project.weight


class Transposed(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, x):
        return F.linear(x, self.weight.T)


@offered("decoder", "tied-to-a-copy", TiedConfig)
class TiedToCopy(Tied):
    """Says it shares, and copies."""

    def take(self, encoder):
        return nn.Parameter(encoder.project.weight.detach().clone())


@offered("decoder", "changes-its-encoder", TiedConfig)
class ChangesEncoder(Tied):
    """Scales what it shares to its own liking."""

    def take(self, encoder):
        with torch.no_grad():
            return encoder.project.weight.mul_(0.5)


@offered("decoder", "replaces-its-encoders", TiedConfig)
class ReplacesEncoder(Tied):
    """Hands its encoder a parameter that no optimizer knows."""

    def take(self, encoder):
        encoder.project.weight = nn.Parameter(encoder.project.weight.detach().clone())
        return encoder.project.weight
