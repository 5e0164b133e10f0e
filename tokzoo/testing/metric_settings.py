"""A metric under test: the tokenizer it judges, and batches of its stage."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tokzoo.contracts.configs import DatasetConfig, MetricConfig
from tokzoo.contracts.errors import Refusal, TokzooError
from tokzoo.contracts.interfaces import (
    EfficiencyProbe,
    GenerationBatch,
    LikelihoodBatch,
    Metric,
    ReconstructionBatch,
    RepresentationProbe,
)
from tokzoo.contracts.outputs import ARLoss
from tokzoo.contracts.specs import PREFIX_DECODING, Chain, CodeSpec, ImageSpec
from tokzoo.recipes.resolver import Resolver
from tokzoo.recipes.tree import Tree
from tokzoo.testing.codes import random_codes
from tokzoo.testing.stand_in_ar import Unigram
from tokzoo.testing.stand_in_quantizers import QUANTIZERS
from tokzoo.testing.stand_ins import grey, stand_in_tokenizer
from tokzoo.testing.subject import CLASSES, CannotBuild, Subject
from tokzoo.testing.trial import state_of

IMAGES = 12
"""In a batch."""

PROBED = 48
"""Of each split of a probe."""

Given = Any
"""A batch of the type that the metric's stage gives."""


class Setting:
    """A metric in the tokenizer it is asked about, and batches of its stage.

    Args:
        subject: the metric.
        chain: of the kit's own tokenizer, on images that the metric judges.
    """

    def __init__(self, subject: Subject, chain: Chain) -> None:
        self.subject, self.chain = subject, chain
        self.stage = _config(subject).stage

    def metric(self) -> Metric:
        """A new one, at zero."""
        metric: Metric = self.subject.build(self.chain)
        return metric

    def measured(self, batches: Sequence[Given]) -> dict[str, float]:
        """What a new one makes of batches."""
        metric = self.metric()
        update(metric, batches)
        return metric.compute()

    def batch(self) -> Given:
        """One batch of everything, drawn from torch's global generator."""
        return BATCHES[self.stage](self.chain)


def update(metric: Metric, batches: Sequence[Given]) -> None:
    """Show a metric batches, as the runner does."""
    for batch in batches:
        # A probe of representations learns; nothing else does.
        with torch.inference_mode(not isinstance(batch, RepresentationProbe)):
            metric.update(batch)


def _config(subject: Subject) -> MetricConfig:
    return cast(MetricConfig, subject.config)


def _codes(chain: Chain, count: int) -> Tensor:
    assert chain.codes is not None
    return random_codes(chain.codes, count)


def _labels(chain: Chain, count: int) -> Tensor | None:
    return None if chain.classes is None else torch.arange(count) % chain.classes


def _images(chain: Chain, count: int) -> Tensor:
    """Smooth images in [-1, 1], each of another contrast."""
    height, width = chain.image.size
    coarse = torch.rand(count, chain.image.channels, 4, 4) * 2 - 1
    contrast = torch.linspace(0.3, 1.0, count)[:, None, None, None]
    return F.interpolate(coarse * contrast, (height, width), mode="bilinear")


def _reconstruction(chain: Chain) -> ReconstructionBatch:
    images = _images(chain, IMAGES)
    noise = torch.linspace(0.02, 0.5, IMAGES)[:, None, None, None]
    reconstructions = (images + noise * torch.randn_like(images)).clamp(-1.0, 1.0)
    codes = None if chain.codes is None else _codes(chain, IMAGES)
    ordered = PREFIX_DECODING in chain.provides
    from_prefix = partial(_blurred, reconstructions) if ordered else None
    return ReconstructionBatch(images, reconstructions, codes, _labels(chain, IMAGES), from_prefix)


def _blurred(images: Tensor, count: int) -> Tensor:
    """What a few of the tokens might tell."""
    side = max(1, math.isqrt(count))
    return F.interpolate(F.adaptive_avg_pool2d(images, side), images.shape[2:])


def _likelihood(chain: Chain) -> LikelihoodBatch:
    nats = torch.linspace(1.0, 3.0, IMAGES)
    return LikelihoodBatch(ARLoss(nats.mean(), nats, exact=True), cast(CodeSpec, chain.codes))


def _generation(chain: Chain) -> GenerationBatch:
    return GenerationBatch(_images(chain, IMAGES), _labels(chain, IMAGES))


