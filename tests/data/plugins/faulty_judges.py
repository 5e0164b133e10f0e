"""Small components that are right (``faulty/good-…``), and others that are each wrong in one way, for the kit to find.

Regularizers, AR models, datasets, teachers and metrics.
"""

import copy
import itertools
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

import tokzoo
from tokzoo.assembly.build import build_teacher
from tokzoo.data.split import InMemorySplit
from tokzoo.nn.sampling import draw, seeded_uniforms

OFFERED = []


def offered(kind, name, config, **example):
    """Register a class under ``faulty/name``."""

    def register(target):
        spec = tokzoo.ComponentSpec(kind, f"faulty/{name}", config, target, target.__doc__ or name, example=example)
        OFFERED.append(spec)
        return target

    return register


@tokzoo.hookimpl
def tokzoo_components():
    return OFFERED


# --- regularizers


class TermConfig(tokzoo.ImageTermConfig):
    """An image term."""


@offered("regularizer", "good-term", TermConfig)
class Term(tokzoo.ImageTerm):
    """Mean absolute error."""

    def distance(self, images, target):
        return (images.float() - target.float()).abs().mean()


class NoisyConfig(tokzoo.RegularizerConfig):
    """Noise on the latent."""

    deviation: float = Field(0.1, description="of the noise")


@offered("regularizer", "good-view", NoisyConfig)
class Noisy(tokzoo.Regularizer):
    """Scales the latent by a learned vector, and adds a view of the noisy one."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.scale = nn.Parameter(torch.ones(chain.quantized.channels))

    def transform(self, latent, state):
        return latent * self.scale

    def views(self, state):
        noisy = state.quantized.latent + self.config.deviation * torch.randn_like(state.quantized.latent)
        return {"noisy": tokzoo.View(state.tokenizer.decoder(noisy), state.images)}


@offered("regularizer", "good-adversary", TermConfig, start=0.5)
class Judge(tokzoo.Adversary):
    """A linear discriminator of patches."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.patches = nn.Conv2d(chain.image.channels, 4, 4, stride=4)
        self.head = nn.Conv2d(4, 1, 1)

    def judged(self, images):
        return self.head(F.leaky_relu(self.patches(images)))

    def terms(self, state):
        return {"": -self.judged(state.views["main"].decoded.images).float().mean()}

    def adversary_parameters(self):
        return self.parameters()

    def adversary_terms(self, state):
        view = state.views["main"]
        logits = self.judged(view.target).float(), self.judged(view.decoded.images).float()
        return {"loss": F.softplus(-logits[0]).mean() + F.softplus(logits[1]).mean()}


class AlignedConfig(tokzoo.RegularizerConfig):
    """Alignment with a teacher."""

    teacher: tokzoo.ComponentRef["teacher"] = Field(description="whose features")

    def taps(self):
        return (1,)


@offered("regularizer", "good-aligned", AlignedConfig, teacher={"use": "faulty/good-teacher"})
class Aligned(tokzoo.Regularizer):
    """Draws the mean of a tap to the mean of a teacher's features."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.project = nn.Linear(chain.hidden[1].dim, config.teacher.config.hidden_spec(chain.image).dim)
        self.teacher = build_teacher(config.teacher, chain.image)

    def terms(self, state):
        with torch.no_grad():
            wanted = self.teacher(state.images).mean(1)
        return {"": F.mse_loss(self.project(state.decoded.hidden[1].mean(1)).float(), wanted.float())}


class TelepathConfig(TermConfig):
    """Needs what only another plugin's parts provide."""

    requires: ClassVar = frozenset({"telepathy"})


@offered("regularizer", "good-telepath", TelepathConfig)
class Telepath(Term):
    """Right, where its parts are."""


@offered("regularizer", "keeps-its-term", TermConfig)
class KeepsTerm(Term):
    def terms(self, state):
        self.last = super().terms(state)
        return self.last


@offered("regularizer", "adds-up-its-terms", TermConfig)
class AddsUpTerms(Term):
    history: ClassVar = []

    def terms(self, state):
        terms = super().terms(state)
        self.history.append(terms[""] * 2)
        return terms


