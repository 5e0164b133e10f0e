"""What a regularizer keeps to, tried in the kit's own tokenizer as the training loop uses it."""

import gc
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from tokzoo.assembly.build import build_teacher, shared_teachers
from tokzoo.assembly.objective import Objective
from tokzoo.contracts.configs import RegularizerConfig
from tokzoo.contracts.errors import describe
from tokzoo.contracts.interfaces import Adversary, ImageTerm, Regularizer
from tokzoo.contracts.outputs import View
from tokzoo.testing import modules
from tokzoo.testing.adversaries import ADVERSARY_CHECKS
from tokzoo.testing.asserting import assert_finite, assert_losses, assert_same
from tokzoo.testing.counting import assert_counted_without_memory
from tokzoo.testing.modules import over
from tokzoo.testing.objectives import (
    RegularizerTrial,
    adversary_losses,
    codes_trials,
    every_trial,
    freeze,
    named_tensors,
    own_parameters,
    regularizer_of,
    sees_images_alone,
    tokenizer_losses,
    transformed,
    trials,
    walk,
)
from tokzoo.testing.subject import Subject
from tokzoo.testing.trial import assert_builds, state_of

NOISE = 0.3
DRAWS = 4


def accepts_a_tokenizer(subject: Subject) -> None:
    """It accepts a tokenizer whose latent is a grid or one whose latent is a sequence, and can be built for it."""
    assert_builds(every_trial(subject))


def gate_is_in_steps_or_a_fraction(subject: Subject) -> None:
    """``start`` and ``stop`` may be steps or fractions of the budget, and are kept as they are given."""
    fields = {name: getattr(subject.config, name) for name in type(subject.config).model_fields}
    for start, stop in ((10, 20), (0.25, 0.5), (0, None)):
        given = {**fields, "start": start, "stop": stop}
        try:
            config = cast(RegularizerConfig, type(subject.config).model_validate(given))
        except ValueError as error:
            raise AssertionError(f"takes no start: {start} with stop: {stop}: {error}") from error
        kept = (config.start, config.stop)
        same = kept == (start, stop) and type(kept[0]) is type(start) and type(kept[1]) is type(stop)
        assert same, f"start: {start}, stop: {stop} became {kept}, which are other steps: keep both fields as inherited"


def transform_keeps_the_shape(subject: Subject) -> None:
    """``transform`` gives a latent of the same shape and dtype, with finite numbers, still attached to the encoder."""
    for trial in trials(subject):
        objective = trial.ready()
        state, latent = transformed(objective, trial.given(), trial.progress)
        assert state.quantized is not None
        before = state.quantized.latent
        found, wanted = (f"{t.dtype} {tuple(t.shape)}" for t in (latent, before))
        assert found == wanted, f"transform makes {found} of {wanted}"
        assert_finite({"it": latent}, "transform")
        reached = torch.autograd.grad(latent.sum(), list(objective.tokenizer.encoder.parameters()), allow_unused=True)
        assert any(g is not None for g in reached), "transform detaches the latent: the encoder learns nothing"


def views_are_reconstructions(subject: Subject) -> None:
    """Its views are named, none of them ``"main"``, and their images have the shape of their targets."""
    for trial in trials(subject):
        objective = trial.ready()
        state, _ = walk(objective, trial.given(), trial.progress)
        views = regularizer_of(objective).views(state)
        assert isinstance(views, dict), f"views gives a {type(views).__name__}, not a dict"
        assert "main" not in views, "a view of its own is called 'main', which is the plain reconstruction"
        for name, view in views.items():
            assert isinstance(name, str), f"a view is called {name!r}, which is no text"
            assert isinstance(view, View), f"view {name!r} is a {type(view).__name__}, not a View"
            images = view.decoded.images
            shapes = tuple(images.shape), tuple(view.target.shape)
            assert shapes[0] == shapes[1], f"view {name!r}: images {shapes[0]} with a target {shapes[1]}"
            assert_finite({"images": images, "target": view.target}, f"view {name!r}")


def terms_are_scalars(subject: Subject) -> None:
    """``terms`` gives finite scalars by name, attached to what is trained; ``weight_of`` weighs each of them."""
    for trial in trials(subject):
        objective = trial.ready()
        terms = _terms(objective, trial)
        assert_losses(subject.config, terms)
        for name in terms:
            assert math.isfinite(subject.config.weight_of(name)), f"weight_of({name!r}) is not finite"


