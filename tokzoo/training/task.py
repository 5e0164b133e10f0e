"""What the loop trains: a tokenizer with its objective, or an AR model on codes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from tokzoo.contracts.outputs import Overwritten, Progress
from tokzoo.recipes.optimization import PartTraining

Batch = tuple[Tensor, Tensor | None]
"""Images ``[B, C, H, W]``, or codes int64 ``[B, …]``; and labels int64 ``[B]``, or None."""


@dataclass(slots=True)
class Step:
    """The outcome of one forward pass: a differentiable loss, detached terms by name, and what later calls need."""

    loss: Tensor
    terms: dict[str, Tensor]
    state: Any = None


@dataclass(slots=True)
class Group:
    """Parameters one optimizer trains, by name.

    Attributes:
        averaged: names of those that the weight average follows.
        settings: of those that are trained otherwise than the whole, by name.
    """

    parameters: Mapping[str, nn.Parameter]
    averaged: frozenset[str] = field(default_factory=frozenset)
    settings: Mapping[str, PartTraining] = field(default_factory=dict)


class Task(ABC):
    """A trainable thing.

    Attributes:
        purpose: names its stream of random numbers, which no other use shares.
        module: holds everything a checkpoint must keep.
        frozen: parts of it that training must not touch: no gradients, and always in eval mode.
        kept: names of parameters that no optimizer trains, but that change in training all the same. Others without
            an optimizer are those of a weights file, and no checkpoint holds them.
    """

    purpose: str
    module: nn.Module
    frozen: Sequence[nn.Module] = ()
    kept: frozenset[str] = frozenset()

    @abstractmethod
    def group(self) -> Group:
        """What the main optimizer trains, and which of it the weight average follows."""

    def adversaries(self) -> dict[str, Group]:
        """What each adversary's optimizer trains, by role."""
        return {}

    @abstractmethod
    def batch(self, progress: Progress) -> Batch:
        """The step's whole batch, on the device."""

    @abstractmethod
    def losses(self, batch: Batch, progress: Progress) -> Step:
        """The losses of a batch, or of a part of one."""

    def adversary_losses(self, role: str, step: Step, progress: Progress) -> Step | None:
        """The adversary's losses on the same batch, or None while its gate is closed."""
        return None

    def before_step(self, progress: Progress) -> None:
        """Called before each step, outside compiled code."""

    def after_step(self, steps: Sequence[Step], progress: Progress) -> Sequence[Overwritten]:
        """Called after each optimizer update, outside compiled code; returns what it overwrote.

        ``steps`` are the forward passes of the step: one, or one for each part of its batch.
        """
        return ()
