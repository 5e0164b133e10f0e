"""An AR model under test: of which codes, shaken, and how it is asked."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from tokzoo.contracts.configs import ARConfig, Config
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import ARModel
from tokzoo.contracts.outputs import ARLoss, Progress
from tokzoo.contracts.specs import CodeSpec
from tokzoo.testing.codes import random_codes
from tokzoo.testing.stand_ins import labels_of, stand_in_quantizer, tokens_of
from tokzoo.testing.subject import BATCH, CLASSES, CannotBuild, Subject
from tokzoo.testing.trial import Trial, descend

COUNTABLE = (
    CodeSpec((2, 2), (3,)),
    CodeSpec((4,), (3,)),
    CodeSpec((2,), (3, 2)),
    CodeSpec((2,), (2, 2, 2)),
    CodeSpec((2, 2), (3,), segments=((1, 1), (2, 2))),
    CodeSpec((3,), (4, 2, 3), vocab_by="position"),
)
"""Codes whose every sequence can be asked about.

Of a grid, a sequence, levels of unequal and of equal vocabularies, two scales, and with a vocabulary a position.
"""

HELD = 13
"""The seed of the quantizer that a model is given."""

PLAIN = {
    "temperature": 1.0,
    "top_k": 0,
    "top_p": 1.0,
    "min_p": 0.0,
    "cfg": 1.0,
    "cfg_scale": 1.0,
    "guidance": 1.0,
    "guidance_scale": 1.0,
    "greedy": False,
}
"""What the usual fields of a sampler are where they change nothing."""


class ARTrial(Trial):
    """A model of certain codes, its weights shaken."""

    def __init__(self, subject: Subject, codes: CodeSpec, classes: int | None) -> None:
        super().__init__(subject, f"learning {codes} with {classes or 'no'} classes")
        self.codes, self.classes = codes, classes

    def build(self) -> ARModel:
        """The model."""
        model = self.plain()
        shake(model)
        return model

    def plain(self) -> ARModel:
        """The model as it begins."""
        held = None
        if self.subject.config.requires:
            with torch.random.fork_rng(devices=()):  # every model here holds the same
                torch.manual_seed(HELD)
                held = stand_in_quantizer(self.codes)
        model: ARModel = self.subject.build(tokens_of(self.codes, self.classes), held)
        return model

    def given(self) -> Tensor:
        """Codes."""
        return random_codes(self.codes, BATCH)

    def labels(self, codes: Tensor) -> Tensor | None:
        """Labels int64 ``[B]`` for them, made of each row; None without classes."""
        return None if self.classes is None else labels_of(codes, self.classes)

    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """Likelihoods, hidden states, and a sample for a seed made of each row."""
        assert isinstance(module, ARModel)
        labels = self.labels(given)
        seeds = given.flatten(1).cumsum(1).sum(1)
        out: ARLoss = module(given, labels) if module.training else module.likelihood(given, labels, seeds)
        nats = None if module.training and not out.exact else out.nats_per_token  # in training, an estimate is drawn
        return {
            **({} if nats is None else {"nats_per_token": nats}),
            "features": module.features(given, labels, module.depth),
            "sample": module.sample(labels, sampler_of(self.subject), seeds),
        }

    def evaluated(self) -> ARModel:
        """The model in eval mode."""
        return self.build().eval()

    def loss(self, module: nn.Module, given: Tensor) -> Tensor:
        """Its own."""
        loss: ARLoss = module(given, self.labels(given))
        return loss.loss

    def step(self, module: nn.Module, given: Tensor, progress: Progress) -> None:
        """One step, told where training is."""
        loss: ARLoss = module(given, self.labels(given), progress)
        descend(module, loss.loss)


def shake(model: nn.Module) -> None:
    """Add noise to all that is trained, about as much as a usual initialisation draws."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                deviation = max(1, parameter.flatten(1).shape[1]) ** -0.5 if parameter.ndim > 1 else 0.3
                parameter.add_(torch.randn_like(parameter) * deviation)


def sampler_of(subject: Subject) -> Config:
    """The model's sampler with its defaults, except that the usual fields are set to change nothing."""
    model = cast(ARConfig, subject.config).sampler
    sampler = model()
    fields: dict[str, Any] = {}
    for name, value in PLAIN.items():
        if getattr(sampler, name, None) not in (None, value):
            try:
                sampler = model(**fields, **{name: value})
            except ValueError:
                continue  # here the field means something else
            fields[name] = value
    return sampler


def trials(subject: Subject) -> list[ARTrial]:
    """The model of the subject's codes, or of the first countable ones that it accepts: with classes, and without.

    Raises:
        AssertionError: it accepts none.
    """
    refusals: list[str] = []
    for codes in (subject.codes, *COUNTABLE):
        found = [
            ARTrial(subject, codes, classes) for classes in (CLASSES, None) if _takes(subject, codes, classes, refusals)
        ]
        if found:
            return found
    reasons = "; ".join(dict.fromkeys(refusals))
    raise AssertionError(f"refuses {subject.codes}, and codes of every layout: {reasons}")


def countable_trials(subject: Subject) -> list[ARTrial]:
    """The model of every kind of countable codes that it accepts, with classes if it can.

    Raises:
        CannotBuild: it accepts none.
    """
    refusals: list[str] = []
    found = []
    for codes in COUNTABLE:
        for classes in (CLASSES, None):
            if _takes(subject, codes, classes, refusals):
                found.append(ARTrial(subject, codes, classes))
                break
    if not found:
        raise CannotBuild(f"accepts none of the small codes whose every sequence can be asked about: {refusals[0]}")
    return found


def _takes(subject: Subject, codes: CodeSpec, classes: int | None, refusals: list[str]) -> bool:
    tokens = tokens_of(codes, classes)
    missing = sorted(subject.config.requires - tokens.provides)
    try:
        cast(ARConfig, subject.config).accepts(tokens)
    except Refusal as refusal:
        refusals.append(str(refusal))
        return False
    if missing:
        refusals.append(f"needs the capability {missing[0]!r}, which the kit's tokenizer of {codes} does not provide")
    return not missing