def terms_reach_the_tokenizer(subject: Subject) -> None:
    """Every term has a gradient for some part of the tokenizer, and it is finite."""
    for trial in trials(subject):
        objective = trial.ready()
        named = dict(objective.tokenizer.named_parameters())
        for name, term in _terms(objective, trial).items():
            assert term.requires_grad, f"term {name!r} is detached: no gradient comes from it"
            found = torch.autograd.grad(term.sum(), list(named.values()), allow_unused=True, retain_graph=True)
            assert_finite(dict(zip(named, found, strict=True)), f"gradient of term {name!r}")
            reached = any(gradient is not None for gradient in found)
            assert reached, f"no gradient of term {name!r} reaches the tokenizer"


def _terms(objective: Objective, trial: RegularizerTrial) -> Mapping[str, Tensor]:
    """Its terms, with an adversary frozen as in the tokenizer's step."""
    own = own_parameters(objective)
    freeze(own, True)
    state, _ = walk(objective, trial.given(), trial.progress)
    terms: Any = regularizer_of(objective).terms(state)
    thawed = [p for p in own if p.requires_grad]
    freeze(own, False)
    assert not thawed, "terms lets gradients reach the adversary: its parameters are frozen in the tokenizer's step"
    return named_tensors(terms, "terms")


def taps_are_named(subject: Subject) -> None:
    """``taps`` and ``encoder_taps`` give tuples of layer numbers and names."""
    config = cast(RegularizerConfig, subject.config)
    for which, taps in {"taps": config.taps(), "encoder_taps": config.encoder_taps()}.items():
        right = isinstance(taps, tuple) and all(isinstance(tap, int | str) for tap in taps)
        assert right, f"{which} gives {taps!r}, not a tuple of layer numbers and names"


def works_with_codes_of_any_kind(subject: Subject) -> None:
    """A step is finite with levels of codes, with scales, with a vocabulary for each position, and without codes.

    Or ``accepts`` refuses them. What only compares images is not asked.
    """
    if sees_images_alone(subject):
        return
    for trial in codes_trials(subject):
        objective = trial.ready()
        try:
            losses = tokenizer_losses(objective, trial.given(), trial.progress)
        except Exception as error:
            raise AssertionError(f"its config accepts what it then cannot work with ({trial.what}): {error}") from error
        assert_finite({"the loss": losses.total}, trial.what)
        losses.total.backward()


def factor_is_a_detached_scalar(subject: Subject) -> None:
    """``adapt`` gives None or a factor that is a finite scalar without a graph, and leaves that of its terms usable."""
    for trial in trials(subject):
        objective = trial.ready()
        part = regularizer_of(objective)
        if type(part).adapt is Regularizer.adapt:
            return
        state, _ = walk(objective, trial.given(), trial.progress)
        own = sum((subject.config.weight_of(name) * term for name, term in part.terms(state).items()), torch.zeros(()))
        assert state.quantized is not None
        others = {
            "error": objective.by_role["error"].terms(state)[""],
            "quantizer": torch.stack([*state.quantized.losses.values()]).sum(),
        }
        factor = part.adapt(own, others, state)
        if factor is None:
            continue
        assert isinstance(factor, Tensor), f"adapt gives a {type(factor).__name__}, not a tensor or None"
        assert factor.ndim == 0, f"adapt gives the shape {tuple(factor.shape)}, not a scalar"
        assert not factor.requires_grad, "the factor of adapt has a graph: detach it"
        assert_finite({"the factor": factor}, "adapt")
        try:
            (factor * own + others["error"]).backward()
        except RuntimeError as error:
            raise AssertionError(f"after adapt nothing can be learned from the terms: {describe(error)}") from error


def trained_parameters_get_gradients(subject: Subject) -> None:
    """Every parameter it leaves to the tokenizer's optimizer gets a gradient from its terms or its views."""
    for trial in trials(subject):
        objective = trial.ready()
        own = {id(p) for p in own_parameters(objective)}
        named = regularizer_of(objective).named_parameters()
        missed = {name: p for name, p in named if p.requires_grad and id(p) not in own}
        for _ in range(DRAWS):  # what one step leaves out at random, another does not
            if not missed:
                break
            total = tokenizer_losses(objective, trial.given(), trial.progress).total
            found = torch.autograd.grad(total, list(missed.values()), allow_unused=True)
            missed = {name: p for (name, p), gradient in zip(missed.items(), found, strict=True) if gradient is None}
        assert not missed, f"no gradient reaches {', '.join(missed)}: use it, or set requires_grad to False"