@offered("regularizer", "term-of-each-image", TermConfig)
class TermOfEachImage(Term):
    def distance(self, images, target):
        return (images - target).abs().flatten(1).mean(1)


@offered("regularizer", "not-finite", TermConfig)
class NotFinite(Term):
    def distance(self, images, target):
        return (images - target).log().mean()


@offered("regularizer", "detached", TermConfig)
class DetachedTerm(Term):
    def distance(self, images, target):
        return super().distance(images.detach(), target)


@offered("regularizer", "number-for-a-tensor", TermConfig)
class NumberForTensor(Term):
    def distance(self, images, target):
        return super().distance(images, target).item()


@offered("regularizer", "pulls-itself-alone", TermConfig)
class PullsItself(tokzoo.Regularizer):
    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.scale = nn.Parameter(torch.ones(()))

    def terms(self, state):
        return {"": self.scale.square()}


class RefusesConfig(TermConfig):
    def accepts(self, chain):
        raise tokzoo.Refusal("wants a moving picture")


@offered("regularizer", "refuses-everything", RefusesConfig)
class Refuses(Term):
    pass


@offered("regularizer", "refuses-late", TermConfig)
class RefusesLate(Term):
    def __init__(self, config, chain):
        super().__init__(config, chain)
        if chain.latent.layout == "sequence":
            raise tokzoo.Refusal("wants a grid")


class WeighsOneConfig(TermConfig):
    def weight_of(self, term):
        return {"another": 1.0}[term]


@offered("regularizer", "weighs-another-term", WeighsOneConfig)
class WeighsAnother(Term):
    pass


class FractionConfig(TermConfig):
    start: float = Field(0.0, ge=0, description="first active step")


@offered("regularizer", "starts-at-fractions-alone", FractionConfig)
class StartsAtFractions(Term):
    pass


@offered("regularizer", "shortens-the-latent", NoisyConfig)
class Shortens(Noisy):
    def transform(self, latent, state):
        return latent[:, 1:]


@offered("regularizer", "detaches-the-latent", NoisyConfig)
class DetachesLatent(Noisy):
    def transform(self, latent, state):
        return latent.detach() * self.scale


@offered("regularizer", "small-view", NoisyConfig)
class SmallView(Noisy):
    def views(self, state):
        view = super().views(state)["noisy"]
        return {"noisy": tokzoo.View(view.decoded, view.target[..., ::2, ::2])}


@offered("regularizer", "replaces-the-main-view", NoisyConfig)
class ReplacesMain(Noisy):
    def views(self, state):
        return {"main": super().views(state)["noisy"]}


@offered("regularizer", "likeness-for-a-distance", TermConfig)
class Likeness(Term):
    def distance(self, images, target):
        return -super().distance(images, target)


@offered("regularizer", "idle-head", TermConfig)
class IdleHead(Term):
    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.head = nn.Linear(2, 2)


@offered("regularizer", "writes-into-the-images", TermConfig)
class WritesImages(Term):
    def terms(self, state):
        state.images.clamp_(-0.5, 0.5)
        return super().terms(state)


@offered("regularizer", "counts-in-python", TermConfig)
class CountsInPython(Term):
    seen = 0

    def terms(self, state):
        self.seen += 1
        return {name: term * self.seen for name, term in super().terms(state).items()}


@offered("regularizer", "own-randomness", TermConfig)
class OwnRandomness(Term):
    def distance(self, images, target):
        return super().distance(images, target) * np.random.default_rng().random()


@offered("regularizer", "overflows-in-bf16", TermConfig)
class OverflowsInHalf(Term):
    """In bfloat16 numbers so near to 1 are 1, whose distance from 1 has no logarithm."""

    def distance(self, images, target):
        near = F.linear(images.flatten(1).tanh().mean(1, keepdim=True) * 1e-4 + 0.9999, images.new_ones(1, 1))
        return super().distance(images, target) - 1e-3 * (1 - near).log().mean()


@offered("regularizer", "counts-numbers-at-the-start", TermConfig)
class CountsNumbers(Term):
    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.bias = float(torch.randn(3).sum())


