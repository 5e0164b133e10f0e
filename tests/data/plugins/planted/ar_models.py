"""Small AR models: good ones, and others that are each broken in one way."""

import math
from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

import tokzoo
from planted.offering import offered
from tokzoo.nn.sampling import draw, seeded_uniforms

MOST = 2**20


class Sampler(tokzoo.Config):
    """How codes are drawn."""

    temperature: float = Field(1.0, gt=0, description="divides the logits")


class ColdSampler(Sampler):
    """Colder by default."""

    temperature: float = Field(0.5, gt=0, description="divides the logits")


class RowConfig(tokzoo.ARConfig):
    """One level of codes in any order."""

    sampler: ClassVar = Sampler

    width: int = Field(16, ge=1, description="of the hidden states")
    smallest: int = Field(1, ge=1, description="vocabulary it learns")

    def accepts(self, tokens):
        codes = tokens.codes
        if codes is None or codes.vocab_by == "position" or codes.levels > 1:
            raise tokzoo.Refusal("learns one level of codes, of one vocabulary")
        if not self.smallest <= codes.vocab[0] <= MOST:
            raise tokzoo.Refusal(f"learns {self.smallest} codes or more, up to {MOST}")


@offered("ar", "good-ar", RowConfig)
class Row(tokzoo.ARModel):
    """One layer of causal attention, decoded with a cache of keys and values."""

    def __init__(self, config, tokens, quantizer=None):
        super().__init__(config, tokens, quantizer)
        codes, classes = tokens.codes, tokens.classes
        width, self.classes, self.length, self.vocab = config.width, classes, codes.positions, codes.vocab[0]
        self.starts = nn.Embedding((classes or 0) + 1, width)
        self.tokens = nn.Embedding(codes.vocab[0], width)
        self.places = nn.Parameter(torch.randn(self.length, width))
        self.qkv = nn.Linear(width, 3 * width)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(width, codes.vocab[0])

    @property
    def depth(self):
        return 1

    def begin(self, labels, batch):
        if labels is None or self.classes is None:
            labels = torch.full((batch,), self.classes or 0)
        return self.starts(labels)[:, None]

    def hidden(self, codes, labels):
        x = torch.cat([self.begin(labels, len(codes)), self.tokens(codes[:, :-1])], 1) + self.places
        return x + self.attend(*self.qkv(x).chunk(3, -1), mask=self.mask())

    def mask(self):
        return torch.ones(self.length, self.length, dtype=torch.bool).tril()

    def attend(self, q, k, v, mask=None):
        return F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None], attn_mask=mask)[:, 0]

    def log_probabilities(self, codes, labels):
        return self.head(self.dropout(self.hidden(codes, labels))).float().log_softmax(-1)

    def forward(self, codes, labels, progress=None):
        nats = -self.log_probabilities(codes, labels).gather(2, codes[..., None]).squeeze(2).mean(1)
        return tokzoo.ARLoss(nats.mean(), nats.detach(), exact=True)

    def uniforms(self, seeds):
        return seeded_uniforms(seeds.tolist(), self.length)

    @torch.no_grad()
    def sample(self, labels, sampler, seeds):
        modes = [(part, part.training) for part in self.modules()]
        self.eval()
        codes = self.decoded(labels, sampler, self.uniforms(seeds))
        for part, mode in modes:
            part.training = mode
        return codes

    def decoded(self, labels, sampler, uniforms):
        x, cache, codes = self.begin(labels, len(uniforms)), [], []
        for place in range(self.length):
            x = x + self.place(place)
            q, k, v = self.qkv(x).chunk(3, -1)
            cache = self.remember(cache, (k, v))
            keys, values = (torch.cat(part, 1) for part in zip(*cache, strict=True))
            logits = self.head(x + self.attend(q, keys, values)).float().squeeze(1) / sampler.temperature
            codes.append(draw(logits.double().softmax(-1), uniforms[:, place]))
            x = self.tokens(codes[-1])[:, None]
        return torch.stack(codes, 1)

    def place(self, place):
        return self.places[place]

    def remember(self, cache, new):
        return [*cache, new]

    @torch.no_grad()
    def features(self, codes, labels, layer):
        return self.hidden(codes, labels)


class ColdConfig(RowConfig):
    """Whose sampler does not follow the model unless it is told to."""

    sampler: ClassVar = ColdSampler


@offered("ar", "good-cold", ColdConfig)
class Cold(Row):
    """Sampled at another temperature by default."""


@offered("ar", "sees-the-future", RowConfig)
class SeesFuture(Row):
    def mask(self):
        return None


@offered("ar", "sees-itself", RowConfig)
class SeesItself(Row):
    def hidden(self, codes, labels):
        x = self.begin(labels, len(codes)) + self.tokens(codes) + self.places
        return x + self.attend(*self.qkv(x).chunk(3, -1), mask=self.mask())


@offered("ar", "not-normalised", RowConfig)
class NotNormalised(Row):
    def log_probabilities(self, codes, labels):
        return self.head(self.hidden(codes, labels)).float().sigmoid().log()