def distance_grows_with_noise(subject: Subject) -> None:
    """The distance of images from themselves is finite, and not larger than from the same images with noise."""
    for trial in trials(subject):
        part = regularizer_of(trial.begun().eval())
        if not isinstance(part, ImageTerm):
            return
        same, noisy = [], []
        with torch.no_grad():
            for _ in range(DRAWS):
                images = trial.given()
                same.append(part.distance(images, images.clone()))
                noisy.append(part.distance(images + NOISE * torch.randn_like(images), images))
        assert all(d.ndim == 0 for d in same), f"distance gives the shape {tuple(same[0].shape)}, not a scalar"
        near, far = torch.stack(same).double().mean().item(), torch.stack(noisy).double().mean().item()
        assert math.isfinite(near), f"the distance of images from themselves is {near}"
        ordered = near <= far + 1e-6 * abs(far)
        assert ordered, f"images are {near:.3g} from themselves and {far:.3g} from themselves with noise"


def leaves_no_graph(subject: Subject) -> None:
    """After a step nothing holds a tensor of its graph: else each step would cost more memory than the last."""
    tried = trials(subject)
    objectives = [trial.ready() for trial in tried]
    gc.freeze()  # what is there already is not looked at
    try:
        for objective, trial in zip(objectives, tried, strict=True):
            losses = tokenizer_losses(objective, trial.given(), trial.progress)
            losses.total.backward()
            if isinstance(regularizer_of(objective), Adversary):
                adversary_losses(objective, losses.state, trial.progress).total.backward()
            del losses
        gc.collect()  # what only a cycle holds goes with the next collection
        # By their exact types: isinstance would ask some objects for attributes that do things.
        kept = [o for o in gc.get_objects() if issubclass(type(o), Tensor) and o.grad_fn is not None]
    finally:
        gc.unfreeze()
    shapes = ", ".join(sorted({f"{tuple(tensor.shape)} of {tensor.grad_fn.name()}" for tensor in kept}))
    assert not kept, f"after the step it still holds tensors of the graph ({shapes}): keep detached ones"


def teachers_are_not_trained(subject: Subject) -> None:
    """What it trains is none of its teachers', and a step changes nothing in them."""
    slots = [slot for slot in subject.slot.parts() if slot.kind == "teacher"]
    if not slots:
        return
    for trial in trials(subject):
        with shared_teachers():
            objective = trial.ready()
            theirs = [build_teacher(slot, trial.chain.image) for slot in slots]
        for name, parameter in regularizer_of(objective).named_parameters():
            trained = parameter.requires_grad and any(_is_of(parameter, teacher) for teacher in theirs)
            assert not trained, f"trains {name}, which is its teacher's: get it from tokzoo.build_teacher"
        before = [state_of(teacher) for teacher in theirs]
        trial.step(objective, trial.given(), trial.progress)
        for teacher, state in zip(theirs, before, strict=True):
            assert not teacher.training, "its teacher is in training mode while it trains"
            for name, tensor in state_of(teacher).items():
                assert_same(tensor, state[name], f"a training step changes {name} of its teacher")


def _is_of(parameter: Tensor, teacher: nn.Module) -> bool:
    """Whether it is a parameter of the teacher, or a copy of one that was drawn or learned."""
    for other in teacher.parameters():
        if parameter is other:
            return True
        drawn = parameter.shape == other.shape and parameter.numel() > 1 and bool((other != other.flatten()[0]).any())
        if drawn and torch.equal(parameter, other):
            return True
    return False


def builds_without_memory(subject: Subject) -> None:
    """It can be built on the meta device: its parameters are counted before anything is trained."""
    for trial in trials(subject):
        assert_counted_without_memory(partial(subject.build, trial.chain))


CHECKS = (
    accepts_a_tokenizer,
    gate_is_in_steps_or_a_fraction,
    transform_keeps_the_shape,
    views_are_reconstructions,
    terms_are_scalars,
    terms_reach_the_tokenizer,
    trained_parameters_get_gradients,
    taps_are_named,
    works_with_codes_of_any_kind,
    factor_is_a_detached_scalar,
    distance_grows_with_noise,
    leaves_no_graph,
    *ADVERSARY_CHECKS,
    teachers_are_not_trained,
    builds_without_memory,
    *over(
        trials,
        modules.autocast_stays_finite,
        modules.state_dict_holds_everything,
        modules.training_is_seeded,
        modules.building_leaves_the_seed,
        modules.training_resumes_exactly,
        modules.input_is_left_alone,
    ),
)
