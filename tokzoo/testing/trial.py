"""A component built for an input it takes, trained a little, and asked: what the checks of all modules share."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from tokzoo.assembly import build
from tokzoo.contracts.errors import Refusal
from tokzoo.contracts.interfaces import ComponentModule
from tokzoo.contracts.outputs import Progress
from tokzoo.contracts.specs import ImageSpec
from tokzoo.nn.distributed import gather_batch
from tokzoo.testing.subject import BATCH, Subject, started

Answers = Mapping[str, Tensor]

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
        """A new module, on torch's current device, initialised from its global generator; not started."""

    def start(self, module: nn.Module) -> None:
        """Start it as where training begins.

        Raises:
            CannotBuild: the weights it reads are missing.
        """
        started(partial(build.start, cast(ComponentModule, module)))

    def begun(self) -> nn.Module:
        """A new module, started."""
        module = self.build()
        self.start(module)
        return module

    def empty(self) -> nn.Module:
        """A new module that a saved state can be loaded into: what is only used is never started."""
        return self.build()

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
        return self.begun().train()

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
        module = self.begun()
        self.train(module, self.steps, seed)
        return module.eval()


def assert_builds(trials: Iterable[Trial]) -> None:
    """Fail unless each builds: its config has accepted what it is tried with."""
    for trial in trials:
        try:
            trial.build()
        except Refusal as refusal:
            raise AssertionError(f"its config accepts what it then refuses ({trial.what}): {refusal}") from refusal


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