@offered("regularizer", "adversary-keeps-the-pass", TermConfig)
class KeepsPass(Judge):
    def terms(self, state):
        self.fake = state.views["main"].decoded.images
        return super().terms(state)

    def adversary_terms(self, state):
        return {"loss": F.softplus(self.judged(self.fake)).mean() + super().adversary_terms(state)["loss"]}


@offered("regularizer", "adversary-decodes-again", TermConfig)
class DecodesAgain(Judge):
    def adversary_terms(self, state):
        latent = state.tokenizer.quantizer(state.encoded.latent).latent
        return {"loss": F.softplus(self.judged(state.tokenizer.decoder(latent).images)).mean()}


@offered("regularizer", "adversary-forgets-its-head", TermConfig)
class ForgetsHead(Judge):
    def adversary_parameters(self):
        return self.patches.parameters()


@offered("regularizer", "adversary-thaws-itself", TermConfig)
class ThawsItself(Judge):
    def terms(self, state):
        self.requires_grad_(True)
        return super().terms(state)


@offered("regularizer", "adversary-of-nothing", TermConfig)
class OfNothing(Judge):
    def adversary_parameters(self):
        return ()


@offered("regularizer", "adversary-of-ever-new-parameters", TermConfig)
class EverNew(Judge):
    def adversary_parameters(self):
        return [*self.parameters(), nn.Parameter(torch.zeros(3))]


@offered("regularizer", "adversary-of-foreign-parameters", TermConfig)
class Foreign(Judge):
    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.elsewhere = (nn.Linear(2, 2),)

    def adversary_parameters(self):
        return [*self.parameters(), *self.elsewhere[0].parameters()]


@offered("regularizer", "adversary-term-of-each-image", TermConfig)
class AdversaryOfEach(Judge):
    def adversary_terms(self, state):
        return {"loss": self.judged(state.images).flatten(1).mean(1)}


@offered("regularizer", "trains-its-teacher", AlignedConfig, teacher={"use": "faulty/good-teacher"})
class TrainsTeacher(Aligned):
    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.copy = copy.deepcopy(self.teacher.patches).requires_grad_(True)

    def terms(self, state):
        images = state.views["main"].decoded.images
        return {"copy": self.copy(images).mean(), **super().terms(state)}


# --- AR models


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

    def accepts(self, codes, classes):
        if codes.levels > 1 or codes.vocab[0] < self.smallest:
            raise tokzoo.Refusal(f"learns {self.smallest} codes or more of one level")


@offered("ar", "good-ar", RowConfig)
class Row(tokzoo.ARModel):
    """One layer of causal attention, decoded with a cache of keys and values."""

    def __init__(self, config, codes, classes, quantizer=None):
        super().__init__(config, codes, classes, quantizer)
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

    def start(self, labels, batch):
        if labels is None or self.classes is None:
            labels = torch.full((batch,), self.classes or 0)
        return self.starts(labels)[:, None]

    def hidden(self, codes, labels):
        x = torch.cat([self.start(labels, len(codes)), self.tokens(codes[:, :-1])], 1) + self.places
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
        x, cache, codes = self.start(labels, len(uniforms)), [], []
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
        x = self.start(labels, len(codes)) + self.tokens(codes) + self.places
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
    def start(self, labels, batch):
        return super().start(None, batch)


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
    def __init__(self, config, codes, classes, quantizer=None):
        super().__init__(config, codes, classes, quantizer)
        self.idle = nn.Linear(2, 2)


@offered("ar", "normalises-the-batch", RowConfig)
class NormalisesBatch(Row):
    def hidden(self, codes, labels):
        hidden = super().hidden(codes, labels)
        return hidden - hidden.mean(0)


class RefusesCodesConfig(RowConfig):
    def accepts(self, codes, classes):
        raise tokzoo.Refusal("learns words")


@offered("ar", "refuses-all-codes", RefusesCodesConfig)
class RefusesCodes(Row):
    pass


# --- datasets

COUNTER = itertools.count()


