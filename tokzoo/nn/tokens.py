"""From feature maps to token sequences and back, and the learned parameters tokens start from."""

import torch
from torch import Tensor, nn

from tokzoo.nn.memory import nchw


def to_tokens(feature_map: Tensor) -> Tensor:
    """``[B, c, h, w]`` to ``[B, h · w, c]``, row-major."""
    return feature_map.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Row-major ``[B, h · w, c]`` to ``[B, c, h, w]``, copied to row-major strides (see :func:`nchw`)."""
    return nchw(tokens.transpose(1, 2).unflatten(2, size))


def learned_tokens(count: int, width: int) -> nn.Parameter:
    """A parameter ``[count, width]`` of positions or queries, of unit expected norm: ``randn · width^-1/2``."""
    return nn.Parameter(torch.randn(count, width) * width**-0.5)
