"""Halving and doubling of feature maps in the VQGAN family (arXiv 2012.09841) and MAGVIT-v2 (arXiv 2310.05737)."""

import torch.nn.functional as F
from torch import Tensor, nn


def depth_to_space(x: Tensor) -> Tensor:
    """Lay the channels of ``[B, 4c, h, w]`` out as ``[B, c, 2h, 2w]``, in depth-column-row (DCR) order.

    ``out[c', 2y + i, 2x + j] = x[(2i + j) · c + c', y, x]``. The order is TensorFlow's; ``F.pixel_shuffle`` takes the
    channel as the slowest index instead (CRD), which is another permutation of the weights before it.
    """
    batch, channels, height, width = x.shape
    blocks = x.view(batch, 2, 2, channels // 4, height, width)
    return blocks.permute(0, 3, 4, 1, 5, 2).reshape(batch, channels // 4, 2 * height, 2 * width)


class Downsample(nn.Module):
    """A 3×3 convolution of stride 2; the border is padded right and below only, so even sides are halved exactly."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, c, h, w]`` to ``[B, c, h / 2, w / 2]``."""
        out: Tensor = self.conv(F.pad(x, (0, 1, 0, 1)))
        return out


class DepthToSpaceUpsample(nn.Module):
    """A 3×3 convolution to four times the channels, then :func:`depth_to_space`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, c, h, w]`` to ``[B, c, 2h, 2w]``."""
        return depth_to_space(self.conv(x))
