"""What the hidden states of an AR model tell about the class: a linear probe and nearest neighbours.

GigaTok (arXiv 2504.08736), section 3.1: the model is given the null class, and the states after its middle block are
averaged over positions. Here they are those of evaluation mode, of images as they are.
"""

from typing import Any

import torch
from torch import Tensor

import tokzoo
from tokzoo_metrics.probes import knn_accuracy, linear_accuracy, standardize


class ARProbe(tokzoo.Metric):
    """The accuracy of both on the held-out codes."""

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._found: dict[str, float] = {}

    def update(self, probe: tokzoo.RepresentationProbe) -> None:
        """Take the features of both splits, and judge them."""
        layer = self.config.layer or max(1, probe.model.depth // 2)
        train, val = standardize(
            pooled_features(probe, probe.train_codes, layer), pooled_features(probe, probe.val_codes, layer)
        )
        judged = (train, probe.train_labels.to(probe.device), val, probe.val_labels.to(probe.device), probe.classes)
        self._found = {"probe.ar_linear": linear_accuracy(*judged), "probe.ar_knn": knn_accuracy(*judged)}

    def compute(self) -> dict[str, float]:
        """Both, in [0, 1]."""
        return self._found


@torch.no_grad()
def pooled_features(probe: tokzoo.RepresentationProbe, codes: Tensor, layer: int) -> Tensor:
    """The mean over positions of the states after block ``layer``, float32 ``[N, D]``, on the probe's device."""
    parts = [
        probe.model.features(part.to(probe.device).long(), None, layer).float().mean(dim=1)
        for part in codes.split(probe.batch)
    ]
    return torch.cat(parts)
