"""``fd_fashion``: the Fréchet distance to real test images in the features of the judge of Fashion-MNIST.

Heusel et al., arXiv 1706.08500, equation 6, with another network than Inception: never to be called FID.
"""

from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

import tokzoo
from tokzoo_metrics.fashion_judge.extractor import POOL, Sight
from tokzoo_metrics.fashion_judge.facts import REFERENCE, verified


def reference(split: str) -> dict[str, Any]:
    """The stored mean "mu" and covariance "sigma" (numpy, float64) of real images, "val" or "train"."""
    stored = load(verified(REFERENCE))
    return {name: stored[f"{split}.{name}"].numpy() for name in ("mu", "sigma")}


class FashionDistance(tokzoo.Metric):
    """The distance of all images taken in from the reference.

    Raises:
        tokzoo.Refusal: the images or the classes are not those of Fashion-MNIST.
    """

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        (self._info,) = config.reports
        self._sight = Sight(POOL, chain, self._info.id)
        self._features: list[Tensor] = []

    def add(self, images: Tensor) -> None:
        """Take in images ``[B, 1, 32, 32]`` in [-1, 1]."""
        self._features.append(self._sight.of(images))

    def compute(self) -> dict[str, float]:
        """The distance, at least 0.

        Raises:
            tokzoo.TokzooError: fewer than two images, which have no covariance.
        """
        count = sum(len(features) for features in self._features)
        if count < 2:
            raise tokzoo.TokzooError(f"metric '{self._info.id}' needs two images or more, and was given {count}")
        found = fid_features_to_statistics(torch.cat(self._features).double().cpu())
        distance = fid_statistics_to_metric(found, reference("val"), verbose=False)[KEY_METRIC_FID]
        # Rounding can take the distance of the reference from itself below zero.
        return {self._info.id: max(0.0, distance)}


class ReconstructionDistance(FashionDistance):
    """Of reconstructions."""

    def update(self, batch: tokzoo.ReconstructionBatch) -> None:
        """Take in one batch."""
        self.add(batch.reconstructions)


class SampleDistance(FashionDistance):
    """Of samples."""

    def update(self, batch: tokzoo.GenerationBatch) -> None:
        """Take in one batch."""
        self.add(batch.images)
