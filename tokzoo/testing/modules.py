"""What the checks of all modules share: a component built for an input it takes, trained a little, and asked.

A kind says in a :class:`Trial` how its components are built, what they are given and what they answer. The checks here
hold for any of them; :func:`over` makes them checks of a kind.
"""

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from tokzoo.contracts.configs import ComponentConfig
from tokzoo.contracts.outputs import Progress
from tokzoo.contracts.specs import ImageSpec
from tokzoo.nn.distributed import gather_batch
from tokzoo.testing.subject import BATCH, Subject

Answers = Mapping[str, Tensor]

CLOSE = 1e-4
"""How far answers may differ where only the order of additions does, as a part of the largest."""

BUDGET = 1_000_000
"""Steps of the budget that trainings here pretend to: longer than any warm-up."""

RATE = 1e-2


class Trial(ABC):
    """A component of a kind, and how it is used.

    Attributes:
        what: the shapes it is built for, in words.
        steps: which steps of the budget :meth:`trained` takes.
        half: whether what comes before it hands on bfloat16 under autocast.
    """

    steps: ClassVar[tuple[int, ...]] = (0, BUDGET - 1)
    half: ClassVar[bool] = False

    def __init__(self, subject: Subject, what: str) -> None:
        self.subject = subject
        self.what = what

    @abstractmethod
    def build(self) -> nn.Module:
        """A new module, on torch's current device, initialised from its global generator."""

    @abstractmethod
    def given(self) -> Tensor:
        """An input ``[BATCH, ...]`` on torch's current device, drawn from its global generator.

        A row must hold all that its answers depend on: labels, for instance, are made from the row.
        """

    @abstractmethod
    def answers(self, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
        """What the module is there for, by name: tensors with a row for each row given."""

    def ready(self) -> nn.Module:
        """A new module in training mode, in the midst of its training."""
        return self.build().train()

    def loss(self, module: nn.Module, given: Tensor) -> Tensor:
        """A scalar to train it by."""
        return pull(self.answers(module, given))

    def step(self, module: nn.Module, given: Tensor, progress: Progress) -> None:
        """One training step, on the batch given."""
        descend(module, self.loss(module, given))

    def train(self, module: nn.Module, steps: Iterable[int], seed: int = 0) -> None:
        """Take training steps, each from a seed of its own, as the training loop does."""
        module.train()
        for step in steps:
            torch.manual_seed(seed + step)
            self.step(module, self.given(), Progress(step, BUDGET))

    def trained(self, seed: int = 0) -> nn.Module:
        """A module built from a seed and trained for a few steps, in eval mode."""
        torch.manual_seed(seed)
        module = self.build()
        self.train(module, self.steps, seed)
        return module.eval()


def images_of(image: ImageSpec) -> Tensor:
    """Images ``[BATCH, C, H, W]`` in [-1, 1], each of another contrast, so that batch statistics would show."""
    contrast = torch.arange(1, BATCH + 1)[:, None, None, None] / BATCH
    return (torch.rand(BATCH, image.channels, *image.size) * 2 - 1) * contrast


def pull(answers: Answers) -> Tensor:
    """A scalar whose gradient draws every number of the answers in a random direction."""
    return sum((a * torch.randn_like(a)).mean() for a in answers.values() if a.is_floating_point())  # type: ignore[return-value]


def descend(module: nn.Module, loss: Tensor) -> None:
    """One step of gradient descent, with gradients averaged over ranks."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters or not loss.requires_grad:
        return
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.sub_(RATE * gather_batch(gradient[None]).mean(0))


@torch.no_grad()
def eval_answers(trial: Trial, module: nn.Module, given: Tensor) -> dict[str, Tensor]:
    """Its answers in eval mode, without a graph."""
    return trial.answers(module.eval(), given)


def state_of(module: nn.Module) -> dict[str, Tensor]:
    """A copy of every parameter and buffer, also of those no state dict holds."""
    return {name: tensor.detach().clone() for name, tensor in (*module.named_parameters(), *module.named_buffers())}


def set_state(module: nn.Module, state: Answers) -> None:
    """Overwrite every parameter and buffer."""
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            tensor.copy_(state[name])


def assert_same(found: Tensor, wanted: Tensor, what: str, tolerance: float = 0.0) -> None:
    """Fail with ``what`` unless two tensors are equal.

    Args:
        found: any tensor.
        wanted: a tensor of the same shape and dtype.
        what: says what should have been equal.
        tolerance: how far numbers may differ, as a part of the largest wanted one; integers are equal or not.
    """
    described = [f"{t.dtype} {tuple(t.shape)}" for t in (found, wanted)]
    assert described[0] == described[1], f"{what}: {described[0]} instead of {described[1]}"
    if not found.numel() or torch.equal(found, wanted):
        return
    if not found.is_floating_point():
        raise AssertionError(f"{what}: {int((found != wanted).sum())} of {found.numel()} differ")
    # Written so that a NaN fails, unless both have it; so do infinities.
    apart = (found - wanted).abs().masked_fill((found == wanted) | (found.isnan() & wanted.isnan()), 0.0)
    difference, scale = apart.max().item(), wanted.abs().max().item()
    same = difference <= tolerance * scale or difference == 0
    assert same, f"{what}: differs by up to {difference:.1e}, in numbers up to {scale:.1e}"


def assert_all_same(found: Answers, wanted: Answers, what: str, tolerance: float = 0.0) -> None:
    """:func:`assert_same` for tensors by name."""
    assert found.keys() == wanted.keys(), f"{what}: {sorted(found)} instead of {sorted(wanted)}"
    for name, tensor in wanted.items():
        assert_same(found[name], tensor, f"{what}: {name}", tolerance)


def assert_finite(tensors: Mapping[str, Tensor | None], what: str) -> None:
    """Fail with ``what`` where one of the tensors holds a NaN or an infinity."""
    for name, tensor in tensors.items():
        assert tensor is None or bool(tensor.isfinite().all()), f"{what}: {name} is not finite"


def assert_losses(config: ComponentConfig, losses: Answers) -> None:
    """Fail unless losses are finite scalars that training can descend, each weighed by the config."""
    for name, loss in losses.items():
        assert loss.ndim == 0, f"loss {name!r} must be a scalar and has the shape {tuple(loss.shape)}"
        assert_finite({repr(name): loss}, "losses")
        assert loss.requires_grad, f"loss {name!r} is detached: no gradient comes from it"
        try:
            weight = config.weight_of(name)
        except Exception as error:
            raise AssertionError(
                f"weight_of({name!r}) raised {type(error).__name__}: it must weigh this loss"
            ) from error
        right = isinstance(weight, int | float) and not isinstance(weight, bool)
        assert right, f"weight_of({name!r}) gives {weight!r}, not a number"


def gradients_reach_its_parameters(trial: Trial) -> None:
    """Training reaches every parameter that asks for a gradient, with finite numbers."""
    module = trial.ready()
    wanted = {name: p for name, p in module.named_parameters() if p.requires_grad}
    reached: set[str] = set()
    moved = not wanted
    for _ in range(2):  # what one step leaves out at random, another does not
        loss = trial.loss(module, trial.given())
        assert not wanted or loss.requires_grad, f"what it gives is detached from its parameters ({trial.what})"
        gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True) if wanted else ()
        found = {name: g for name, g in zip(wanted, gradients, strict=True) if g is not None}
        assert_finite({f"the gradient of {name}": g for name, g in found.items()}, "training")
        moved = moved or any(bool(g.any()) for g in found.values())
        reached |= found.keys()
    missed = [name for name in wanted if name not in reached]
    assert not missed, f"no gradient reaches {', '.join(missed)}: use it, or set requires_grad to False"
    assert moved, f"the gradients of all parameters are zero ({trial.what})"


def rows_are_independent(trial: Trial) -> None:
    """In eval mode a row's answer is the same alone, in a batch, and in another order."""
    module = trial.trained()
    attempts = 2  # integers may differ where two choices are as good; twice in a row is no accident
    for attempt in range(attempts):
        given = trial.given()
        together = eval_answers(trial, module, given)
        discrete = any(not answer.is_floating_point() for answer in together.values())
        try:
            _assert_independent(trial, module, given, together)
        except AssertionError:
            if not discrete or attempt == attempts - 1:
                raise
        else:
            return


def _assert_independent(trial: Trial, module: nn.Module, given: Tensor, together: Answers) -> None:
    order = torch.arange(len(given)).roll(1)
    shuffled = eval_answers(trial, module, given[order])
    wanted = {name: answer[order] for name, answer in together.items()}
    assert_all_same(shuffled, wanted, "depends on the order of the batch", CLOSE)
    for row in range(len(given)):
        alone = eval_answers(trial, module, given[row : row + 1])
        wanted = {name: answer[row : row + 1] for name, answer in together.items()}
        assert_all_same(alone, wanted, "depends on what else is in the batch", CLOSE)


def autocast_stays_finite(trial: Trial) -> None:
    """Under bf16 autocast, answers and gradients are finite, in training and in eval mode."""
    module = trial.ready()
    given = trial.given().bfloat16().requires_grad_() if trial.half else trial.given()
    with torch.autocast("cpu", torch.bfloat16):
        loss = trial.loss(module, given)
        assert_finite({"the loss": loss, **trial.answers(module, given)}, "training under bf16 autocast")
        assert_finite(eval_answers(trial, module, given), "eval mode under bf16 autocast")
    inputs = {"its input": given, **dict(module.named_parameters())}
    wanted = {name: tensor for name, tensor in inputs.items() if tensor.requires_grad}
    if wanted and loss.requires_grad:
        gradients = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True)
        found = {f"the gradient of {name}": g for name, g in zip(wanted, gradients, strict=True)}
        assert_finite(found, "training under bf16 autocast")


