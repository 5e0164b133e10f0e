"""AdamW over named parameters, and the parts of its state that are touched from outside."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tokzoo.contracts.outputs import Overwritten
from tokzoo.recipes.optimization import Optimization
from tokzoo.training.ema import of_rows
from tokzoo.training.task import Group

MOMENTS = ("exp_avg", "exp_avg_sq")


class Optimizer:
    """One player's AdamW, with clipping.

    Fused: one kernel a group instead of many a parameter, which would take longer than a small model's step does.
    """

    def __init__(self, group: Group, config: Optimization) -> None:
        self.config = config
        self.parameters = {name: p for name, p in group.parameters.items() if p.requires_grad}
        decays = {name: config.decay == "all" or p.ndim >= 2 for name, p in self.parameters.items()}
        groups = [
            {
                "params": [p for name, p in self.parameters.items() if decays[name] is decay],
                "weight_decay": config.weight_decay if decay else 0.0,
            }
            for decay in (True, False)
        ]
        groups = [group for group in groups if group["params"]]
        self.adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)
        # As AdamW would at a parameter's first gradient. Made now, the state's names and shapes never change.
        for parameter in self.parameters.values():
            moments = {name: torch.zeros_like(parameter, requires_grad=False) for name in MOMENTS}
            self.adamw.state[parameter] = {"step": torch.zeros((), device=parameter.device), **moments}

    def step(self, loss: Tensor, learning_rate: float) -> Tensor:
        """One update on ``loss``; returns the norm of the gradient before clipping."""
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        self.adamw.zero_grad(set_to_none=True)
        loss.backward()
        largest = math.inf if self.config.clip is None else self.config.clip
        norm = nn.utils.clip_grad_norm_(self.parameters.values(), largest)
        self.adamw.step()
        return norm

    def freeze(self, frozen: bool) -> None:
        """Stop (or let) gradients reach these parameters, while another player moves."""
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
