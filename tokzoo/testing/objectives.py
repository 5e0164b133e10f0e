"""A regularizer in an objective of the kit's own tokenizer, and the steps of both as the training loop takes them."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from torch import Tensor, nn

from tokzoo.assembly.objective import Losses, Objective, detached
from tokzoo.assembly.tokenizer import Tokenizer
from tokzoo.contracts.configs import RegularizerConfig
from tokzoo.contracts.errors import Refusal, TokzooError
from tokzoo.contracts.interfaces import Adversary, ImageTerm, Regularizer, Teacher
from tokzoo.contracts.outputs import Pass, Progress, View
from tokzoo.contracts.specs import Chain, ImageSpec, Layout
from tokzoo.recipes.models import Recipe
from tokzoo.recipes.solver import solve
from tokzoo.registry.component import load_target
from tokzoo.testing.stand_in_quantizers import QUANTIZERS
from tokzoo.testing.stand_ins import (
    LAYOUTS,
    PROVIDED,
    Squared,
    SquaredConfig,
    grey,
    labels_of,
    stand_in_recipe,
    with_stand_ins,
)
from tokzoo.testing.subject import CLASSES, CannotBuild, Subject, started
from tokzoo.testing.trial import BUDGET, Trial, descend, images_of

ROLE = "tested"


class RegularizerTrial(Trial):
    """A regularizer in an objective beside a squared error, where its gate is open."""

    def __init__(self, subject: Subject, recipe: Recipe, chain: Chain) -> None:
        codes = chain.codes or "no codes"
        where = f"in a tokenizer whose latent is a {chain.latent.layout}, with {codes}, on a {chain.image}"
        super().__init__(subject, where)
        self.recipe, self.chain = recipe, chain
        self.progress = open_progress(cast(RegularizerConfig, subject.config))
        first, config = self.progress.step, cast(RegularizerConfig, subject.config)
        # On other images, if it is active for longer than a step.
        second = first + Progress(first + 1, BUDGET).is_open(config.start, config.stop)
        self.steps = (first, second)  # type: ignore[misc]

    def build(self) -> Objective:
        """The objective."""
        tokenizer = Tokenizer(self.recipe, self.chain)
        error = Squared(SquaredConfig(), self.chain)
        return Objective(tokenizer, {"error": error, ROLE: self.subject.build(self.chain)})

    def start(self, module: nn.Module) -> None:
        """As where training begins."""
        started(cast(Objective, module).start)

    def begun(self) -> Objective:
        """The objective, started."""
        return cast(Objective, super().begun())

    def empty(self) -> Objective:
        """One that is started: without training there is none."""
        return self.begun()

    def given(self) -> Tensor:
        """Images."""
        return images_of(self.chain.image)

    def ready(self) -> Objective:
        """The objective as the training loop has it."""
        objective = self.begun().train()
        keep_teachers_frozen(objective)
        return objective

    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """Its terms, the images of its views, and the latent it changed."""
        assert isinstance(module, Objective)
        state, latent = walk(module, given, self.progress)
        views = {f"view {name}": view.decoded.images for name, view in state.views.items() if name != "main"}
        terms = {f"term {name!r}": term for name, term in regularizer_of(module).terms(state).items()}
        return {**terms, **views, "transformed latent": latent}

    def loss(self, module: nn.Module, given: Tensor) -> Tensor:
        """What the tokenizer minimises."""
        assert isinstance(module, Objective)
        return tokenizer_losses(module, given, self.progress).total

    def step(self, module: nn.Module, given: Tensor, progress: Progress) -> None:
        """A step of the tokenizer, and one of the adversary."""
        assert isinstance(module, Objective)
        keep_teachers_frozen(module)
        losses = tokenizer_losses(module, given, progress)
        descend(module, losses.total)
        if isinstance(regularizer_of(module), Adversary):
            descend(module, adversary_losses(module, losses.state, progress).total)


def open_progress(config: RegularizerConfig) -> Progress:
    """The first step of the pretended budget at which a regularizer is active.

    Raises:
        AssertionError: there is none.
    """
    progress = Progress(Progress(0, BUDGET).steps(config.start), BUDGET)
    gate = f"start: {config.start}, stop: {config.stop}"
    assert progress.is_open(config.start, config.stop), f"is never active in {BUDGET} steps with {gate}"
    return progress


def trials(subject: Subject) -> list[RegularizerTrial]:
    """Those of :func:`every_trial`; the first alone of what only compares images, whatever they come from."""
    found = every_trial(subject)
    return found[:1] if sees_images_alone(subject) else found


def sees_images_alone(subject: Subject) -> bool:
    """Whether nothing but its distance between images is its own."""
    target = load_target(subject.slot.entry.spec)
    inherited = ("terms", "views", "transform", "adapt")
    return issubclass(target, ImageTerm) and all(
        getattr(target, name) is getattr(ImageTerm, name) for name in inherited
    )


def every_trial(subject: Subject) -> list[RegularizerTrial]:
    """The regularizer in a tokenizer of each layout that it accepts, on images of the first kind it accepts.

    Raises:
        AssertionError: it accepts none.
        CannotBuild: it needs what the kit's tokenizer does not provide, or a file that is missing.
    """
    missing = sorted(subject.config.requires - PROVIDED)
    if missing:
        raise CannotBuild(f"needs the capability {missing[0]!r}, which the kit's own tokenizer does not provide")
    refusals: list[str] = []
    for image in (subject.image, grey(subject.image)):
        found = []
        for layout in LAYOUTS:
            try:
                found.append(_trial(subject, layout, image))
            except Refusal as refusal:
                refusals.append(str(refusal))
            except TokzooError as error:
                raise CannotBuild(str(error)) from error
        if found:
            return found
    raise AssertionError(f"refuses the kit's tokenizer with a grid and with a sequence: {refusals[0]}")


def codes_trials(subject: Subject) -> Iterator[RegularizerTrial]:
    """The regularizer in a tokenizer of each kind of codes that it accepts beside one code a position."""
    for image in dict.fromkeys(trial.chain.image for trial in trials(subject)):
        for quantizer in QUANTIZERS:
            try:
                yield _trial(subject, "grid", image, quantizer)
            except Refusal:
                continue


def _trial(subject: Subject, layout: Layout, image: ImageSpec, quantizer: str = "nearest") -> RegularizerTrial:
    catalogue = with_stand_ins(subject.catalogue)
    recipe = stand_in_recipe(layout, catalogue, quantizer).model_copy(update={"regularizers": {ROLE: subject.slot}})
    return RegularizerTrial(subject, recipe, solve(recipe, image, CLASSES, catalogue))


def regularizer_of(objective: Objective) -> Regularizer:
    """The regularizer under test."""
    return objective.by_role[ROLE]


def keep_teachers_frozen(objective: Objective) -> None:
    """As the training loop keeps every teacher that is a part of the objective."""
    for part in objective.modules():
        if isinstance(part, Teacher):
            part.requires_grad_(False).eval()


def own_parameters(objective: Objective) -> list[nn.Parameter]:
    """What an adversary's own optimizer trains; nothing for another regularizer."""
    part = regularizer_of(objective)
    return [p for p in part.adversary_parameters() if p.requires_grad] if isinstance(part, Adversary) else []


