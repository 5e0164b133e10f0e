"""Likelihoods and samples compared exactly, on codes so few that every sequence can be asked about."""

import itertools
import math

import torch
from torch import Tensor

from tokzoo.contracts.interfaces import ARModel
from tokzoo.contracts.specs import CodeSpec
from tokzoo.testing.ar_trials import ARTrial, countable_trials, sampler_of
from tokzoo.testing.codes import assert_codes, sizes_of
from tokzoo.testing.subject import Subject

SAMPLES = 4096

FEWEST = 5.0
"""Sequences expected less often than this are counted together (the usual rule for a chi-square test)."""

UNLIKELY = 1e-6
"""Samples of the model's own distribution look worse than this once in a million runs; and seeds here are fixed."""

NORMALISED = 1e-3
"""How far the probabilities of all sequences may add up from 1: float32 adds 1e-5."""


def likelihoods_add_up_to_one(subject: Subject) -> None:
    """The probabilities of all sequences of a class add up to 1: no code sees those to come, nor itself."""
    for trial in countable_trials(subject):
        model = trial.evaluated()
        for label in (None,) if trial.classes is None else (0, trial.classes - 1):
            probabilities = _probabilities(model, trial, label)
            if probabilities is None:
                continue
            total = probabilities.sum().item()
            right = abs(total - 1) <= NORMALISED
            assert right, (
                f"the probabilities of all {len(probabilities)} sequences add up to {total:.4g}, not 1 ({trial.what})"
            )


def samples_follow_the_likelihood(subject: Subject) -> None:
    """Samples come as often as their likelihood says: decoding with a cache is the model that was trained."""
    for trial in countable_trials(subject):
        model = trial.evaluated()
        label = None if trial.classes is None else 1
        labels = None if label is None else torch.full((SAMPLES,), label)
        with torch.no_grad():
            samples = model.sample(labels, sampler_of(subject), torch.arange(SAMPLES))
        assert_codes(samples, trial.codes, SAMPLES, "samples")
        probabilities = _probabilities(model, trial, label)
        if probabilities is None:
            continue
        chance = chance_of(numbers_of(samples, trial.codes), probabilities)
        assert chance >= UNLIKELY, (
            f"{SAMPLES} samples do not follow the model's own likelihood ({trial.what}; chi-square p = {chance:.1e}): "
            "decoding step by step is another model than the forward pass, or the sampler's defaults change it"
        )


def sequences_of(codes: CodeSpec) -> Tensor:
    """Every possible image's codes, ``[S, M]`` or ``[S, M, L]``, in the order of :func:`numbers_of`."""
    every = torch.tensor(list(itertools.product(*map(range, sizes_of(codes)))))
    return every.view(codes.batch_shape(len(every)))


def numbers_of(samples: Tensor, codes: CodeSpec) -> Tensor:
    """The place of each of ``[B, …]`` among all sequences."""
    numbers = torch.zeros(len(samples), dtype=torch.int64)
    for size, column in zip(sizes_of(codes), samples.flatten(1).unbind(1), strict=True):
        numbers = numbers * size + column
    return numbers


@torch.no_grad()
def _probabilities(model: ARModel, trial: ARTrial, label: int | None) -> Tensor | None:
    """The probability of every sequence, float64 ``[S]``; None where the model tells none."""
    sequences = sequences_of(trial.codes)
    labels = None if label is None else torch.full((len(sequences),), label)
    out = model.likelihood(sequences, labels, torch.arange(len(sequences)))
    if out.nats_per_token is None or not out.exact:
        return None
    nats: Tensor = out.nats_per_token.double()
    return torch.exp(-nats * trial.codes.tokens)


def chance_of(drawn: Tensor, probabilities: Tensor) -> float:
    """How often samples of these probabilities are as far from them as those drawn, by Pearson's chi-square."""
    expected = probabilities / probabilities.sum() * len(drawn)
    counts = torch.bincount(drawn, minlength=len(expected)).double()
    rare = expected < FEWEST
    cells = [(counts[~rare], expected[~rare])]
    if bool(rare.any()):
        cells.append((counts[rare].sum()[None], expected[rare].sum()[None]))
    observed, wanted = (torch.cat(part) for part in zip(*cells, strict=True))
    distance = ((observed - wanted).square() / wanted.clamp(min=math.ulp(1.0))).sum().item()
    freedom = max(len(wanted) - 1, 1)
    return torch.special.gammaincc(torch.tensor(freedom / 2).double(), torch.tensor(distance / 2).double()).item()
