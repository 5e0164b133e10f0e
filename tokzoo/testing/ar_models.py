"""What an AR model keeps to.

Weights are shaken before anything is asked: a model fresh from its initialisation may give every code the same chance,
and would pass whatever it does.
"""

from functools import partial
from typing import cast

import torch
from torch import Tensor

from tokzoo.contracts.configs import ARConfig, Config
from tokzoo.contracts.errors import Refusal, describe
from tokzoo.contracts.interfaces import ARModel
from tokzoo.contracts.outputs import ARLoss, Progress
from tokzoo.contracts.specs import CodeSpec, LatentSpec, Tokens
from tokzoo.testing import modules
from tokzoo.testing.ar_trials import ARTrial, sampler_of, trials
from tokzoo.testing.asserting import CLOSE, assert_all_same, assert_finite, assert_rows_are_their_own
from tokzoo.testing.codes import assert_codes, random_codes
from tokzoo.testing.counting import assert_counted_without_memory
from tokzoo.testing.likelihoods import likelihoods_add_up_to_one, samples_follow_the_likelihood
from tokzoo.testing.modules import over
from tokzoo.testing.stand_ins import stand_in_quantizer, tokens_of
from tokzoo.testing.subject import BATCH, CLASSES, Subject
from tokzoo.testing.trial import BUDGET, assert_builds, state_of

COUNT = 6
SEEDS = 2**40 + 1009 * torch.arange(COUNT, device="cpu")
"""Of as many images."""

HUGE = CodeSpec((2, 2), (2**36,))
TOKENS = {
    "a continuous latent": Tokens(None, LatentSpec("grid", (4, 4), 4), CLASSES),
    "2^36 codes": tokens_of(HUGE, CLASSES),
    "levels of codes": tokens_of(CodeSpec((4, 4), (8, 8, 8)), CLASSES),
    "codes of scales": tokens_of(CodeSpec((2, 2), (8,), ((1, 1), (2, 2))), None),
    "a vocabulary for each position": tokens_of(CodeSpec((3,), (4, 2, 3), vocab_by="position"), None),
}
"""What it may be asked to learn, in words."""

LARGEST = 2**31
"""As many parameters no model has here, unless it has a row for each of very many codes."""


def accepts_codes(subject: Subject) -> None:
    """It accepts codes of some layout, and can be built for them."""
    assert_builds(trials(subject))


def any_tokens_are_refused_or_learned(subject: Subject) -> None:
    """Of tokens of every kind, ``accepts`` takes what can be built, and refuses the rest with a reason."""
    config = cast(ARConfig, subject.config)
    for what, tokens in TOKENS.items():
        try:
            config.accepts(tokens)
        except Refusal:
            continue
        except Exception as error:
            raise AssertionError(f"accepts, asked about {what}, raises {describe(error)}: refuse it") from error
        if config.requires - tokens.provides:
            continue
        with torch.device("meta"):
            held = stand_in_quantizer(tokens.codes) if tokens.codes is not None and config.requires else None
            size = sum(p.numel() for p in subject.build(tokens, held).parameters())
        assert size < LARGEST, f"accepts {what}, for which it has {size:.1e} parameters: refuse so many codes"


def quantizer_stays_apart(subject: Subject) -> None:
    """The quantizer it is given is no part of it: neither saved with it nor trained, and the same after training."""
    if not subject.config.requires:
        return
    for trial in trials(subject):
        model = cast(ARModel, trial.begun())
        quantizer = model.quantizer
        theirs = {id(tensor) for tensor in (*quantizer.parameters(), *quantizer.buffers())}
        named = (*model.named_parameters(), *model.named_buffers())
        mine = [name for name, tensor in named if id(tensor) in theirs]
        assert not mine, f"{mine[0]} is the quantizer's, and would be saved and trained: read it from self.quantizer"
        before = state_of(quantizer)
        trial.train(model, trial.steps)
        model.sample(None, sampler_of(subject), SEEDS)
        assert_all_same(state_of(quantizer), before, "changes the quantizer it is given")
        assert not quantizer.training, "leaves the quantizer it is given in training mode"