def state_dict_holds_everything(trial: Trial) -> None:
    """A new module that loads a trained one's state dict answers as the trained one does."""
    module = trial.trained(seed=1)
    torch.manual_seed(2)
    other = trial.build()
    other.load_state_dict(module.state_dict())
    given = trial.given()
    torch.manual_seed(3)
    wanted = eval_answers(trial, module, given)
    torch.manual_seed(3)
    assert_all_same(eval_answers(trial, other, given), wanted, "a loaded state dict gives other answers")


def training_is_seeded(trial: Trial) -> None:
    """Built and trained twice from one seed of torch's global generator, it is the same to the last bit."""
    torch.manual_seed(4)
    first = trial.build()
    torch.manual_seed(4)
    second = trial.build()
    assert_all_same(state_of(second), state_of(first), "built twice from one seed")
    for module in (first, second):
        trial.train(module, trial.steps)
    assert_all_same(state_of(second), state_of(first), "trained twice from one seed")
    torch.manual_seed(5)
    given = trial.given()
    answers = []
    for module in (first, second):
        torch.manual_seed(6)
        answers.append(trial.answers(module.train(), given))
    assert_all_same(answers[1], answers[0], "answered twice from one seed in training mode")


def training_resumes_exactly(trial: Trial) -> None:
    """All that a training step depends on is in parameters and buffers: a copy of them goes on as the original does."""
    half = -(-len(trial.steps) // 2)
    torch.manual_seed(7)
    module = trial.build()
    trial.train(module, trial.steps[:half])
    torch.manual_seed(8)
    resumed = trial.build()
    set_state(resumed, state_of(module))
    for one in (module, resumed):
        trial.train(one, trial.steps[half:])
    assert_all_same(state_of(resumed), state_of(module), "training resumed from its parameters and buffers")


def input_is_left_alone(trial: Trial) -> None:
    """It does not write into the tensor it is given."""
    module = trial.build()
    given = trial.given()
    for mode in (False, True):
        shown = given.clone()
        with torch.no_grad():
            trial.answers(module.train(mode), shown)
        assert torch.equal(shown, given), "changes its input in place: work on a new tensor"


def eval_changes_no_state(trial: Trial) -> None:
    """In eval mode it changes no parameter and no buffer, and answers the same again."""
    module = trial.trained()
    given = trial.given()
    before = state_of(module)
    answers = []
    for _ in range(2):
        torch.manual_seed(9)
        answers.append(eval_answers(trial, module, given))
    assert_all_same(state_of(module), before, "eval mode changes its state")
    assert_all_same(answers[1], answers[0], "eval mode answers differently the second time")


MODULE_CHECKS: tuple[Callable[[Trial], None], ...] = (
    rows_are_independent,
    autocast_stays_finite,
    state_dict_holds_everything,
    training_is_seeded,
    training_resumes_exactly,
    input_is_left_alone,
    eval_changes_no_state,
)
"""What holds for every module."""


def over(
    trials: Callable[[Subject], Iterable[Trial]], *checks: Callable[[Trial], None]
) -> tuple[Callable[[Subject], None], ...]:
    """Checks of one trial as checks of a component: each runs over all of the component's trials."""
    return tuple(_over(trials, check) for check in checks)


def _over(trials: Callable[[Subject], Iterable[Trial]], check: Callable[[Trial], None]) -> Callable[[Subject], None]:
    @functools.wraps(check)
    def run(subject: Subject) -> None:
        for trial in trials(subject):
            check(trial)

    return run