def freeze(parameters: list[nn.Parameter], frozen: bool) -> None:
    """Stop (or let) gradients reach them."""
    for parameter in parameters:
        parameter.requires_grad_(not frozen)


def tokenizer_losses(objective: Objective, images: Tensor, progress: Progress) -> Losses:
    """What the tokenizer minimises, its adversary frozen meanwhile."""
    own = own_parameters(objective)
    freeze(own, True)
    try:
        losses: Losses = objective(images, labels_of(images, CLASSES), progress)
    finally:
        freeze(own, False)
    return losses


def adversary_losses(objective: Objective, state: Pass, progress: Progress) -> Losses:
    """What the adversary minimises on the same pass."""
    losses: Losses = objective(state.images, None, progress, ROLE, detached(state))
    return losses


def transformed(objective: Objective, images: Tensor, progress: Progress) -> tuple[Pass, Tensor]:
    """The pass up to the latent that is decoded, as the objective makes it; and that latent."""
    tokenizer = objective.tokenizer
    state = Pass(tokenizer, images, labels_of(images, CLASSES), progress, tokenizer.encoder(images))
    state.quantized = tokenizer.quantizer(state.encoded.latent)
    assert state.quantized is not None
    return state, regularizer_of(objective).transform(state.quantized.latent, state)


def walk(objective: Objective, images: Tensor, progress: Progress) -> tuple[Pass, Tensor]:
    """The pass up to the regularizer's terms; and the latent it transformed."""
    state, latent = transformed(objective, images, progress)
    state.decoded = objective.tokenizer.decoder(latent, images)
    assert state.decoded is not None
    state.views["main"] = View(state.decoded, images)
    state.views.update(regularizer_of(objective).views(state))
    return state, latent


def named_tensors(terms: Any, what: str) -> Mapping[str, Tensor]:
    """The terms, once it is sure that they are tensors by name."""
    assert isinstance(terms, dict), f"{what} gives a {type(terms).__name__}, not a dict"
    for name, term in terms.items():
        assert isinstance(name, str), f"{what}: a term is called {name!r}, which is no text"
        assert isinstance(term, Tensor), f"{what}: term {name!r} is a {type(term).__name__}, not a tensor"
    return cast(Mapping[str, Tensor], terms)
