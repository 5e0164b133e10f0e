"""AdamW over named parameters, and the parts of its state that are touched from outside."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from tokzoo.contracts.errors import TokzooError
from tokzoo.contracts.outputs import Overwritten
from tokzoo.recipes.optimization import Optimization, PartTraining
from tokzoo.training.ema import of_rows
from tokzoo.training.task import Group

MOMENTS = ("exp_avg", "exp_avg_sq")


class Optimizer:
    """AdamW with clipping, for the tokenizer or for one adversary.

    Fused: one kernel per group instead of many per parameter, which would take longer than a small model's step does.
    Parts with settings of their own are groups of their own; a frozen parameter has no gradient and rests.

    Raises:
        TokzooError: there is no parameter that may be trained.
    """

    def __init__(self, group: Group, config: Optimization) -> None:
        self.config = config
        self.parameters = {name: p for name, p in group.parameters.items() if p.requires_grad}
        groups: dict[tuple[bool, PartTraining | None], list[nn.Parameter]] = {}
        for name, parameter in self.parameters.items():
            decays = config.decay == "all" or parameter.ndim >= 2
            groups.setdefault((decays, group.settings.get(name)), []).append(parameter)
        if not groups:
            raise TokzooError("nothing is trained: every part is frozen; see train.tokenizer.parts")
        # Those that decay first, whatever the order of the parameters.
        ordered = sorted(groups.items(), key=lambda pair: not pair[0][0])
        self.adamw = torch.optim.AdamW(
            [_options(parameters, *key, config) for key, parameters in ordered], lr=config.lr, fused=True
        )
        # As AdamW would at a parameter's first gradient. Made now, the state's names and shapes never change.
        for parameter in self.parameters.values():
            moments = {name: torch.zeros_like(parameter, requires_grad=False) for name in MOMENTS}
            self.adamw.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}

    def zero(self) -> None:
        """Begin a step: forget the gradients of the last one."""
        self.adamw.zero_grad(set_to_none=True)

    def add(self, loss: Tensor) -> None:
        """Add the gradient of ``loss`` to that of the step.

        Raises:
            TokzooError: it depends on nothing that is trained.
        """
        if not loss.requires_grad:
            raise TokzooError("nothing is trained in this step: every part that the losses depend on is frozen")
        loss.backward()

    def step(self, learning_rate: float) -> Tensor:
        """One update by the gradients added in this step; returns their norm before clipping.

        ``learning_rate`` is that of the whole; a part of its own learning rate keeps its ratio to it.
        """
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate * group["ratio"]
        largest = math.inf if self.config.clip is None else self.config.clip
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), largest)
        self.adamw.step()
        return norm

    def freeze(self, frozen: bool) -> None:
        """Stop (or let) gradients reach these parameters, while others are trained."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(not frozen)

    @torch.no_grad()
    def restart(self, overwritten: Iterable[Overwritten]) -> None:
        """Forget the moments of rows that were replaced outside the optimizer."""
        for change in overwritten:
            state = self.adamw.state.get(change.parameter, {})
            for moment in state.keys() & set(MOMENTS):
                state[moment].masked_fill_(of_rows(change.rows, state[moment]), 0.0)

    def state(self) -> dict[str, Tensor]:
        """Every tensor of its state, as ``parameter.moment``."""
        return {
            f"{name}.{key}": value
            for name, parameter in self.parameters.items()
            for key, value in self.adamw.state[parameter].items()
        }


def _options(
    parameters: list[nn.Parameter], decays: bool, part: PartTraining | None, config: Optimization
) -> dict[str, Any]:
    """A group of AdamW's; ``ratio`` is that of its learning rate to the whole's."""
    part = part or PartTraining()
    decay = config.weight_decay if part.weight_decay is None else part.weight_decay
    return {
        "params": parameters,
        "betas": part.betas or config.betas,
        "weight_decay": decay if decays else 0.0,
        "ratio": 1.0 if part.lr is None else part.lr / config.lr,
    }