def _representation(chain: Chain) -> RepresentationProbe:
    assert chain.codes is not None
    assert chain.classes is not None
    model = Unigram(None, chain.tokens).eval()
    codes = [_codes(chain, PROBED) for _ in range(2)]
    labels = torch.arange(PROBED) % chain.classes
    device = torch.device("cpu")
    return RepresentationProbe(model, codes[0], labels, codes[1], labels.clone(), chain.classes, 16, device)


def _efficiency(chain: Chain) -> EfficiencyProbe:
    tokenizer = stand_in_tokenizer(chain.image, chain.classes).eval()
    assert tokenizer.chain.codes is not None
    return EfficiencyProbe(tokenizer, Unigram(None, tokenizer.chain.tokens).eval(), _images(chain, 4))


BATCHES: dict[str, Callable[[Chain], Given]] = {
    "reconstruction": _reconstruction,
    "likelihood": _likelihood,
    "generation": _generation,
    "representation": _representation,
    "efficiency": _efficiency,
}
"""What each stage gives."""

HUGE = 2**36
"""A vocabulary of which there is no table."""

ONCE = (RepresentationProbe, EfficiencyProbe)
"""Given once, and whole."""


def setting(subject: Subject) -> Setting:
    """The metric on images that it judges: those of a dataset it means something on, else the subject's, else grey.

    Raises:
        AssertionError: it refuses them all.
        CannotBuild: it cannot be built here.
    """
    refusals: list[str] = []
    for image, classes in _offered(subject):
        found = Setting(subject, stand_in_tokenizer(image, classes).chain)
        try:
            found.metric()
        except Refusal as refusal:
            refusals.append(str(refusal))
            continue
        return found
    if not refusals:
        names = ", ".join(sorted(_config(subject).datasets or ()))
        raise CannotBuild(f"means something on {names} alone, and no such dataset is here")
    raise AssertionError(f"refuses every tokenizer it was offered: {refusals[0]}")


def codes_settings(subject: Subject) -> list[Setting]:
    """The metric in tokenizers of every kind of codes, and of more codes than can be counted one by one."""
    image, classes = _offered(subject)[0]
    chains = [stand_in_tokenizer(image, classes, name).chain for name in QUANTIZERS]
    huge = dataclasses.replace(chains[0], codes=CodeSpec((4, 4), (HUGE,)))
    return [Setting(subject, chain) for chain in (*chains, huge) if chain.codes is not None]


def _offered(subject: Subject) -> list[tuple[ImageSpec, int | None]]:
    """Images and classes to try it with."""
    names = _config(subject).datasets
    if names is None:
        return [(image, classes) for classes in (CLASSES, None) for image in (subject.image, grey(subject.image))]
    known = {entry.spec.name: entry.spec.example for entry in subject.catalogue.of_kind("dataset")}
    offered = []
    for name in sorted(names & known.keys()):
        try:
            slot = Resolver(Tree({"slot": {"use": name, **known[name]}}), subject.catalogue).slot("dataset", ("slot",))
            config = cast(DatasetConfig, slot.config)
            classes = config.class_names()
        except TokzooError:
            continue  # its files are not here
        offered.append((config.image_spec(), None if classes is None else len(classes)))
    return offered


def rows_of(batch: Given, rows: Tensor) -> Given:
    """Some of a batch's images."""
    if isinstance(batch, LikelihoodBatch):
        assert batch.loss.nats_per_token is not None
        nats = batch.loss.nats_per_token[rows]
        return LikelihoodBatch(ARLoss(nats.mean(), nats, batch.loss.exact), batch.codes)
    fields = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    some = {name: value[rows] if isinstance(value, Tensor) else value for name, value in fields.items()}
    if some.get("from_prefix") is not None:
        some["from_prefix"] = partial(_blurred, some["reconstructions"])
    return type(batch)(**some)


def contents_of(batch: Given) -> dict[str, Tensor]:
    """Copies of all tensors of a batch, and of the state of its modules."""
    shown = {f.name: getattr(batch, f.name) for f in dataclasses.fields(batch)}
    if isinstance(batch, LikelihoodBatch):
        shown = {"loss": batch.loss.loss, "nats_per_token": batch.loss.nats_per_token}
    found = {name: value.clone() for name, value in shown.items() if isinstance(value, Tensor)}
    for name, part in modules_of(batch):
        found |= {f"{name}.{key}": tensor for key, tensor in state_of(part).items()}
    return found


def modules_of(batch: Given) -> list[tuple[str, nn.Module]]:
    """The modules of a batch, by the names of its fields."""
    shown = [(f.name, getattr(batch, f.name)) for f in dataclasses.fields(batch)]
    return [(name, value) for name, value in shown if isinstance(value, nn.Module)]
