"""What an AR model keeps to.

Weights are shaken before anything is asked: a model fresh from its initialisation may give every code the same chance,
and would pass whatever it does.
"""

from functools import partial
from typing import cast

import torch
from torch import Tensor

from tokzoo.contracts.configs import ARConfig, Config
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import ARModel
from tokzoo.contracts.outputs import ARLoss, Progress
from tokzoo.testing import modules
from tokzoo.testing.ar_trials import assert_in_range, sampler_of, trials
from tokzoo.testing.counting import assert_counted_without_memory
from tokzoo.testing.likelihoods import likelihoods_add_up_to_one, samples_follow_the_likelihood
from tokzoo.testing.modules import assert_finite, assert_same, over
from tokzoo.testing.subject import BATCH, Subject


def accepts_codes(subject: Subject) -> None:
    """It accepts codes of some layout, and can be built for them."""
    for trial in trials(subject):
        try:
            trial.build()
        except Refusal as refusal:
            raise AssertionError(f"its config accepts what it then refuses ({trial.what}): {refusal}") from refusal


def loss_is_a_scalar(subject: Subject) -> None:
    """In training and in eval mode the loss is a finite scalar, ``nats_per_token`` one finite number for each image."""
    for trial in trials(subject):
        model = trial.build()
        for training in (True, False):
            codes = trial.given()
            out = model.train(training)(codes, trial.labels(codes), Progress(0, modules.BUDGET))
            assert isinstance(out, ARLoss), f"gives a {type(out).__name__}, not an ARLoss"
            assert out.loss.ndim == 0, f"the loss must be a scalar and has the shape {tuple(out.loss.shape)}"
            assert out.loss.requires_grad, "the loss is detached: no gradient comes from it"
            assert_finite({"the loss": out.loss, "nats_per_token": out.nats_per_token}, trial.what)
            assert isinstance(out.exact, bool), f"exact is {out.exact!r}, not a bool"
            if out.nats_per_token is not None:
                shape = tuple(out.nats_per_token.shape)
                assert shape == (BATCH,), f"nats_per_token has the shape {shape}, not ({BATCH},): one for each image"


def sampled_codes_are_in_range(subject: Subject) -> None:
    """Samples are int64 codes inside the vocabulary, of the promised shape, and not the same for every seed."""
    for trial in trials(subject):
        model = trial.evaluated()
        count = 16
        labels = None if trial.classes is None else torch.zeros(count, dtype=torch.int64)
        samples = model.sample(labels, sampler_of(subject), torch.arange(count))
        assert_in_range(samples, trial.codes, count)
        assert bool((samples != samples[:1]).any()), f"{count} seeds give the same sample ({trial.what})"
        defaults = cast(ARConfig, subject.config).sampler()
        assert_in_range(model.sample(labels, defaults, torch.arange(count)), trial.codes, count)


def samples_are_their_own(subject: Subject) -> None:
    """Sample i depends on ``labels[i]`` and ``seeds[i]`` alone: not on the batch, nor on torch's global generator."""
    count = 6
    for trial in trials(subject):
        model, sampler = trial.evaluated(), sampler_of(subject)
        seeds = torch.arange(count) * 1009 + 2**40
        labels = None if trial.classes is None else torch.arange(count) % trial.classes

        sample = partial(_sample, model, sampler, labels, seeds)
        everyone = torch.arange(count)
        wanted = sample(everyone)
        torch.rand(1)
        assert_same(sample(everyone), wanted, "sampled again from the same seeds")
        assert_same(sample(everyone.flip(0)), wanted.flip(0), "samples depend on the order of the batch")
        for row in (0, count - 1):
            alone = sample(everyone[row : row + 1])
            assert_same(alone, wanted[row : row + 1], "samples depend on the rest of the batch")


def _sample(model: ARModel, sampler: Config, labels: Tensor | None, seeds: Tensor, rows: Tensor) -> Tensor:
    """Some of the images that the seeds stand for."""
    return model.sample(None if labels is None else labels[rows], sampler, seeds[rows])


def sampling_leaves_everything_alone(subject: Subject) -> None:
    """Sampling and reading features leave torch's global generator, training mode, labels and seeds as they were."""
    for trial in trials(subject):
        model = trial.build().train()
        modes = [part.training for part in model.modules()]
        codes, seeds = trial.given(), torch.arange(BATCH)
        labels = trial.labels(codes)
        shown = [None if t is None else t.clone() for t in (codes, labels, seeds)]
        state = torch.get_rng_state()
        model.sample(labels, sampler_of(subject), seeds)
        assert torch.equal(torch.get_rng_state(), state), "sampling draws from torch's global generator: use the seeds"
        assert [part.training for part in model.modules()] == modes, "sampling leaves another training mode behind"
        model.features(codes, labels, 1)
        assert [part.training for part in model.modules()] == modes, "features leaves another training mode behind"
        for found, wanted in zip((codes, labels, seeds), shown, strict=True):
            assert wanted is None or torch.equal(cast(Tensor, found), wanted), "writes into what it is given"


def labels_matter(subject: Subject) -> None:
    """Where there are classes, the likelihood of the same codes depends on the label."""
    for trial in trials(subject):
        if trial.classes is None:
            continue
        model, codes = trial.evaluated(), trial.given()
        with torch.no_grad():
            losses = [model(codes, torch.full((BATCH,), label)) for label in range(trial.classes)]
        values = [loss.loss[None] if loss.nats_per_token is None else loss.nats_per_token for loss in losses]
        assert any(not torch.equal(values[0], value) for value in values[1:]), "the label changes nothing"


def features_can_be_read(subject: Subject) -> None:
    """``features`` gives finite states ``[B, T, D]`` after each layer from 1 to ``depth``, with labels and without."""
    for trial in trials(subject):
        model, codes = trial.evaluated(), trial.given()
        depth = model.depth
        assert isinstance(depth, int), f"depth is {depth!r}, not a whole number"
        assert depth >= 1, f"depth is {depth}: there is no layer to read"
        shapes = set()
        for layer in range(1, depth + 1):
            for labels in (trial.labels(codes), None):
                with torch.no_grad():
                    states = model.features(codes, labels, layer)
                assert states.ndim == 3, (
                    f"features of layer {layer} have the shape {tuple(states.shape)}, not [B, T, D]"
                )
                assert_finite({"features": states}, f"layer {layer}")
                shapes.add(tuple(states.shape[:2]))
        assert {batch for batch, _ in shapes} == {BATCH}, f"features of {BATCH} images have shapes {sorted(shapes)}"


def builds_without_memory(subject: Subject) -> None:
    """It can be built on the meta device: its parameters are counted before anything is trained."""
    for trial in trials(subject):
        assert_counted_without_memory(trial.plain)


CHECKS = (
    accepts_codes,
    loss_is_a_scalar,
    likelihoods_add_up_to_one,
    samples_follow_the_likelihood,
    sampled_codes_are_in_range,
    samples_are_their_own,
    sampling_leaves_everything_alone,
    labels_matter,
    features_can_be_read,
    builds_without_memory,
    *over(trials, modules.gradients_reach_its_parameters, *modules.MODULE_CHECKS),
)