def loss_is_a_scalar(subject: Subject) -> None:
    """In training and in eval mode the loss is a finite scalar, ``nats_per_token`` one finite number for each image."""
    for trial in trials(subject):
        model = cast(ARModel, trial.begun())
        for training in (True, False):
            codes = trial.given()
            out = model.train(training)(codes, trial.labels(codes), Progress(0, BUDGET))
            assert isinstance(out, ARLoss), f"gives a {type(out).__name__}, not an ARLoss"
            assert out.loss.ndim == 0, f"the loss must be a scalar and has the shape {tuple(out.loss.shape)}"
            assert out.loss.requires_grad, "the loss is detached: no gradient comes from it"
            assert_finite({"the loss": out.loss, "nats_per_token": out.nats_per_token}, trial.what)
            assert isinstance(out.exact, bool), f"exact is {out.exact!r}, not a bool"
            if out.nats_per_token is not None:
                shape = tuple(out.nats_per_token.shape)
                assert shape == (BATCH,), f"nats_per_token has the shape {shape}, not ({BATCH},): one for each image"


def likelihoods_are_their_own(subject: Subject) -> None:
    """Image i's likelihood depends on its codes, ``labels[i]`` and ``seeds[i]`` alone: a bound too, drawn as it is."""
    for trial in trials(subject):
        model, codes = trial.evaluated(), random_codes(trial.codes, COUNT)
        if model.likelihood(codes, trial.labels(codes), SEEDS).nats_per_token is None:
            continue

        @torch.no_grad()
        def ask(rows: Tensor, model: ARModel = model, codes: Tensor = codes, trial: ARTrial = trial) -> Tensor:
            out = model.likelihood(codes[rows], trial.labels(codes[rows]), SEEDS[rows])
            return cast(Tensor, out.nats_per_token)

        assert_rows_are_their_own(ask, COUNT, "likelihoods", "computed", CLOSE)


def sampled_codes_are_in_range(subject: Subject) -> None:
    """Samples are int64 codes inside the vocabulary, of the promised shape, and not the same for every seed."""
    for trial in trials(subject):
        model = trial.evaluated()
        count = 16
        labels = None if trial.classes is None else torch.zeros(count, dtype=torch.int64)
        samples = model.sample(labels, sampler_of(subject), torch.arange(count))
        assert_codes(samples, trial.codes, count, "samples")
        assert bool((samples != samples[:1]).any()), f"{count} seeds give the same sample ({trial.what})"
        defaults = cast(ARConfig, subject.config).sampler()
        assert_codes(model.sample(labels, defaults, torch.arange(count)), trial.codes, count, "samples")


def samples_are_their_own(subject: Subject) -> None:
    """Sample i depends on ``labels[i]`` and ``seeds[i]`` alone: not on the batch, nor on torch's global generator."""
    for trial in trials(subject):
        model, sampler = trial.evaluated(), sampler_of(subject)
        labels = None if trial.classes is None else torch.arange(COUNT) % trial.classes
        sample = partial(_sample, model, sampler, labels, SEEDS)
        assert_rows_are_their_own(sample, COUNT, "samples", "sampled")


def _sample(model: ARModel, sampler: Config, labels: Tensor | None, seeds: Tensor, rows: Tensor) -> Tensor:
    """Some of the images that the seeds stand for."""
    return model.sample(None if labels is None else labels[rows], sampler, seeds[rows])


def sampling_leaves_everything_alone(subject: Subject) -> None:
    """Sampling and reading features leave torch's global generator, training mode, labels and seeds as they were."""
    for trial in trials(subject):
        model = cast(ARModel, trial.begun()).train()
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
            every = [torch.full((BATCH,), label) for label in range(trial.classes)]
            losses = [model.likelihood(codes, labels, torch.arange(BATCH)) for labels in every]
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
    any_tokens_are_refused_or_learned,
    quantizer_stays_apart,
    loss_is_a_scalar,
    likelihoods_add_up_to_one,
    samples_follow_the_likelihood,
    likelihoods_are_their_own,
    sampled_codes_are_in_range,
    samples_are_their_own,
    sampling_leaves_everything_alone,
    labels_matter,
    features_can_be_read,
    builds_without_memory,
    *over(trials, modules.gradients_reach_its_parameters, *modules.MODULE_CHECKS),
)
