"""Small quantizers: good ones, and others that are each broken in one way."""

from typing import ClassVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

import tokzoo
from planted.offering import offered
from tokzoo import Assignment, Overwritten, Quantized
from tokzoo.nn.distributed import of_first_rank


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


@offered("quantizer", "good-quantizer", QuantizerConfig)
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
        return (Assignment(latent.float().flatten(0, 1), self.codebook),)

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


@offered("quantizer", "good-continuous", ContinuousConfig)
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


@offered("quantizer", "good-levels", LevelsConfig)
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


@offered("quantizer", "out-of-range", QuantizerConfig)
class OutOfRange(Quantizer):
    """Counts codes from 1."""

    def choose(self, z):
        return super().choose(z) + 1

    def decode(self, codes):
        return super().decode(codes - 1)


@offered("quantizer", "extremes-out-of-range", LevelsConfig)
class ExtremesOutOfRange(Levels):
    """Has no code for what its bound rounds up to."""

    def forward(self, latent):
        codes = (latent.float().sigmoid() * self.vocab).floor().long()
        values = self.decode(codes)
        return Quantized(latent + (values - latent).detach() if self.training else values, codes)


@offered("quantizer", "int32-codes", QuantizerConfig)
class Int32Codes(Quantizer):
    """Codes that fewer bytes hold."""

    def choose(self, z):
        return super().choose(z).int()


@offered("quantizer", "codes-as-grid", QuantizerConfig)
class CodesAsGrid(Quantizer):
    """Codes of another shape than promised."""

    def choose(self, z):
        return super().choose(z).unflatten(1, (-1, 4))

    def decode(self, codes):
        return super().decode(codes.flatten(1))


@offered("quantizer", "straight-through-in-eval", QuantizerConfig)
class StraightThroughInEval(Quantizer):
    """Hands on a latent that is not quite the code's vector."""

    def forward(self, latent):
        out = super().forward(latent)
        return out if self.training else Quantized(self.pass_on(latent, out.latent), out.codes)


@offered("quantizer", "flat-decode", QuantizerConfig)
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


@offered("quantizer", "no-straight-through", QuantizerConfig)
class NoStraightThrough(Quantizer):
    """Hands on the code's vector, which knows nothing of the latent."""

    def pass_on(self, z, e):
        return e


@offered("quantizer", "loss-of-each", QuantizerConfig)
class LossOfEach(Quantizer):
    """A loss for each latent."""

    def losses(self, z, e):
        return {"commitment": (z - e.detach()).square().mean(-1)}


@offered("quantizer", "detached-loss", QuantizerConfig)
class DetachedLoss(Quantizer):
    """A loss that teaches nothing."""

    def losses(self, z, e):
        return {**super().losses(z, e), "codebook": F.mse_loss(e, z).detach()}


@offered("quantizer", "unweighed-loss", QuantizerConfig)
class UnweighedLoss(Quantizer):
    """A loss its config does not know."""

    def losses(self, z, e):
        return {**super().losses(z, e), "surprise": z.mean()}


@offered("quantizer", "attached-statistics", QuantizerConfig)
class AttachedStatistics(Quantizer):
    """A statistic that drags its graph along."""

    def statistics(self, codes):
        return {"norm": self.codebook.norm()}


@offered("quantizer", "no-assignment", QuantizerConfig)
class NoAssignment(Quantizer):
    """Says it provides what it does not have."""

    assignment = None


@offered("quantizer", "detached-assignment", QuantizerConfig)
class DetachedAssignment(Quantizer):
    """Affinities from which nothing can be learned."""

    def assignment(self, latent):
        return (Assignment(latent.detach().flatten(0, 1), self.codebook),)


@offered("quantizer", "rows-as-numbers", QuantizerConfig)
class RowsAsNumbers(Quantizer):
    """Names the rows it overwrote by number."""

    def after_step(self, context):
        return [Overwritten(change.parameter, change.rows.nonzero()) for change in super().after_step(context)]


@offered("quantizer", "tells-nothing", QuantizerConfig)
class TellsNothing(Quantizer):
    """Does not say which rows it overwrote."""

    def after_step(self, context):
        super().after_step(context)


@offered("quantizer", "divides-by-zero", QuantizerConfig)
class DividesByZero(Quantizer):
    """Moves each code to the mean of its latents, of which there may be none."""

    @torch.no_grad()
    def after_step(self, context):
        chosen = F.one_hot(context.codes.flatten(), len(self.codebook)).float()
        self.codebook.copy_(chosen.T @ context.latent.flatten(0, 1) / chosen.sum(0)[:, None])
        return ()


@offered("quantizer", "own-codes", QuantizerConfig)
class OwnCodes(Quantizer):
    """Counts the codes of this rank alone."""

    def choose(self, z):
        self.chosen = super().choose(z)
        return self.chosen

    def seen(self, context):
        return context.latent, self.chosen


@offered("quantizer", "own-draws", QuantizerConfig)
class OwnDraws(Quantizer):
    """Every rank revives codes with random numbers of its own."""

    def draws(self, count):
        return torch.randint(count, (len(self.codebook),))


@offered("quantizer", "fails-on-second-rank", QuantizerConfig)
class FailsOnSecondRank(Quantizer):
    """Raises where it is not the only process."""

    def seen(self, context):
        if dist.is_initialized() and dist.get_rank() == 1:
            raise tokzoo.TokzooError("only made for one process")
        return super().seen(context)


@offered("quantizer", "centred-by-batch", QuantizerConfig)
class CentredByBatch(Quantizer):
    """Chooses codes by where a latent lies in its batch."""

    def choose(self, z):
        return super().choose(z - z.mean((0, 1)))


