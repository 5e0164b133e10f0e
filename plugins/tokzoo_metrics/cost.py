"""Numbers of parameters."""

from typing import Any

from torch import nn

import tokzoo


def parameters(module: nn.Module) -> float:
    """How many parameters a module has, trained or frozen; shared ones count once."""
    return float(sum(parameter.numel() for parameter in module.parameters()))


class Cost(tokzoo.Metric):
    """Parameters of the tokenizer, its encoder and decoder, and the AR model if there is one."""

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._counts: dict[str, float] = {}

    def update(self, probe: tokzoo.EfficiencyProbe) -> None:
        """Count."""
        self._counts = {
            "cost.params": parameters(probe.tokenizer),
            "cost.params_encoder": parameters(probe.tokenizer.encoder),
            "cost.params_decoder": parameters(probe.tokenizer.decoder),
        }
        if probe.ar is not None:
            self._counts["cost.params_ar"] = parameters(probe.ar)

    def compute(self) -> dict[str, float]:
        """The counts."""
        return self._counts
