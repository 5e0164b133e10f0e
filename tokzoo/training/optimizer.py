"""AdamW over named parameters, and the parts of its state that are touched from outside."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from tokzoo.contracts.outputs import Overwritten
from tokzoo.recipes.models import Optimization
from tokzoo.training.ema import where_rows
from tokzoo.training.task import Group

MOMENTS = ("exp_avg", "exp_avg_sq")


class Optimizer:
    """One player's AdamW, with clipping; its state is read and written by parameter name."""

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
        self.adamw = torch.optim.AdamW(groups, lr=config.lr, betas=config.betas)

    def step(self, loss: Tensor, learning_rate: float) -> None:
        """One update on ``loss``."""
        for group in self.adamw.param_groups:
            group["lr"] = learning_rate
        self.adamw.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.config.clip is not None:
            nn.utils.clip_grad_norm_(self.parameters.values(), self.config.clip)
        self.adamw.step()

    def freeze(self, frozen: bool) -> None:
        """Stop (or let) gradients reach these parameters, while another player moves."""
        for parameter in self.parameters.values():
            parameter.requires_grad_(not frozen)

    @torch.no_grad()
    def restart(self, overwritten: Iterable[Overwritten]) -> None:
        """Forget the moments of rows that were replaced outside the optimizer."""
        for change in overwritten:
            state = self.adamw.state.get(change.parameter, {})
            for moment in MOMENTS:
                if moment in state:
                    state[moment] = where_rows(change.rows, torch.zeros_like(state[moment]), state[moment])

    def state(self) -> dict[str, Tensor]:
        """Every tensor of its state, as ``parameter.moment``."""
        return {
            f"{name}.{key}": value
            for name, parameter in self.parameters.items()
            for key, value in self.adamw.state.get(parameter, {}).items()
        }

    def load(self, state: dict[str, Tensor]) -> None:
        """Restore what :meth:`state` gave."""
        for name, parameter in self.parameters.items():
            keys = ("step", *MOMENTS)
            found = {key: state[f"{name}.{key}"] for key in keys if f"{name}.{key}" in state}
            if found:
                self.adamw.state[parameter] = found
