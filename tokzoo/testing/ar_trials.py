"""An AR model under test: of which codes, shaken, and how it is asked."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from tokzoo.contracts.configs import ARConfig, Config
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import ARModel
from tokzoo.contracts.outputs import ARLoss, Progress
from tokzoo.contracts.specs import CodeSpec
from tokzoo.testing import modules
from tokzoo.testing.modules import descend
from tokzoo.testing.stand_ins import labels_of, stand_in_quantizer, tokens_of
from tokzoo.testing.subject import BATCH, CLASSES, CannotBuild, Subject

COUNTABLE = (
    CodeSpec((2, 2), (3,)),
    CodeSpec((4,), (3,)),
    CodeSpec((2,), (3, 2)),
    CodeSpec((2, 2), (3,), segments=((1, 1), (2, 2))),
)
"""Codes whose every sequence can be asked about: of a grid, a sequence, two levels and two scales."""

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


class ARTrial(modules.Trial):
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
        held = stand_in_quantizer(self.codes) if self.subject.config.requires else None
        model: ARModel = self.subject.build(tokens_of(self.codes, self.classes), held)
        return model

    def given(self) -> Tensor:
        """Codes."""
        shape = self.codes.batch_shape(BATCH)
        if self.codes.vocab_by == "position":
            return torch.stack([torch.randint(size, (BATCH,)) for size in self.codes.vocab], 1)
        levels = [torch.randint(size, (BATCH, self.codes.positions)) for size in self.codes.vocab]
        return torch.stack(levels, -1).view(shape)

    def labels(self, codes: Tensor) -> Tensor | None:
        """Labels int64 ``[B]`` for them, made of each row; None without classes."""
        return None if self.classes is None else labels_of(codes, self.classes)

    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """Likelihoods, hidden states, and a sample for a seed made of each row."""
        assert isinstance(module, ARModel)
        labels = self.labels(given)
        out: ARLoss = module(given, labels)
        nats = out.nats_per_token if out.exact else None  # an estimate may be drawn
        seeds = given.flatten(1).cumsum(1).sum(1)
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
    raise AssertionError(f"refuses {subject.codes}, and codes of every layout: {refusals[0]}")


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
    try:
        cast(ARConfig, subject.config).accepts(tokens_of(codes, classes))
    except Refusal as refusal:
        refusals.append(str(refusal))
        return False
    return True


def assert_in_range(samples: Tensor, codes: CodeSpec, count: int) -> None:
    """Fail unless ``count`` samples are codes of this kind."""
    found, wanted = f"{samples.dtype} {tuple(samples.shape)}", f"torch.int64 {codes.batch_shape(count)}"
    assert found == wanted, f"samples are {found}, promised {wanted}"
    for number, size in enumerate(codes.vocab):
        these = samples if len(codes.vocab) == 1 else samples[..., number]
        low, high = int(these.min()), int(these.max())
        assert 0 <= low <= high < size, f"sampled codes from {low} to {high} in a vocabulary of {size}"
