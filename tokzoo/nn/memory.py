"""The memory format of feature maps."""

from torch import Tensor


def nchw(x: Tensor) -> Tensor:
    """``[B, c, h, w]`` with row-major strides; a view where it has them but for axes of length 1.

    ``contiguous`` alone may leave a one-channel image with channels-last strides, as those describe it just as well.
    The first convolution would then go over to channels-last, and every one after it, where torch's GroupNorm on a CPU
    is about a hundred times less accurate.
    """
    return x.contiguous().flatten(1).view(x.shape)