@offered("ar", "sums-over-tokens", RowConfig)
class SumsOverTokens(Row):
    def forward(self, codes, labels, progress=None):
        out = super().forward(codes, labels, progress)
        return tokzoo.ARLoss(out.loss, out.nats_per_token * self.length, exact=True)


@offered("ar", "forgets-its-cache", RowConfig)
class ForgetsCache(Row):
    def remember(self, cache, new):
        return [new]


@offered("ar", "decodes-one-place-late", RowConfig)
class OnePlaceLate(Row):
    def place(self, place):
        return self.places[max(place - 1, 0)]


@offered("ar", "cold-samples", RowConfig)
class ColdSamples(Row):
    def decoded(self, labels, sampler, uniforms):
        return super().decoded(labels, Sampler(temperature=0.5), uniforms)


@offered("ar", "one-code-too-many", RowConfig)
class OneTooMany(Row):
    def decoded(self, labels, sampler, uniforms):
        return super().decoded(labels, sampler, uniforms) + 1


@offered("ar", "small-integers", RowConfig)
class SmallIntegers(Row):
    def decoded(self, labels, sampler, uniforms):
        return super().decoded(labels, sampler, uniforms).int()


@offered("ar", "one-sample-for-all-seeds", RowConfig)
class OneSample(Row):
    def uniforms(self, seeds):
        return super().uniforms(torch.zeros_like(seeds))


@offered("ar", "seeds-of-the-batch", RowConfig)
class SeedsOfBatch(Row):
    def uniforms(self, seeds):
        generator = torch.Generator().manual_seed(int(seeds[0]) % 2**31)
        return torch.rand(len(seeds), self.length, dtype=torch.float64, generator=generator)


@offered("ar", "global-generator", RowConfig)
class GlobalGenerator(Row):
    def uniforms(self, seeds):
        torch.manual_seed(int(seeds[0]))
        return super().uniforms(seeds)


@offered("ar", "stays-in-eval-mode", RowConfig)
class StaysInEval(Row):
    def sample(self, labels, sampler, seeds):
        codes = super().sample(labels, sampler, seeds)
        self.eval()
        return codes


@offered("ar", "deaf-to-labels", RowConfig)
class Deaf(Row):
    def begin(self, labels, batch):
        return super().begin(None, batch)


@offered("ar", "nats-of-the-batch", RowConfig)
class NatsOfBatch(Row):
    def forward(self, codes, labels, progress=None):
        out = super().forward(codes, labels, progress)
        return tokzoo.ARLoss(out.loss, out.nats_per_token.mean(), exact=True)


@offered("ar", "loss-of-each-image", RowConfig)
class LossOfEach(Row):
    def forward(self, codes, labels, progress=None):
        nats = -self.log_probabilities(codes, labels).gather(2, codes[..., None]).squeeze(2).mean(1)
        return tokzoo.ARLoss(nats, nats.detach(), exact=True)


@offered("ar", "pooled-features", RowConfig)
class PooledFeatures(Row):
    def features(self, codes, labels, layer):
        return super().features(codes, labels, layer).mean(1)


@offered("ar", "no-depth", RowConfig)
class NoDepth(Row):
    @property
    def depth(self):
        return 0


@offered("ar", "idle-parameter", RowConfig)
class IdleParameter(Row):
    def __init__(self, config, tokens, quantizer=None):
        super().__init__(config, tokens, quantizer)
        self.idle = nn.Linear(2, 2)


@offered("ar", "normalises-the-batch", RowConfig)
class NormalisesBatch(Row):
    def hidden(self, codes, labels):
        hidden = super().hidden(codes, labels)
        return hidden - hidden.mean(0)


class RefusesCodesConfig(RowConfig):
    def accepts(self, tokens):
        raise tokzoo.Refusal("learns words")


@offered("ar", "refuses-all-codes", RefusesCodesConfig)
class RefusesCodes(Row):
    pass


@offered("ar", "bound-of-the-moment", RowConfig)
class BoundOfMoment(Row):
    def likelihood(self, codes, labels, seeds):
        out = self(codes, labels)
        return tokzoo.ARLoss(out.loss, out.nats_per_token + torch.rand(len(codes)), exact=False)


class MaskedConfig(RowConfig):
    """Masked codes."""


@offered("ar", "good-masked", MaskedConfig)
class Masked(Row):
    """Sees what is left when some codes are masked; its likelihood is an estimate, drawn by seeds."""

    def __init__(self, config, tokens, quantizer=None):
        super().__init__(config, tokens, quantizer)
        self.tokens = nn.Embedding(self.vocab + 1, config.width)

    def mask(self):
        return None

    def hidden(self, codes, labels):
        x = self.begin(labels, len(codes)) + self.tokens(codes) + self.places
        return x + self.attend(*self.qkv(x).chunk(3, -1))

    def estimate(self, codes, labels, chances):
        hidden = chances < chances.amax(1, keepdim=True)
        every = self.log_probabilities(codes.masked_fill(hidden, self.vocab), labels)
        nats = -every.gather(2, codes[..., None]).squeeze(2)
        nats = (nats * hidden).sum(1) / hidden.sum(1)
        return tokzoo.ARLoss(nats.mean(), nats.detach(), exact=False)

    def forward(self, codes, labels, progress=None):
        return self.estimate(codes, labels, torch.rand(codes.shape))

    def likelihood(self, codes, labels, seeds):
        return self.estimate(codes, labels, self.uniforms(seeds))

    def decoded(self, labels, sampler, uniforms):
        unknown = torch.full((len(uniforms), self.length), self.vocab)
        chances = self.log_probabilities(unknown, labels).double().exp()
        return torch.stack([draw(chances[:, place], uniforms[:, place]) for place in range(self.length)], 1)


