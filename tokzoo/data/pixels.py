"""From stored pixels to what networks see, and back."""

import torch
from torch import Tensor


def to_unit(images: Tensor) -> Tensor:
    """Images uint8 [0, 255] as float32 in [-1, 1], on the device they are on."""
    return images.to(torch.float32).div_(127.5).sub_(1.0)


def to_255(images: Tensor) -> Tensor:
    """Images in [-1, 1] as whole numbers 0 … 255 in float32: clamped, then rounded to the nearest, half to even.

    These are the values an 8-bit file would hold; NaN stays NaN, so that a broken image cannot pass for a black one.
    """
    return images.to(torch.float32).clamp(-1.0, 1.0).add_(1.0).mul_(127.5).round_()


def to_uint8(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, rounded as :func:`to_255` does; undoes :func:`to_unit` exactly."""
    return to_255(images).to(torch.uint8)