class DotsConfig(tokzoo.DatasetConfig):
    """Grey noise."""

    provides: ClassVar = frozenset({"crops"})

    seed: int = Field(0, description="of the noise")

    def image_spec(self):
        return tokzoo.ImageSpec(1, (8, 8))

    def class_names(self):
        return ("dark", "bright", "neither")

    def fingerprint(self):
        return f"dots {self.seed}"


class DotsSplit(InMemorySplit):
    """Noise, cut out of four times as much."""

    def __init__(self, seed, count):
        generator = torch.Generator().manual_seed(seed)
        self.large = torch.randint(0, 256, (count, 1, 16, 16), generator=generator, dtype=torch.uint8)
        super().__init__(self.large[..., 4:12, 4:12].clone(), torch.arange(count) % 3)

    def crop(self, indices, crops):
        images = F.interpolate(self.large[indices].float(), int(crops.short[0])).to(torch.uint8)
        room = images.shape[-1] - crops.size
        squares = []
        for image, (down, right) in zip(images, (crops.at * room).long().tolist(), strict=True):
            squares.append(image[:, down : down + crops.size, right : right + crops.size])
        return torch.stack(squares), self.labels[indices]


@offered("dataset", "good-dataset", DotsConfig)
class Dots(tokzoo.Dataset):
    """Noise."""

    def __init__(self, config):
        super().__init__(config)
        self.train, self.val = DotsSplit(2 * config.seed, 70), DotsSplit(2 * config.seed + 1, 30)
        for split in (self.train, self.val):
            self.spoil(split)

    def spoil(self, split):
        pass


@offered("dataset", "float-images", DotsConfig)
class FloatImages(Dots):
    def spoil(self, split):
        split.images = split.images.float()


@offered("dataset", "images-of-another-size", DotsConfig)
class OtherSize(Dots):
    def spoil(self, split):
        split.images = split.images[..., 1:]


@offered("dataset", "empty-split", DotsConfig)
class EmptySplit(Dots):
    def __init__(self, config):
        super().__init__(config)
        self.val = DotsSplit(0, 0)


@offered("dataset", "one-class-too-many", DotsConfig)
class OneClassTooMany(Dots):
    def spoil(self, split):
        split.labels = split.labels + 1


@offered("dataset", "small-labels", DotsConfig)
class SmallLabels(Dots):
    def spoil(self, split):
        split.labels = split.labels.int()


class NamelessConfig(DotsConfig):
    def class_names(self):
        return None


@offered("dataset", "labels-without-names", NamelessConfig)
class LabelsWithoutNames(Dots):
    pass


class ListedConfig(DotsConfig):
    def class_names(self):
        return list(super().class_names())


@offered("dataset", "listed-names", ListedConfig)
class ListedNames(Dots):
    pass


@offered("dataset", "sorts-what-is-asked", DotsConfig)
class SortsAsked(Dots):
    def spoil(self, split):
        right = split.batch
        split.batch = lambda indices: right(indices.sort().values)


@offered("dataset", "augments-itself", DotsConfig)
class AugmentsItself(Dots):
    def spoil(self, split):
        right = split.batch
        split.batch = lambda indices: (right(indices)[0].flip(-1) if torch.rand(()) < 2 else None, right(indices)[1])


@offered("dataset", "judged-by-what-is-learned", DotsConfig)
class JudgedByLearned(Dots):
    def __init__(self, config):
        super().__init__(config)
        self.val = self.train


class RestlessConfig(DotsConfig):
    def fingerprint(self):
        return f"dots {next(COUNTER)}"


@offered("dataset", "restless-fingerprint", RestlessConfig)
class Restless(Dots):
    pass


class NumberedConfig(DotsConfig):
    def fingerprint(self):
        return 7


@offered("dataset", "number-for-a-fingerprint", NumberedConfig)
class Numbered(Dots):
    pass


@offered("dataset", "crops-from-one-corner", DotsConfig)
class OneCorner(Dots):
    def spoil(self, split):
        right = split.crop
        split.crop = lambda indices, crops: right(indices, tokzoo.Crops(crops.size, crops.short, crops.at * 0))