@offered("ar", "one-mask-for-the-batch", MaskedConfig)
class OneMask(Masked):
    def likelihood(self, codes, labels, seeds):
        return self.estimate(codes, labels, self.uniforms(seeds[:1].expand(len(seeds))))


class ScalesConfig(tokzoo.ARConfig):
    """Scales, one after the other."""

    requires: ClassVar[frozenset[str]] = frozenset({"next_scale"})
    sampler: ClassVar = Sampler

    def accepts(self, tokens):
        if tokens.codes is None or tokens.codes.segments is None:
            raise tokzoo.Refusal("learns codes of scales")


@offered("ar", "good-scales", ScalesConfig)
class Scales(tokzoo.ARModel):
    """Each scale from what its quantizer makes of those before; its codes independent of each other."""

    def __init__(self, config, tokens, quantizer=None):
        super().__init__(config, tokens, quantizer)
        self.classes, self.sizes = tokens.classes, [math.prod(scale) for scale in tokens.codes.segments]
        self.starts = nn.Embedding((tokens.classes or 0) + 1, 8)
        self.told, self.mix = nn.Linear(tokens.latent.channels, 8), nn.Linear(8, 8)
        self.places = nn.Parameter(torch.randn(tokens.codes.positions, 8))
        self.head = nn.Linear(8, tokens.codes.largest)

    @property
    def depth(self):
        return 1

    def hidden(self, codes, labels, scale):
        labels = torch.full((len(codes),), self.classes or 0) if labels is None or self.classes is None else labels
        begin = sum(self.sizes[:scale])
        known = codes[:, :begin]
        x = self.starts(labels)[:, None] + self.places[begin : begin + self.sizes[scale]]
        return self.mix(x + (self.told(self.quantizer.next_scale(known, scale)) if scale else 0)).tanh()

    def log_probabilities(self, codes, labels, scale):
        return self.head(self.hidden(codes, labels, scale)).float().log_softmax(-1)

    def forward(self, codes, labels, progress=None):
        every = [self.log_probabilities(codes, labels, scale) for scale in range(len(self.sizes))]
        nats = -torch.cat(every, 1).gather(2, codes[..., None]).squeeze(2).mean(1)
        return tokzoo.ARLoss(nats.mean(), nats.detach(), exact=True)

    @torch.no_grad()
    def sample(self, labels, sampler, seeds):
        uniforms = seeded_uniforms(seeds.tolist(), len(self.places))
        codes = torch.zeros(len(seeds), 0, dtype=torch.int64)
        for scale in range(len(self.sizes)):
            chances = (self.log_probabilities(codes, labels, scale).double() / sampler.temperature).softmax(-1)
            at = codes.shape[1]
            drawn = [draw(chances[:, i], uniforms[:, at + i]) for i in range(self.sizes[scale])]
            codes = torch.cat([codes, torch.stack(drawn, 1)], 1)
        return codes

    @torch.no_grad()
    def features(self, codes, labels, layer):
        return torch.cat([self.hidden(codes, labels, scale) for scale in range(len(self.sizes))], 1)


@offered("ar", "takes-the-quantizer-in", ScalesConfig)
class TakesQuantizerIn(Scales):
    def __init__(self, config, tokens, quantizer=None):
        super().__init__(config, tokens, quantizer)
        self.book = quantizer


@offered("ar", "changes-the-quantizer", ScalesConfig)
class ChangesQuantizer(Scales):
    def forward(self, codes, labels, progress=None):
        with torch.no_grad():
            self.quantizer.codebook.mul_(0.99)
        return super().forward(codes, labels, progress)


@offered("ar", "counts-numbers-at-the-start", RowConfig)
class CountsNumbers(Row):
    def __init__(self, config, tokens, quantizer=None):
        super().__init__(config, tokens, quantizer)
        self.bias = float(torch.randn(3).sum())


class RashConfig(RowConfig):
    def accepts(self, tokens):
        if tokens.codes.vocab[0] < 1:
            raise tokzoo.Refusal("learns codes")


@offered("ar", "no-thought-of-continuous-latents", RashConfig)
class NoThought(Row):
    pass


class TabularConfig(RowConfig):
    def accepts(self, tokens):
        if tokens.codes is None or tokens.codes.levels > 1 or tokens.codes.vocab_by == "position":
            raise tokzoo.Refusal("learns one level of codes")


@offered("ar", "row-for-each-of-any-codes", TabularConfig)
class Tabular(Row):
    pass
