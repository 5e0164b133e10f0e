"""Rotary positions (Su et al., RoFormer, arXiv 2104.09864, section 3.2.2), along one axis or several.

Channels ``2i`` and ``2i + 1`` of a query or key at position p are turned in their plane by the angle
``p · 10000^(-2i / dim)`` (equation 15), so that their product depends on the difference of two positions alone. With
several axes (a grid's rows and columns), each axis turns an equal share of the channels as if these were all there are.
"""

from typing import NamedTuple

import torch
from torch import Tensor

BASE = 10_000.0


class Rotation(NamedTuple):
    """Cosine and sine of the angle by which each pair of channels is turned, float32 ``[T, dim / 2]``."""

    cos: Tensor
    sin: Tensor

    def at(self, positions: slice) -> "Rotation":
        """Those of some positions."""
        return Rotation(self.cos[positions], self.sin[positions])


def rotation(positions: Tensor, dim: int) -> Rotation:
    """The rotation of every position.

    Args:
        positions: integers ``[T, axes]``; at 0 on every axis, nothing is turned.
        dim: channels of a head, a multiple of ``2 · axes``.
    """
    axes = positions.shape[1]
    pairs = dim // (2 * axes)
    frequencies = BASE ** (torch.arange(pairs, device=positions.device) / -pairs)
    angles = (positions[:, :, None] * frequencies).flatten(1)
    return Rotation(angles.cos(), angles.sin())


def rotate(x: Tensor, by: Rotation) -> Tensor:
    """Turn ``[..., T, dim]``, in float32, and give back its own dtype."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([even * by.cos - odd * by.sin, even * by.sin + odd * by.cos], dim=-1)
    return turned.flatten(-2).type_as(x)
