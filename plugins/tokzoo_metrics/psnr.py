"""Peak signal-to-noise ratio, ``10 log10(255² / MSE)``, per image on 8-bit values, then averaged."""

from typing import Any

import torch
from torch import Tensor

import tokzoo
from tokzoo.data.pixels import to_255
from tokzoo_metrics.configs import PSNR_CAP
from tokzoo_metrics.mean import Mean


def psnr(images: Tensor, reconstructions: Tensor) -> Tensor:
    """PSNR in dB of each pair of ``[B, C, H, W]`` in [-1, 1], float64 ``[B]``, at most ``PSNR_CAP``."""
    error = to_255(images).double() - to_255(reconstructions).double()
    return (10 * torch.log10(255**2 / error.square().flatten(1).mean(1))).clamp(max=PSNR_CAP)


class PSNR(tokzoo.Metric):
    """The mean PSNR of reconstructions."""

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        self._mean = Mean()

    def update(self, batch: tokzoo.ReconstructionBatch) -> None:
        """Take in one batch."""
        self._mean.add(psnr(batch.images, batch.reconstructions))

    def compute(self) -> dict[str, float]:
        """The mean over all images."""
        return {"reconstruction.psnr": self._mean.value()}
