"""Structural similarity with a Gaussian window.

Wang, Bovik, Sheikh and Simoncelli, "Image quality assessment: from error visibility to structural similarity", IEEE
Transactions on Image Processing 13(4), 2004: equation 13, with the window and constants of section III.C.
"""

from typing import Any

import torch
from torch import Tensor

import tokzoo
from tokzoo.data.pixels import to_255
from tokzoo_metrics.configs import SSIM_K1, SSIM_K2, SSIM_SIGMA, SSIM_WINDOW
from tokzoo_metrics.mean import Mean


def window_matrix(length: int, device: torch.device) -> Tensor:
    """The Gaussian window slid along an axis, as a matrix float64 ``[length - 10, length]`` whose rows sum to 1."""
    taps = torch.arange(length, device=device) - torch.arange(length - SSIM_WINDOW + 1, device=device)[:, None]
    offset = taps.double() - SSIM_WINDOW // 2
    weights = torch.exp(-offset.square() / (2 * SSIM_SIGMA**2)) * ((taps >= 0) & (taps < SSIM_WINDOW))
    return weights / weights.sum(1, keepdim=True)


def ssim(images: Tensor, reconstructions: Tensor) -> Tensor:
    """SSIM of each pair of ``[B, C, H, W]`` in [-1, 1], float64 ``[B]``: the mean over channels and windows inside."""
    # Variances are small differences of large numbers: float64, and nothing that may run in TF32.
    x = to_255(images).double() / 255
    y = to_255(reconstructions).double() / 255
    rows = window_matrix(x.shape[2], x.device)
    columns = window_matrix(x.shape[3], x.device).T

    def local(values: Tensor) -> Tensor:
        return rows @ values @ columns

    mean_x, mean_y = local(x), local(y)
    variances = local(x * x + y * y) - mean_x.square() - mean_y.square()
    covariance = local(x * y) - mean_x * mean_y
    c1, c2 = SSIM_K1**2, SSIM_K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    structure = (2 * covariance + c2) / (variances + c2)
    return (luminance * structure).flatten(1).mean(1)


class SSIM(tokzoo.Metric):
    """The mean SSIM of reconstructions.

    Raises:
        tokzoo.Refusal: the images are smaller than the window.
    """

    def __init__(self, config: Any, chain: tokzoo.Chain) -> None:
        super().__init__(config, chain)
        if min(chain.image.size) < SSIM_WINDOW:
            raise tokzoo.Refusal(
                f"metric 'ssim' needs images of {SSIM_WINDOW}×{SSIM_WINDOW} or more, not {chain.image}"
            )
        self._mean = Mean()

    def update(self, batch: tokzoo.ReconstructionBatch) -> None:
        """Take in one batch."""
        self._mean.add(ssim(batch.images, batch.reconstructions))

    def compute(self) -> dict[str, float]:
        """The mean over all images."""
        return {"reconstruction.ssim": self._mean.value()}
