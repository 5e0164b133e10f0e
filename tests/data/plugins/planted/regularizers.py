"""Small regularizers: good ones, and others that are each broken in one way."""

import copy
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import nn

import tokzoo
from planted.offering import offered
from tokzoo.nn.adaptive_weight import adaptive_weight


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
        self.teacher = tokzoo.build_teacher(config.teacher, chain.image)

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


class EncoderTapConfig(AlignedConfig):
    """Alignment of a tap of the encoder."""

    def taps(self):
        return ()

    def encoder_taps(self):
        return (1,)


@offered("regularizer", "good-encoder-tap", EncoderTapConfig, teacher={"use": "faulty/good-teacher"})
class EncoderTap(tokzoo.Regularizer):
    """Draws the encoder's states to a teacher's features, which are computed once a pass."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        width = config.teacher.config.hidden_spec(chain.image).dim
        self.project = nn.Linear(chain.encoder_hidden[1].dim, width)
        self.teacher = tokzoo.build_teacher(config.teacher, chain.image)

    def wanted(self, state):
        with torch.no_grad():
            return state.memo.setdefault((self.teacher, "mean"), self.teacher(state.images).mean(1))

    def terms(self, state):
        return {"": F.mse_loss(self.project(state.encoded.hidden[1].mean(1)).float(), self.wanted(state).float())}


@offered("regularizer", "remembers-the-first-pass", EncoderTapConfig, teacher={"use": "faulty/good-teacher"})
class RemembersFirst(EncoderTap):
    memo = None

    def wanted(self, state):
        if self.memo is None:
            self.memo = super().wanted(state)
        return self.memo


class SetOfTapsConfig(AlignedConfig):
    def taps(self):
        return {1}


@offered("regularizer", "taps-in-a-set", SetOfTapsConfig, teacher={"use": "faulty/good-teacher"})
class SetOfTaps(Aligned):
    pass


class AdaptiveConfig(TermConfig):
    """An adversary that pulls as hard as other terms do."""

    requires: ClassVar = frozenset({"last_layer"})


@offered("regularizer", "good-adaptive", AdaptiveConfig)
class Adaptive(Judge):
    """Weighs itself at the decoder's last layer."""

    def adapt(self, own, others, state):
        return adaptive_weight(others["error"], own, state.tokenizer.decoder.last_layer())


@offered("regularizer", "attached-factor", AdaptiveConfig)
class AttachedFactor(Adaptive):
    def adapt(self, own, others, state):
        return others["error"] / (own + 1)


@offered("regularizer", "number-for-a-factor", AdaptiveConfig)
class NumberForFactor(Adaptive):
    def adapt(self, own, others, state):
        return super().adapt(own, others, state).item()


@offered("regularizer", "uses-up-the-graph", AdaptiveConfig)
class UsesUpGraph(Adaptive):
    def adapt(self, own, others, state):
        layer = state.tokenizer.decoder.last_layer()
        return torch.autograd.grad(own, layer)[0].norm().detach()


@offered("regularizer", "good-latent-judge", TermConfig)
class LatentJudge(tokzoo.Adversary):
    """Tells the quantized latent from the encoder's."""

    def __init__(self, config, chain):
        super().__init__(config, chain)
        self.head = nn.Linear(chain.quantized.channels, 1)

    def terms(self, state):
        return {"": -self.head(state.quantized.latent).float().mean()}

    def adversary_parameters(self):
        return self.parameters()

    def adversary_terms(self, state):
        real, fake = self.head(state.encoded.latent).float(), self.head(state.quantized.latent).float()
        return {"loss": F.softplus(-real).mean() + F.softplus(fake).mean()}


class UsageConfig(tokzoo.RegularizerConfig):
    """What the codes are used for."""


@offered("regularizer", "thinks-of-one-level-of-codes", UsageConfig)
class OneLevel(tokzoo.Regularizer):
    def terms(self, state):
        batch, places = state.quantized.codes.shape
        return {"": state.quantized.latent.float().square().sum() / (batch * places)}
