"""Small encoders: good ones, and others that are each broken in one way."""

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import field_validator
from torch import nn

import tokzoo
from planted.offering import offered
from tokzoo import Encoded

UNSEEDED = np.random.default_rng()
PATCH = 8


class EncoderConfig(tokzoo.EncoderConfig):
    layout: ClassVar[str] = "grid"
    width: int = 8

    def latent_spec(self, image, channels):
        return tokzoo.LatentSpec("grid", tuple(side // PATCH for side in image.size), channels or self.width)

    def feature_map_spec(self, image):
        return tokzoo.FeatureMapSpec(self.width, tuple(side // PATCH for side in image.size))


@offered("encoder", "good-encoder", EncoderConfig)
class Encoder(tokzoo.Encoder):
    """Patches, and a linear map."""

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        self.patches = nn.Conv2d(image.channels, config.width, PATCH, PATCH)
        self.project = nn.Linear(config.width, latent.channels)

    def forward(self, images):
        feature_map = self.patches(images)
        return Encoded(self.latent(feature_map.flatten(2).transpose(1, 2)), feature_map)

    def latent(self, tokens):
        return self.project(tokens)


@offered("encoder", "cut-latent", EncoderConfig)
class CutLatent(Encoder):
    """Loses a position of the latent."""

    def latent(self, tokens):
        return super().latent(tokens)[:, 1:]


@offered("encoder", "no-map", EncoderConfig)
class NoMap(Encoder):
    """Promises a feature map, and hands on none."""

    def forward(self, images):
        return Encoded(super().forward(images).latent)


class StubbornConfig(EncoderConfig):
    def latent_spec(self, image, channels):
        return super().latent_spec(image, None)


@offered("encoder", "own-channels", StubbornConfig)
class OwnChannels(Encoder):
    """Does not ask how many channels the quantizer wants."""


class SequenceConfig(EncoderConfig):
    layout: ClassVar[str] = "sequence"


@offered("encoder", "wrong-layout", SequenceConfig)
class WrongLayout(Encoder):
    """Declares a sequence, and promises a grid."""


@offered("encoder", "detached", EncoderConfig)
class Detached(Encoder):
    """No gradient leaves it."""

    def forward(self, images):
        with torch.no_grad():
            return super().forward(images)


@offered("encoder", "unused-parameter", EncoderConfig)
class UnusedParameter(Encoder):
    """Has a parameter that nothing reads."""

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        self.forgotten = nn.Parameter(torch.zeros(3))


@offered("encoder", "batch-statistics", EncoderConfig)
class BatchStatistics(Encoder):
    """Centres by the batch, in eval mode too."""

    def latent(self, tokens):
        return super().latent(tokens - tokens.mean(0))


@offered("encoder", "first-of-batch", EncoderConfig)
class FirstOfBatch(Encoder):
    """Treats the first image of a batch differently."""

    def latent(self, tokens):
        place = torch.arange(len(tokens), device=tokens.device)[:, None, None]
        return super().latent(tokens) * torch.where(place == 0, 1.0, 1.01)


@offered("encoder", "margin-lost-in-bf16", EncoderConfig)
class MarginLost(Encoder):
    """A margin of 1e-4 below 1, which bfloat16 rounds away."""

    def latent(self, tokens):
        return torch.atanh((50 * super().latent(tokens)).tanh() * (1 - 1e-4))


@offered("encoder", "running-mean", EncoderConfig)
class RunningMean(Encoder):
    """Keeps a mean of what it saw in training, where no state dict finds it."""

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        self.mean = 0.0

    def latent(self, tokens):
        if self.training:
            self.mean = tokens.detach().mean((0, 1))
            return super().latent(tokens)
        return super().latent(tokens - self.mean)


@offered("encoder", "numpy-start", EncoderConfig)
class NumpyStart(Encoder):
    """Starts from numbers of numpy's, which no seed of torch's decides."""

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        nn.init.constant_(self.project.bias, UNSEEDED.normal())


@offered("encoder", "numpy-noise", EncoderConfig)
class NumpyNoise(Encoder):
    """Adds noise in training that no seed of torch's decides."""

    def latent(self, tokens):
        return super().latent(tokens) + (UNSEEDED.normal() if self.training else 0.0)


@offered("encoder", "counts-in-python", EncoderConfig)
class CountsInPython(Encoder):
    """Lowers its noise with a count of steps that no checkpoint keeps."""

    steps = 0

    def latent(self, tokens):
        latent = super().latent(tokens)
        if not self.training:
            return latent
        self.steps += 1
        return latent * (1 + torch.rand(()) / self.steps)


@offered("encoder", "in-place", EncoderConfig)
class InPlace(Encoder):
    """Works on the images themselves, which others read after it."""

    def forward(self, images):
        return super().forward(images.mul_(0.5))


@offered("encoder", "counts-in-eval", EncoderConfig)
class CountsInEval(Encoder):
    """Counts calls, in eval mode too."""

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return super().forward(images)


class ObjectConfig(EncoderConfig):
    activation: Any = nn.GELU()


@offered("encoder", "config-not-json", ObjectConfig)
class ConfigNotJson(Encoder):
    """Its config holds what JSON cannot."""


class DoublingConfig(EncoderConfig):
    @field_validator("width")
    @classmethod
    def _double(cls, width):
        return 2 * width


@offered("encoder", "config-reads-back-differently", DoublingConfig)
class ConfigReadsBackDifferently(Encoder):
    """Its config is another one each time it is read."""


@offered("encoder", "any-module", EncoderConfig)
class AnyModule(nn.Module):
    """Is not an encoder."""


@offered("encoder", "abstract", EncoderConfig)
class Abstract(tokzoo.Encoder):
    """Has no forward."""


class TappedConfig(EncoderConfig):
    provides: ClassVar[frozenset[str]] = frozenset({"last_layer"})

    def hidden_spec(self, tap, image):
        if tap != 1:
            raise tokzoo.Refusal("has one layer")
        return tokzoo.HiddenSpec(self.feature_map_spec(image).size, self.width)


@offered("encoder", "good-tapped", TappedConfig)
class Tapped(Encoder):
    """Serves its patches."""

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        self.taps = taps

    def forward(self, images):
        out = super().forward(images)
        return Encoded(out.latent, out.feature_map, dict.fromkeys(self.taps, self.states(out.feature_map)))

    def states(self, feature_map):
        return feature_map.flatten(2).transpose(1, 2)

    def last_layer(self):
        return self.project.weight


@offered("encoder", "map-for-a-tap", TappedConfig)
class MapForTap(Tapped):
    """Hidden states as a map."""

    def states(self, feature_map):
        return feature_map


@offered("encoder", "detached-tap", TappedConfig)
class DetachedEncoderTap(Tapped):
    """Hidden states that no regularizer can shape."""

    def states(self, feature_map):
        return super().states(feature_map).detach()


@offered("encoder", "no-last-layer", TappedConfig)
class NoLastLayer(Tapped):
    """Says it names its last layer, and does not."""

    last_layer = None


@offered("encoder", "frozen-last-layer", TappedConfig)
class FrozenLastLayer(Tapped):
    """Its last layer is one that nothing passes."""

    def last_layer(self):
        return self.aside

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        self.aside = nn.Parameter(torch.ones(3))


class FileConfig(EncoderConfig):
    contents: ClassVar[frozenset[str]] = frozenset({"weights"})
    weights: str | None = None


@offered("encoder", "good-pretrained", FileConfig)
class Pretrained(Encoder):
    """Starts from a file, and with some luck."""

    def start(self):
        if self.config.weights is not None:
            self.load_state_dict(torch.load(self.config.weights))
        nn.init.normal_(self.patches.weight)


@offered("encoder", "reads-when-built", FileConfig)
class ReadsWhenBuilt(Encoder):
    """Cannot be loaded where its weights are not."""

    def __init__(self, config, image, latent, taps=()):
        super().__init__(config, image, latent, taps)
        if config.weights is not None and not Path(config.weights).exists():
            raise tokzoo.TokzooError("there are no weights")


@offered("encoder", "own-start-everywhere", EncoderConfig)
class OwnStart(Encoder):
    """Starts from what is different in every process."""

    def start(self):
        nn.init.constant_(self.project.bias, os.getpid() % 9973)


@offered("encoder", "grows-when-started", EncoderConfig)
class GrowsWhenStarted(Encoder):
    """Has more parameters once it was trained."""

    def start(self):
        self.scale = nn.Parameter(torch.ones(()))

    def latent(self, tokens):
        return super().latent(tokens) * getattr(self, "scale", 1.0)


@offered("encoder", "seeds-everybody", EncoderConfig)
class SeedsEverybody(Encoder):
    """Starts from a seed of its own, and so does whatever is built after it."""

    def __init__(self, config, image, latent, taps=()):
        torch.manual_seed(0)
        super().__init__(config, image, latent, taps)