@offered("dataset", "crops-too-large", DotsConfig)
class TooLarge(Dots):
    def spoil(self, split):
        right = split.crop
        split.crop = lambda indices, crops: right(indices, tokzoo.Crops(crops.size + 1, crops.short, crops.at))


# --- teachers


class PatchesConfig(tokzoo.TeacherConfig):
    """Features of a 4×4 grid."""

    dim: int = Field(6, description="channels")

    def hidden_spec(self, image):
        return tokzoo.HiddenSpec((4, 4), self.dim)


@offered("teacher", "good-teacher", PatchesConfig)
class Patches(tokzoo.Teacher):
    """A fixed linear map of patches, with a norm and a dropout that eval mode must silence."""

    def __init__(self, config, image):
        super().__init__(config, image)
        self.patches = nn.Conv2d(image.channels, config.dim, 1)
        weight = torch.linspace(-1, 1, image.channels * config.dim).sin().view(config.dim, image.channels, 1, 1)
        self.patches.load_state_dict({"weight": weight, "bias": torch.zeros(config.dim)})
        self.norm = nn.BatchNorm1d(16)
        self.dropout = nn.Dropout(0.5)

    def forward(self, images):
        features = F.adaptive_avg_pool2d(self.patches(images).tanh(), 4)
        return self.dropout(self.norm(features.flatten(2).transpose(1, 2)))


@offered("teacher", "wrong-width", PatchesConfig)
class WrongWidth(Patches):
    def forward(self, images):
        return super().forward(images)[..., 1:]


@offered("teacher", "feature-map", PatchesConfig)
class FeatureMap(Patches):
    def forward(self, images):
        return super().forward(images).transpose(1, 2).unflatten(2, (4, 4))


@offered("teacher", "drops-out-always", PatchesConfig)
class DropsOut(Patches):
    def forward(self, images):
        return F.dropout(super().forward(images), 0.5)


@offered("teacher", "stays-in-training-mode", PatchesConfig)
class StaysInTraining(Patches):
    def train(self, mode=True):
        return super().train(True)


@offered("teacher", "thaws-itself", PatchesConfig)
class Thaws(Patches):
    def forward(self, images):
        self.requires_grad_(True)
        return super().forward(images)


@offered("teacher", "keeps-statistics", PatchesConfig)
class KeepsStatistics(Patches):
    def __init__(self, config, image):
        super().__init__(config, image)
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, images):
        features = super().forward(images)
        self.mean.lerp_(features.detach().mean(), 0.1)
        return features


@offered("teacher", "normalises-the-batch", PatchesConfig)
class NormalisesImages(Patches):
    def forward(self, images):
        features = super().forward(images)
        return features - features.mean(0)


@offered("teacher", "drawn-weights", PatchesConfig)
class DrawnWeights(Patches):
    def __init__(self, config, image):
        super().__init__(config, image)
        nn.init.normal_(self.patches.weight)


@offered("teacher", "flat-gradient", PatchesConfig)
class FlatGradient(Patches):
    def forward(self, images):
        return super().forward(images.round())


@offered("teacher", "normalises-in-place", PatchesConfig)
class InPlace(Patches):
    def forward(self, images):
        return super().forward(images.detach().sub_(0.1) if not images.requires_grad else images)


@offered("teacher", "not-a-number", PatchesConfig)
class NotANumber(Patches):
    def forward(self, images):
        return super().forward(images).log()


class RefusesImagesConfig(PatchesConfig):
    def hidden_spec(self, image):
        raise tokzoo.Refusal("sees sounds")


@offered("teacher", "refuses-all-images", RefusesImagesConfig)
class RefusesImages(Patches):
    pass


@offered("teacher", "reads-its-weights-when-built", PatchesConfig)
class ReadsWeights(Patches):
    def __init__(self, config, image):
        super().__init__(config, image)
        self.scale = self.patches.weight.max().item()


# --- metrics


class ErrorConfig(tokzoo.MetricConfig):
    """Mean absolute error."""

    stage: ClassVar = "reconstruction"
    reports: ClassVar = (tokzoo.MetricInfo("reconstruction.mae", "MAE", better="lower"),)

    def protocol(self) -> dict[str, Any]:
        return {"averaging": "per image"}