@offered("quantizer", "logarithm-in-bf16", QuantizerConfig)
class LogarithmInHalf(Quantizer):
    """The logarithm of a share that rounds to 0 in the latent's own bfloat16."""

    def forward(self, latent):
        out = super().forward(latent)
        if self.training:
            out.losses["commitment"] = (1 - (4 * latent).sigmoid()).log().float().square().mean()
        return out


@offered("quantizer", "plain-codebook", QuantizerConfig)
class PlainCodebook(Quantizer):
    """An offset that is neither parameter nor buffer."""

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.offset = torch.randn(config.dim)

    def decode(self, codes):
        return super().decode(codes) + self.offset


@offered("quantizer", "one-assignment", QuantizerConfig)
class OneAssignment(Quantizer):
    """Gives its one factor by itself."""

    def assignment(self, latent):
        return super().assignment(latent)[0]


@offered("quantizer", "bias-of-each-latent", QuantizerConfig)
class BiasOfEach(Quantizer):
    """Has a bias for each latent, not for each code."""

    def assignment(self, latent):
        (factor,) = super().assignment(latent)
        return (Assignment(factor.queries, factor.codes, bias=factor.queries.square().sum(1)),)


@offered("quantizer", "product-for-a-distance", QuantizerConfig)
class ProductForDistance(Quantizer):
    """Chooses by distance, and says that it chose by the dot product."""

    def assignment(self, latent):
        (factor,) = super().assignment(latent)
        return (Assignment(factor.queries, factor.codes, 0.5, 4 * factor.codes.square().sum(1)),)


class BitsConfig(tokzoo.QuantizerConfig):
    bits: int = 36

    def wants(self, layout):
        return self.bits

    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (2**self.bits,))


@offered("quantizer", "good-bits", BitsConfig)
class Bits(tokzoo.Quantizer):
    """Thirty-six signs."""

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.register_buffer("powers", 2 ** torch.arange(config.bits), persistent=False)

    def forward(self, latent):
        codes = self.number(latent > 0)
        signs = self.decode(codes)
        return Quantized(latent + (signs - latent).detach() if self.training else signs, codes)

    def number(self, bits):
        return (bits * self.powers).sum(-1)

    def decode(self, codes):
        return (codes[..., None] // self.powers % 2) * 2.0 - 1.0


@offered("quantizer", "added-up-in-floats", BitsConfig)
class InFloats(Bits):
    """Numbers its codes in float32, which has 24 bits."""

    def number(self, bits):
        return (bits.float() @ self.powers.float()).long().clamp(max=2**self.config.bits - 1)


class ScalesConfig(QuantizerConfig):
    @property
    def provides(self):
        return frozenset({"next_scale", "prefix_decoding"}) if self.codes > 1 else frozenset()

    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, (self.codes,), segments=((1,), (latent.positions,)))


@offered("quantizer", "good-scales", ScalesConfig)
class Scales(Quantizer):
    """The mean, then what is left."""

    def choose(self, z):
        mean = super().choose(z.mean(1, keepdim=True))
        return torch.cat([mean, super().choose(z - F.embedding(mean, self.codebook))], 1)

    def decode(self, codes):
        mean = F.embedding(codes[:, :1], self.codebook)
        left = F.embedding(codes[:, 1:], self.codebook)
        return mean + left if codes.shape[1] > 1 else self.spread(mean)

    def spread(self, mean):
        return mean.expand(-1, self.length, -1)

    def next_scale(self, codes, scale):
        return self.decode(codes)

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.length = latent.positions


@offered("quantizer", "short-prefix", ScalesConfig)
class ShortPrefix(Scales):
    """A latent of only as many positions as there are codes."""

    def spread(self, mean):
        return mean


@offered("quantizer", "scale-before", ScalesConfig)
class ScaleBefore(Scales):
    """Tells of the scale before, at its size."""

    def next_scale(self, codes, scale):
        return super().next_scale(codes, scale)[:, :1]


@offered("quantizer", "scale-of-the-batch", ScalesConfig)
class ScaleOfBatch(Scales):
    """Tells of other images too."""

    def next_scale(self, codes, scale):
        return super().next_scale(codes, scale) - self.decode(codes).mean(0)


class UnscaledConfig(QuantizerConfig):
    provides: ClassVar[frozenset[str]] = frozenset({"next_scale"})


@offered("quantizer", "scales-without-segments", UnscaledConfig)
class UnscaledScales(Quantizer):
    """Predicts scales, of which it has none."""


class PlacesConfig(tokzoo.QuantizerConfig):
    def code_spec(self, latent):
        return tokzoo.CodeSpec(latent.shape, tuple(2 + i % 3 for i in range(latent.positions)), vocab_by="position")


@offered("quantizer", "good-places", PlacesConfig)
class Places(tokzoo.Quantizer):
    """Two to four values, as the position has it."""

    def __init__(self, config, latent):
        super().__init__(config, latent)
        self.register_buffer("sizes", torch.tensor(config.code_spec(latent).vocab), persistent=False)

    def forward(self, latent):
        codes = (latent.float().mean(-1).sigmoid() * self.sizes).floor().long().minimum(self.most())
        values = self.decode(codes).expand_as(latent)
        return Quantized(latent + (values - latent).detach() if self.training else values, codes)

    def most(self):
        return self.sizes - 1

    def decode(self, codes):
        return torch.logit((codes + 0.5) / (self.sizes + 1))[..., None].expand(-1, -1, 6)


@offered("quantizer", "one-size-for-all-places", PlacesConfig)
class OneSize(Places):
    """Gives every position the largest vocabulary."""

    def most(self):
        return self.sizes.amax()
