"""The mean of the latents at each code, the same bit for bit on every device and every rank."""

import torch
from torch import Tensor

# Sums are taken over integers of this size: they do not depend on the order of the additions, so that the same points
# give the same means bit for bit on a GPU too, where threads add as they come.
FIXED_POINT = 2.0**30


def code_means(points: Tensor, codes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Means and numbers of the points at each code.

    Args:
        points: ``[P, d]``.
        codes: int64 ``[P]`` in ``[0, count)``.
        count: how many codes there are.

    Returns:
        Means ``[count, d]``, 0 where there is no point, to within 2^-30 of the largest coordinate; numbers int64
        ``[count]``.
    """
    unit = points.abs().amax() / FIXED_POINT
    integers = (points / unit).round().long()
    sums = integers.new_zeros(count, points.shape[1]).index_add_(0, codes, integers)
    numbers = codes.new_zeros(count).index_add_(0, codes, torch.ones_like(codes))
    return sums.to(points.dtype) / numbers.clamp(min=1)[:, None] * unit, numbers