@offered("metric", "good-metric", ErrorConfig)
class Error(tokzoo.Metric):
    """Mean absolute error, per image."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.total, self.count = torch.zeros((), dtype=torch.float64), 0

    def update(self, batch):
        errors = (batch.images - batch.reconstructions).double().abs().flatten(1).mean(1)
        self.total = self.total + errors.sum()
        self.count += len(errors)

    def compute(self):
        return {"reconstruction.mae": float(self.total) / self.count}


@offered("metric", "mean-of-batches", ErrorConfig)
class MeanOfBatches(Error):
    def update(self, batch):
        self.total = self.total + (batch.images - batch.reconstructions).double().abs().mean()
        self.count += 1


@offered("metric", "first-image-counts-twice", ErrorConfig)
class FirstCountsTwice(Error):
    def update(self, batch):
        if not self.count:
            self.total = self.total + (batch.images[0] - batch.reconstructions[0]).double().abs().mean()
        super().update(batch)


@offered("metric", "undeclared-number", ErrorConfig)
class Undeclared(Error):
    def compute(self):
        return {**super().compute(), "reconstruction.count": float(self.count)}


@offered("metric", "tensor-for-a-number", ErrorConfig)
class TensorForNumber(Error):
    def compute(self):
        return {"reconstruction.mae": self.total / self.count}


@offered("metric", "infinite", ErrorConfig)
class Infinite(Error):
    def compute(self):
        return {"reconstruction.mae": float("inf")}


@offered("metric", "begins-anew-when-asked", ErrorConfig)
class BeginsAnew(Error):
    def compute(self):
        found = super().compute()
        self.total = self.total * 0
        return found


@offered("metric", "one-sum-for-all", ErrorConfig)
class OneSum(Error):
    sums: ClassVar = []

    def update(self, batch):
        super().update(batch)
        self.sums.append((self.total, self.count))

    def compute(self):
        return {"reconstruction.mae": float(sum(total / count for total, count in self.sums)) / len(self.sums)}


@offered("metric", "writes-into-the-batch", ErrorConfig)
class WritesBatch(Error):
    def update(self, batch):
        super().update(tokzoo.ReconstructionBatch(batch.images.mul_(0.5), batch.reconstructions.mul_(0.5), None, None))


@offered("metric", "needs-labels", ErrorConfig)
class NeedsLabels(Error):
    def update(self, batch):
        super().update(batch)
        self.classes = int(batch.labels.max())


class LateRefusalConfig(ErrorConfig):
    pass


@offered("metric", "refuses-every-tokenizer", LateRefusalConfig)
class RefusesTokenizer(Error):
    def __init__(self, config, chain):
        raise tokzoo.Refusal("judges music")


class SetProtocolConfig(ErrorConfig):
    def protocol(self):
        return {"channels": {1, 3}}


@offered("metric", "protocol-of-sets", SetProtocolConfig)
class ProtocolOfSets(Error):
    pass


class RestlessProtocolConfig(ErrorConfig):
    def protocol(self):
        return {"run": next(COUNTER)}


@offered("metric", "restless-protocol", RestlessProtocolConfig)
class RestlessProtocol(Error):
    pass


class UpwardsConfig(ErrorConfig):
    reports: ClassVar = (tokzoo.MetricInfo("reconstruction.mae", "MAE", better="up"),)


@offered("metric", "better-is-up", UpwardsConfig)
class Upwards(Error):
    pass


class UngroupedConfig(ErrorConfig):
    reports: ClassVar = (tokzoo.MetricInfo("mae", "MAE", better="lower"),)


@offered("metric", "id-without-a-group", UngroupedConfig)
class Ungrouped(Error):
    def compute(self):
        return {"mae": super().compute()["reconstruction.mae"]}


class TwiceConfig(ErrorConfig):
    reports: ClassVar = (*ErrorConfig.reports, *ErrorConfig.reports)


@offered("metric", "one-id-twice", TwiceConfig)
class Twice(Error):
    pass
