"""Checks that hold for every module, whatever its kind; :func:`over` makes them checks of a kind."""

import functools
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tokzoo.testing.asserting import CLOSE, assert_all_same, assert_finite
from tokzoo.testing.subject import Subject
from tokzoo.testing.trial import Answers, Trial, eval_answers, set_state, state_of


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
    other = trial.empty()
    kept, room = ({name: tuple(t.shape) for name, t in one.state_dict().items()} for one in (module, other))
    apart = sorted(name for name in {*kept, *room} if kept.get(name) != room.get(name))
    assert not apart, f"once trained, its state dict has another {apart[0]} than when it was built: it cannot be loaded"
    other.load_state_dict(module.state_dict())
    given = trial.given()
    torch.manual_seed(3)
    wanted = eval_answers(trial, module, given)
    torch.manual_seed(3)
    assert_all_same(eval_answers(trial, other, given), wanted, "a loaded state dict gives other answers")


def training_is_seeded(trial: Trial) -> None:
    """Built and trained twice from one seed of torch's global generator, it is the same to the last bit."""
    torch.manual_seed(4)
    first = trial.begun()
    torch.manual_seed(4)
    second = trial.begun()
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


def building_leaves_the_seed(trial: Trial) -> None:
    """Building it does not seed torch's global generator: others are drawn from it too."""
    states = []
    for seed in (10, 11):
        torch.manual_seed(seed)
        trial.build()
        states.append(torch.get_rng_state())
    assert not torch.equal(*states), "building it seeds torch's global generator, so that all runs draw the same"


def training_resumes_exactly(trial: Trial) -> None:
    """All that a training step depends on is in parameters and buffers: a copy of them goes on as the original does."""
    half = -(-len(trial.steps) // 2)
    torch.manual_seed(7)
    module = trial.begun()
    trial.train(module, trial.steps[:half])
    torch.manual_seed(8)
    resumed = trial.begun()
    set_state(resumed, state_of(module))
    for one in (module, resumed):
        trial.train(one, trial.steps[half:])
    assert_all_same(state_of(resumed), state_of(module), "training resumed from its parameters and buffers")


def input_is_left_alone(trial: Trial) -> None:
    """It does not write into the tensor it is given."""
    module = trial.begun()
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
    building_leaves_the_seed,
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
