"""Small encoders, quantizers and decoders: good ones, and others that are each broken in one way."""

from typing import Any, ClassVar

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from pydantic import field_validator
from torch import nn

import tokzoo
from tokzoo import Assignment, Decoded, Encoded, Overwritten, Quantized
from tokzoo.nn.distributed import of_first_rank

COMPONENTS = []
UNSEEDED = np.random.default_rng()
PATCH = 8


def component(kind, name, config):
    """Registers the class below as ``faulty/NAME``."""

    def register(target):
        COMPONENTS.append(tokzoo.ComponentSpec(kind, f"faulty/{name}", config, target, target.__doc__ or name))
        return target

    return register


@tokzoo.hookimpl
def tokzoo_components():
    return COMPONENTS


# Encoders


class EncoderConfig(tokzoo.EncoderConfig):
    layout: ClassVar[str] = "grid"
    width: int = 8

    def latent_spec(self, image, channels):
        return tokzoo.LatentSpec("grid", tuple(side // PATCH for side in image.size), channels or self.width)

    def feature_map_spec(self, image):
        return tokzoo.FeatureMapSpec(self.width, tuple(side // PATCH for side in image.size))


@component("encoder", "good-encoder", EncoderConfig)
class Encoder(tokzoo.Encoder):
    """Patches, and a linear map."""

    def __init__(self, config, image, latent):
        super().__init__(config, image, latent)
        self.patches = nn.Conv2d(image.channels, config.width, PATCH, PATCH)
        self.project = nn.Linear(config.width, latent.channels)

    def forward(self, images):
        feature_map = self.patches(images)
        return Encoded(self.latent(feature_map.flatten(2).transpose(1, 2)), feature_map)

    def latent(self, tokens):
        return self.project(tokens)


@component("encoder", "cut-latent", EncoderConfig)
class CutLatent(Encoder):
    """Loses a position of the latent."""

    def latent(self, tokens):
        return super().latent(tokens)[:, 1:]


@component("encoder", "no-map", EncoderConfig)
class NoMap(Encoder):
    """Promises a feature map, and hands on none."""

    def forward(self, images):
        return Encoded(super().forward(images).latent)


class StubbornConfig(EncoderConfig):
    def latent_spec(self, image, channels):
        return super().latent_spec(image, None)


@component("encoder", "own-channels", StubbornConfig)
class OwnChannels(Encoder):
    """Does not ask how many channels the quantizer wants."""


class SequenceConfig(EncoderConfig):
    layout: ClassVar[str] = "sequence"


@component("encoder", "wrong-layout", SequenceConfig)
class WrongLayout(Encoder):
    """Declares a sequence, and promises a grid."""


@component("encoder", "detached", EncoderConfig)
class Detached(Encoder):
    """No gradient leaves it."""

    def forward(self, images):
        with torch.no_grad():
            return super().forward(images)


@component("encoder", "unused-parameter", EncoderConfig)
class UnusedParameter(Encoder):
    """Has a parameter that nothing reads."""

    def __init__(self, config, image, latent):
        super().__init__(config, image, latent)
        self.forgotten = nn.Parameter(torch.zeros(3))


@component("encoder", "batch-statistics", EncoderConfig)
class BatchStatistics(Encoder):
    """Centres by the batch, in eval mode too."""

    def latent(self, tokens):
        return super().latent(tokens - tokens.mean(0))


@component("encoder", "first-of-batch", EncoderConfig)
class FirstOfBatch(Encoder):
    """Treats the first image of a batch differently."""

    def latent(self, tokens):
        place = torch.arange(len(tokens), device=tokens.device)[:, None, None]
        return super().latent(tokens) * torch.where(place == 0, 1.0, 1.01)


@component("encoder", "margin-lost-in-bf16", EncoderConfig)
class MarginLost(Encoder):
    """A margin of 1e-4 below 1, which bfloat16 rounds away."""

    def latent(self, tokens):
        return torch.atanh((50 * super().latent(tokens)).tanh() * (1 - 1e-4))


@component("encoder", "running-mean", EncoderConfig)
class RunningMean(Encoder):
    """Keeps a mean of what it saw in training, where no state dict finds it."""

    def __init__(self, config, image, latent):
        super().__init__(config, image, latent)
        self.mean = 0.0

    def latent(self, tokens):
        if self.training:
            self.mean = tokens.detach().mean((0, 1))
            return super().latent(tokens)
        return super().latent(tokens - self.mean)


@component("encoder", "numpy-start", EncoderConfig)
class NumpyStart(Encoder):
    """Starts from numbers of numpy's, which no seed of torch's decides."""

    def __init__(self, config, image, latent):
        super().__init__(config, image, latent)
        nn.init.constant_(self.project.bias, UNSEEDED.normal())


@component("encoder", "numpy-noise", EncoderConfig)
class NumpyNoise(Encoder):
    """Adds noise in training that no seed of torch's decides."""

    def latent(self, tokens):
        return super().latent(tokens) + (UNSEEDED.normal() if self.training else 0.0)


@component("encoder", "counts-in-python", EncoderConfig)
class CountsInPython(Encoder):
    """Lowers its noise with a count of steps that no checkpoint keeps."""

    steps = 0

    def latent(self, tokens):
        latent = super().latent(tokens)
        if not self.training:
            return latent
        self.steps += 1
        return latent * (1 + torch.rand(()) / self.steps)


@component("encoder", "in-place", EncoderConfig)
class InPlace(Encoder):
    """Works on the images themselves, which others read after it."""

    def forward(self, images):
        return super().forward(images.mul_(0.5))


@component("encoder", "counts-in-eval", EncoderConfig)
class CountsInEval(Encoder):
    """Counts calls, in eval mode too."""

    def __init__(self, config, image, latent):
        super().__init__(config, image, latent)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return super().forward(images)


class ObjectConfig(EncoderConfig):
    activation: Any = nn.GELU()


@component("encoder", "config-not-json", ObjectConfig)
class ConfigNotJson(Encoder):
    """Its config holds what JSON cannot."""


class DoublingConfig(EncoderConfig):
    @field_validator("width")
    @classmethod
    def _double(cls, width):
        return 2 * width


@component("encoder", "config-reads-back-differently", DoublingConfig)
class ConfigReadsBackDifferently(Encoder):
    """Its config is another one each time it is read."""


@component("encoder", "any-module", EncoderConfig)
class AnyModule(nn.Module):
    """Is not an encoder."""


@component("encoder", "abstract", EncoderConfig)
class Abstract(tokzoo.Encoder):
    """Has no forward."""


# Quantizers


class QuantizerConfig(tokzoo.QuantizerConfig):
    provides: ClassVar[frozenset[str]] = frozenset({"assignment"})
    codes: int = 16
    dim: int = 4

    def wants(self, layout):
        return self.dim

    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (self.codes,))

    def weight_of(self, term):
        return {"commitment": 0.25, "codebook": 1.0}[term]


@component("quantizer", "good-quantizer", QuantizerConfig)
class Quantizer(tokzoo.Quantizer):
    """A codebook whose unused codes are revived."""

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.codebook = nn.Parameter(torch.randn(config.codes, config.dim))
        self.register_buffer("usage", torch.ones(config.codes), persistent=False)

    def forward(self, latent):
        z = latent.float()
        codes = self.choose(z)
        e = self.decode(codes)
        if not self.training:
            return Quantized(e, codes)
        return Quantized(self.pass_on(z, e), codes, self.losses(z, e), self.statistics(codes))

    def choose(self, z):
        return (z[..., None, :] - self.codebook).square().sum(-1).argmin(-1)

    def pass_on(self, z, e):
        return z + (e - z).detach()

    def losses(self, z, e):
        return {"commitment": F.mse_loss(z, e.detach()), "codebook": F.mse_loss(e, z.detach())}

    def statistics(self, codes):
        return {"usage": self.usage.mean()}

    def decode(self, codes):
        return F.embedding(codes, self.codebook)

    def assignment(self, latent):
        return Assignment(latent.float().flatten(0, 1), self.codebook)

    @torch.no_grad()
    def after_step(self, context):
        latents, codes = self.seen(context)
        self.usage.lerp_(torch.zeros_like(self.usage).index_fill_(0, codes.flatten(), 1.0), 0.5)
        dead = self.usage < 0.3
        rows = latents.flatten(0, 1)[self.draws(latents[..., 0].numel())]
        self.codebook.copy_(torch.where(dead[:, None], rows, self.codebook))
        self.usage.masked_fill_(dead, 1.0)
        return (Overwritten(self.codebook, dead),)

    def seen(self, context):
        return context.latent, context.codes

    def draws(self, count):
        return of_first_rank(torch.randint(count, (len(self.codebook),)))


class ContinuousConfig(tokzoo.QuantizerConfig):
    def code_spec(self, latent):
        return None


@component("quantizer", "good-continuous", ContinuousConfig)
class Continuous(tokzoo.Quantizer):
    """Noise in training, and nothing else."""

    def forward(self, latent):
        noise = torch.randn_like(latent) if self.training else 0.0
        losses = {"kl": latent.float().square().mean()} if self.training else {}
        return Quantized(latent + noise, None, losses)

    def decode(self, codes):
        raise tokzoo.TokzooError("there are no codes")


class LevelsConfig(tokzoo.QuantizerConfig):
    def wants(self, layout):
        return 2

    def code_spec(self, latent):
        if latent.layout != "grid":
            raise tokzoo.Refusal("wants a grid")
        return tokzoo.CodeSpec(latent.shape, (2, 4))


@component("quantizer", "good-levels", LevelsConfig)
class Levels(tokzoo.Quantizer):
    """Two codes at each place of a grid, of two and of four values."""

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.register_buffer("vocab", torch.tensor([2, 4]), persistent=False)

    def forward(self, latent):
        codes = (latent.float().sigmoid() * self.vocab).floor().minimum(self.vocab - 1).long()
        values = self.decode(codes)
        return Quantized(latent + (values - latent).detach() if self.training else values, codes)

    def decode(self, codes):
        return torch.logit((codes + 0.5) / self.vocab)


@component("quantizer", "out-of-range", QuantizerConfig)
class OutOfRange(Quantizer):
    """Counts codes from 1."""

    def choose(self, z):
        return super().choose(z) + 1

    def decode(self, codes):
        return super().decode(codes - 1)


@component("quantizer", "extremes-out-of-range", LevelsConfig)
class ExtremesOutOfRange(Levels):
    """Has no code for what its bound rounds up to."""

    def forward(self, latent):
        codes = (latent.float().sigmoid() * self.vocab).floor().long()
        values = self.decode(codes)
        return Quantized(latent + (values - latent).detach() if self.training else values, codes)


@component("quantizer", "int32-codes", QuantizerConfig)
class Int32Codes(Quantizer):
    """Codes that fewer bytes hold."""

    def choose(self, z):
        return super().choose(z).int()


@component("quantizer", "codes-as-grid", QuantizerConfig)
class CodesAsGrid(Quantizer):
    """Codes of another shape than promised."""

    def choose(self, z):
        return super().choose(z).unflatten(1, (-1, 4))

    def decode(self, codes):
        return super().decode(codes.flatten(1))


@component("quantizer", "straight-through-in-eval", QuantizerConfig)
class StraightThroughInEval(Quantizer):
    """Hands on a latent that is not quite the code's vector."""

    def forward(self, latent):
        out = super().forward(latent)
        return out if self.training else Quantized(self.pass_on(latent, out.latent), out.codes)


@component("quantizer", "flat-decode", QuantizerConfig)
class FlatDecode(Quantizer):
    """Decodes a batch into one long row."""

    def forward(self, latent):
        out = super().forward(latent)
        return Quantized(out.latent.view(latent.shape), out.codes, out.losses, out.statistics)

    def pass_on(self, z, e):
        return super().pass_on(z, e.view(z.shape))

    def losses(self, z, e):
        return super().losses(z, e.view(z.shape))

    def decode(self, codes):
        return super().decode(codes).flatten(0, 1)


@component("quantizer", "no-straight-through", QuantizerConfig)
class NoStraightThrough(Quantizer):
    """Hands on the code's vector, which knows nothing of the latent."""

    def pass_on(self, z, e):
        return e


@component("quantizer", "loss-of-each", QuantizerConfig)
class LossOfEach(Quantizer):
    """A loss for each latent."""

    def losses(self, z, e):
        return {"commitment": (z - e.detach()).square().mean(-1)}


@component("quantizer", "detached-loss", QuantizerConfig)
class DetachedLoss(Quantizer):
    """A loss that teaches nothing."""

    def losses(self, z, e):
        return {**super().losses(z, e), "codebook": F.mse_loss(e, z).detach()}


@component("quantizer", "unweighed-loss", QuantizerConfig)
class UnweighedLoss(Quantizer):
    """A loss its config does not know."""

    def losses(self, z, e):
        return {**super().losses(z, e), "surprise": z.mean()}


@component("quantizer", "attached-statistics", QuantizerConfig)
class AttachedStatistics(Quantizer):
    """A statistic that drags its graph along."""

    def statistics(self, codes):
        return {"norm": self.codebook.norm()}


@component("quantizer", "no-assignment", QuantizerConfig)
class NoAssignment(Quantizer):
    """Says it provides what it does not have."""

    assignment = None


@component("quantizer", "detached-assignment", QuantizerConfig)
class DetachedAssignment(Quantizer):
    """Affinities from which nothing can be learned."""

    def assignment(self, latent):
        return Assignment(latent.detach().flatten(0, 1), self.codebook)


@component("quantizer", "rows-as-numbers", QuantizerConfig)
class RowsAsNumbers(Quantizer):
    """Names the rows it overwrote by number."""

    def after_step(self, context):
        return [Overwritten(change.parameter, change.rows.nonzero()) for change in super().after_step(context)]


@component("quantizer", "tells-nothing", QuantizerConfig)
class TellsNothing(Quantizer):
    """Does not say which rows it overwrote."""

    def after_step(self, context):
        super().after_step(context)


@component("quantizer", "divides-by-zero", QuantizerConfig)
class DividesByZero(Quantizer):
    """Moves each code to the mean of its latents, of which there may be none."""

    @torch.no_grad()
    def after_step(self, context):
        chosen = F.one_hot(context.codes.flatten(), len(self.codebook)).float()
        self.codebook.copy_(chosen.T @ context.latent.flatten(0, 1) / chosen.sum(0)[:, None])
        return ()


@component("quantizer", "own-codes", QuantizerConfig)
class OwnCodes(Quantizer):
    """Counts the codes of this rank alone."""

    def choose(self, z):
        self.chosen = super().choose(z)
        return self.chosen

    def seen(self, context):
        return context.latent, self.chosen


@component("quantizer", "own-draws", QuantizerConfig)
class OwnDraws(Quantizer):
    """Every rank revives codes with random numbers of its own."""

    def draws(self, count):
        return torch.randint(count, (len(self.codebook),))


@component("quantizer", "fails-on-second-rank", QuantizerConfig)
class FailsOnSecondRank(Quantizer):
    """Raises where it is not the only process."""

    def seen(self, context):
        if dist.is_initialized() and dist.get_rank() == 1:
            raise tokzoo.TokzooError("only made for one process")
        return super().seen(context)


@component("quantizer", "centred-by-batch", QuantizerConfig)
class CentredByBatch(Quantizer):
    """Chooses codes by where a latent lies in its batch."""

    def choose(self, z):
        return super().choose(z - z.mean((0, 1)))


@component("quantizer", "logarithm-in-bf16", QuantizerConfig)
class LogarithmInHalf(Quantizer):
    """The logarithm of a share that rounds to 0 in the latent's own bfloat16."""

    def forward(self, latent):
        out = super().forward(latent)
        if self.training:
            out.losses["commitment"] = (1 - (4 * latent).sigmoid()).log().float().square().mean()
        return out


@component("quantizer", "plain-codebook", QuantizerConfig)
class PlainCodebook(Quantizer):
    """An offset that is neither parameter nor buffer."""

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.offset = torch.randn(config.dim)

    def decode(self, codes):
        return super().decode(codes) + self.offset


# Decoders


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


@component("decoder", "good-decoder", DecoderConfig)
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


@component("decoder", "good-flow", FlowConfig)
class Flow(Decoder):
    """Learns by a loss of its own, and decodes with noise."""

    def forward(self, latent, target=None):
        out = super().forward(latent)
        losses = {} if target is None else {"flow": F.mse_loss(out.images.float(), target)}
        return Decoded(out.images, out.hidden, losses)

    def decode(self, latent, generator=None):
        images = super().decode(latent)
        return images + 0.1 * torch.randn(images.shape, generator=generator, device=images.device)


@component("decoder", "half-size", DecoderConfig)
class HalfSize(Decoder):
    """Images of half the size."""

    def paint(self, tokens):
        return F.avg_pool2d(super().paint(tokens), 2)


@component("decoder", "detached-images", DecoderConfig)
class DetachedImages(Decoder):
    """Cuts the latent off."""

    def forward(self, latent, target=None):
        return super().forward(latent.detach())


@component("decoder", "unused-layer", DecoderConfig)
class UnusedLayer(Decoder):
    """Has a layer that nothing passes through."""

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, taps)
        self.spare = nn.Linear(2, 2)


@component("decoder", "unasked-tap", DecoderConfig)
class UnaskedTap(Decoder):
    """Keeps hidden states nobody asked for."""

    def __init__(self, config, latent, image, taps=()):
        super().__init__(config, latent, image, (1, *taps))


@component("decoder", "missing-tap", DecoderConfig)
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


@component("decoder", "narrow-tap", WideConfig)
class NarrowTap(Decoder):
    """Hidden states narrower than promised."""


@component("decoder", "detached-tap", DecoderConfig)
class DetachedTap(Decoder):
    """Hidden states that no regularizer can shape."""

    def forward(self, latent, target=None):
        out = super().forward(latent)
        return Decoded(out.images, {tap: states.detach() for tap, states in out.hidden.items()})


@component("decoder", "unseeded-noise", FlowConfig)
class UnseededNoise(Flow):
    """Does not draw from the generator it is given."""

    def decode(self, latent, generator=None):
        return super().decode(latent)


@component("decoder", "no-map-decoding", DecoderConfig)
class NoMapDecoding(Decoder):
    """Says it decodes feature maps, and cannot."""

    decode_feature_map = None


class ShyConfig(DecoderConfig):
    def accepts_feature_map(self, feature_map, image):
        raise tokzoo.Refusal("wants another map")


@component("decoder", "accepts-no-map", ShyConfig)
class AcceptsNoMap(Decoder):
    """Says it decodes feature maps, and accepts none."""


class PickyConfig(DecoderConfig):
    def accepts(self, latent, image):
        raise tokzoo.Refusal("wants another latent")


@component("decoder", "accepts-no-latent", PickyConfig)
class AcceptsNoLatent(Decoder):
    """Accepts no latent at all."""


@component("decoder", "loss-of-each-image", FlowConfig)
class LossOfEachImage(Flow):
    """A loss for each image."""

    def forward(self, latent, target=None):
        out = super().forward(latent)
        each = {} if target is None else {"flow": (out.images - target).square().mean((1, 2, 3))}
        return Decoded(out.images, out.hidden, each)


@component("decoder", "contrast-of-batch", DecoderConfig)
class ContrastOfBatch(Decoder):
    """Stretches the batch to one contrast."""

    def paint(self, tokens):
        images = super().paint(tokens)
        return images / images.std()


@component("decoder", "tanh-of-its-input", DecoderConfig)
class TanhOfItsInput(Decoder):
    """Bounds the latent in place."""

    def forward(self, latent, target=None):
        return super().forward(latent if latent.requires_grad else latent.tanh_())
